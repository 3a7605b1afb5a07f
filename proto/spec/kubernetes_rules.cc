// See kubernetes_rules.h.
#include "proto/spec/kubernetes_rules.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "proto/spec/yaml_tree.h"

namespace ijepa::spec {
namespace {

using Violations = std::vector<std::pair<std::string, std::string>>;

constexpr int kMaxEntries = 64;
constexpr size_t kMaxTextBytes = 512;
constexpr char kDnsName[] = "[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?";
constexpr char kQualifiedName[] =
    "([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?";
constexpr char kLabelValue[] = "([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?";
constexpr char kQuantity[] = "[0-9]+(\\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?";

// No text longer than the rule can want reaches the expression, which works recursively.
bool Matches(const std::string& text, const char* pattern) {
  return text.size() <= kMaxTextBytes && std::regex_match(text, std::regex(pattern));
}

void CheckName(const std::string& path, const std::string& name, Violations& violations) {
  if (Matches(name, kDnsName)) return;
  violations.emplace_back(path, absl::StrCat("is \"", Shown(name), "\"; must be the name of an ",
                                             "object: lower case, digits, - and ."));
}

void CheckSize(const std::string& path, int size, Violations& violations) {
  if (size <= kMaxEntries) return;
  violations.emplace_back(path,
                          absl::StrCat("has ", size, " entries; must have at most ", kMaxEntries));
}

void CheckPairs(const std::string& path, const google::protobuf::RepeatedPtrField<v1::Label>& pairs,
                const char* value_pattern, Violations& violations) {
  CheckSize(path, pairs.size(), violations);
  std::set<std::string> keys;
  for (const v1::Label& pair : pairs) {
    const bool fits = Matches(pair.key(), kQualifiedName) && Matches(pair.value(), value_pattern);
    if (fits && keys.insert(pair.key()).second) continue;
    violations.emplace_back(
        path, absl::StrCat("has ", Shown(pair.key()), ": \"", Shown(pair.value()), "\"; must be ",
                           value_pattern == kQuantity
                               ? "resources with quantities, such as {memory: 64Gi}"
                               : "labels with values, such as {pool: a}",
                           ", each name once"));
    return;
  }
}

std::string VolumeProblem(const v1::KubernetesVolume& volume) {
  if (volume.claim().empty() == volume.host_path().empty()) {
    return absl::StrCat("has an entry for ", Shown(volume.mount_path()),
                        " without one of claim and host_path; give exactly one");
  }
  if (!volume.claim().empty() && !Matches(volume.claim(), kDnsName)) {
    return absl::StrCat("has the claim \"", Shown(volume.claim()),
                        "\"; must be the name of a PersistentVolumeClaim");
  }
  const bool absolute = absl::StartsWith(volume.mount_path(), "/") && volume.mount_path() != "/" &&
                        (volume.host_path().empty() || absl::StartsWith(volume.host_path(), "/"));
  if (!absolute || absl::StrContains(volume.mount_path(), ":")) {
    return absl::StrCat("has mount_path \"", Shown(volume.mount_path()), "\", host_path \"",
                        Shown(volume.host_path()), "\"; both must be absolute, without a colon");
  }
  return "";
}

std::string TolerationProblem(const v1::KubernetesToleration& toleration) {
  static const auto* effects =
      new std::set<std::string>({"", "NoSchedule", "PreferNoSchedule", "NoExecute"});
  const std::string& does = toleration.operator_();
  const bool exists = does == "Exists";
  if (!exists && !does.empty() && does != "Equal") {
    return absl::StrCat("has operator \"", Shown(does), "\"; must be Equal or Exists");
  }
  if (effects->count(toleration.effect()) == 0) {
    return absl::StrCat("has effect \"", Shown(toleration.effect()),
                        "\"; must be NoSchedule, PreferNoSchedule or NoExecute");
  }
  if (toleration.key().empty() ? !exists : !Matches(toleration.key(), kQualifiedName)) {
    return absl::StrCat("has key \"", Shown(toleration.key()),
                        "\"; must be that of a taint, or empty with operator Exists");
  }
  if (exists && !toleration.value().empty()) {
    return absl::StrCat("has value \"", Shown(toleration.value()),
                        "\" beside operator Exists; remove one");
  }
  return Matches(toleration.value(), kLabelValue)
             ? ""
             : absl::StrCat("has value \"", Shown(toleration.value()), "\"; must be a label's");
}

template <typename Entry>
void CheckEntries(const std::string& path, const google::protobuf::RepeatedPtrField<Entry>& entries,
                  std::string (*problem)(const Entry&), Violations& violations) {
  CheckSize(path, entries.size(), violations);
  for (const Entry& entry : entries) {
    const std::string text = problem(entry);
    if (text.empty()) continue;
    violations.emplace_back(path, text);
    return;
  }
}

nlohmann::json ScalarAsJson(const YamlNode& node) {
  int64_t whole = 0;
  double number = 0;
  if (node.quoted) return node.text;
  if (node.text == "true" || node.text == "false") return node.text == "true";
  if (absl::SimpleAtoi(node.text, &whole)) return whole;
  const bool digits = node.text.find_first_not_of("0123456789+-.eE") == node.text.npos;
  if (digits && absl::SimpleAtod(node.text, &number)) return number;
  return node.text;
}

nlohmann::json AsJson(const YamlNode& node) {
  nlohmann::json json;
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      break;
    case YamlNode::Kind::kScalar:
      json = ScalarAsJson(node);
      break;
    case YamlNode::Kind::kList:
      json = nlohmann::json::array();
      for (const YamlNode& item : node.items) json.push_back(AsJson(item));
      break;
    case YamlNode::Kind::kMap:
      json = nlohmann::json::object();
      for (const YamlNode& item : node.items) json[item.key] = AsJson(item);
      break;
  }
  return json;
}

}  // namespace

