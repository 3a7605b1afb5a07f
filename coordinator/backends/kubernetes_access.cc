// See kubernetes_access.h.
#include "coordinator/backends/kubernetes_access.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "proto/spec/kubernetes_rules.h"

namespace ijepa::coordinator {
namespace {

using nlohmann::json;

absl::Status Missing(const std::string& path, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("kubeconfig ", path, " has no ", what, "; `kubectl config view` shows it"));
}

std::string Text(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// The `kind` of the entry called `name` in the list `kinds`, an empty object if there is none.
json Entry(const json& config, const char* kinds, const char* kind, const std::string& name) {
  const auto list = config.find(kinds);
  if (list == config.end() || !list->is_array()) return json::object();
  for (const json& entry : *list) {
    if (!entry.is_object() || Text(entry, "name") != name) continue;
    const auto value = entry.find(kind);
    if (value != entry.end() && value->is_object()) return *value;
  }
  return json::object();
}

// PEM from KEY-data (base64), else from the file that KEY names, relative to the kubeconfig.
absl::StatusOr<std::string> Pem(const json& object, const std::string& key,
                                const std::string& config_path) {
  const std::string data = Text(object, absl::StrCat(key, "-data").c_str());
  std::string pem;
  if (!data.empty()) {
    if (absl::Base64Unescape(data, &pem)) return pem;
    return absl::InvalidArgumentError(
        absl::StrCat("kubeconfig ", config_path, " has a ", key, "-data that is not base64"));
  }
  const std::string file = Text(object, key.c_str());
  if (file.empty()) return std::string();
  return ReadFile((std::filesystem::path(config_path).parent_path() / file).string());
}

}  // namespace

absl::StatusOr<KubernetesAccess> ReadKubeconfig(const std::string& path) {
  IJEPA_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const absl::StatusOr<std::string> as_json = spec::YamlMapAsJson(text);
  if (!as_json.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("kubeconfig ", path, " cannot be read: ", as_json.status().message()));
  }
  const json config = json::parse(*as_json, nullptr, false);
  const json context = Entry(config, "contexts", "context", Text(config, "current-context"));
  if (context.empty()) return Missing(path, "context of the name in current-context");
  const json cluster = Entry(config, "clusters", "cluster", Text(context, "cluster"));
  const json user = Entry(config, "users", "user", Text(context, "user"));
  KubernetesAccess access;
  access.server = std::string(absl::StripSuffix(Text(cluster, "server"), "/"));
  if (access.server.empty()) return Missing(path, "server in the cluster of its context");
  if (cluster.value("insecure-skip-tls-verify", json(false)) == true) {
    return absl::InvalidArgumentError(absl::StrCat(
        "kubeconfig ", path, " has insecure-skip-tls-verify; name the certificate-authority"));
  }
  for (const char* program : {"exec", "auth-provider"}) {
    if (!user.contains(program)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("kubeconfig ", path, " logs in by a program (", program,
                     "); use a token or certificate of a service account"));
  }
  access.name_space = Text(context, "namespace");
  if (access.name_space.empty()) access.name_space = "default";
  IJEPA_ASSIGN_OR_RETURN(access.authority, Pem(cluster, "certificate-authority", path));
  IJEPA_ASSIGN_OR_RETURN(access.certificate, Pem(user, "client-certificate", path));
  IJEPA_ASSIGN_OR_RETURN(access.key, Pem(user, "client-key", path));
  access.token = Text(user, "token");
  access.token_file = Text(user, "tokenFile");
  return access;
}

absl::StatusOr<KubernetesAccess> InClusterAccess(const std::string& folder, const char* host,
                                                 const char* port) {
  if (host == nullptr || port == nullptr) {
    return absl::FailedPreconditionError(
        "backends.kubernetes has no kubeconfig, and this is no pod with a service account "
        "(KUBERNETES_SERVICE_HOST is not set); set kubeconfig");
  }
  KubernetesAccess access;
  const bool v6 = absl::StrContains(host, ":");
  access.server = absl::StrCat("https://", v6 ? "[" : "", host, v6 ? "]" : "", ":", port);
  access.token_file = absl::StrCat(folder, "/token");
  IJEPA_ASSIGN_OR_RETURN(access.authority, ReadFile(absl::StrCat(folder, "/ca.crt")));
  IJEPA_ASSIGN_OR_RETURN(const std::string name, ReadFile(absl::StrCat(folder, "/namespace")));
  access.name_space = std::string(absl::StripAsciiWhitespace(name));
  return access;
}

}  // namespace ijepa::coordinator