Violations KubernetesViolations(const v1::KubernetesSpec& kubernetes) {
  Violations found;
  if (kubernetes.has_image() && !Matches(kubernetes.image(), "[A-Za-z0-9][-A-Za-z0-9._:/@]*")) {
    found.emplace_back("kubernetes.image", absl::StrCat("is \"", Shown(kubernetes.image()),
                                                        "\"; must be REGISTRY/NAME:TAG"));
  }
  const std::string& gpu = kubernetes.gpu_resource();
  if (kubernetes.has_gpu_resource() && gpu != "none" && !Matches(gpu, kQualifiedName)) {
    found.emplace_back(
        "kubernetes.gpu_resource",
        absl::StrCat("is \"", Shown(gpu), "\"; must be such as nvidia.com/gpu, or none"));
  }
  if (kubernetes.has_shm_size() && !Matches(kubernetes.shm_size(), kQuantity)) {
    found.emplace_back("kubernetes.shm_size", absl::StrCat("is \"", Shown(kubernetes.shm_size()),
                                                           "\"; must be a quantity, 16Gi"));
  }
  CheckPairs("kubernetes.node_selector", kubernetes.node_selector(), kLabelValue, found);
  CheckPairs("kubernetes.resources", kubernetes.resources(), kQuantity, found);
  CheckEntries("kubernetes.volumes", kubernetes.volumes(), VolumeProblem, found);
  CheckEntries("kubernetes.tolerations", kubernetes.tolerations(), TolerationProblem, found);
  if (kubernetes.has_pod_priority_class()) {
    CheckName("kubernetes.pod_priority_class", kubernetes.pod_priority_class(), found);
  }
  if (kubernetes.has_service_account()) {
    CheckName("kubernetes.service_account", kubernetes.service_account(), found);
  }
  if (kubernetes.has_local_queue()) {
    CheckName("kubernetes.local_queue", kubernetes.local_queue(), found);
  }
  if (kubernetes.has_pod_patch()) {
    const absl::StatusOr<std::string> patch = YamlMapAsJson(kubernetes.pod_patch());
    if (!patch.ok()) {
      found.emplace_back("kubernetes.pod_patch",
                         absl::StrCat("is no map: ", patch.status().message(),
                                      "; write for example {spec: {dnsPolicy: Default}}"));
    }
  }
  return found;
}

absl::StatusOr<std::string> YamlMapAsJson(absl::string_view text) {
  IJEPA_ASSIGN_OR_RETURN(const YamlNode node, ParseYaml(text, "pod_patch"));
  if (node.kind != YamlNode::Kind::kMap) {
    return absl::InvalidArgumentError(absl::StrCat("\"", Shown(text), "\" is not `key: value`"));
  }
  return AsJson(node).dump();
}

}  // namespace ijepa::spec
