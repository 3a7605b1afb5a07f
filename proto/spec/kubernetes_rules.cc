// See kubernetes_rules.h.
#include "proto/spec/kubernetes_rules.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "proto/spec/yaml_tree.h"

namespace ijepa::spec {
namespace {

using Violations = std::vector<std::pair<std::string, std::string>>;

constexpr int kMaxEntries = 64;
// Of the API server: of a DNS name, of a label's name or value, and of an image.
constexpr size_t kMaxDnsBytes = 253;
constexpr size_t kMaxLabelBytes = 63;
constexpr size_t kMaxImageBytes = 512;

bool IsLowerOrDigit(char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c); }

bool IsDnsName(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxDnsBytes && IsLowerOrDigit(text.front()) &&
         IsLowerOrDigit(text.back()) && std::all_of(text.begin(), text.end(), [](char c) {
           return IsLowerOrDigit(c) || c == '-' || c == '.';
         });
}

// The name of a label, without a prefix.
bool IsLabelName(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxLabelBytes && absl::ascii_isalnum(text.front()) &&
         absl::ascii_isalnum(text.back()) && std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
         });
}

bool IsLabelValue(absl::string_view text) { return text.empty() || IsLabelName(text); }

// nvidia.com/gpu
bool IsQualifiedName(absl::string_view text) {
  const size_t slash = text.find('/');
  if (slash == text.npos) return IsLabelName(text);
  return IsDnsName(text.substr(0, slash)) && IsLabelName(text.substr(slash + 1));
}

bool IsDigits(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
}

// 1.5Gi
bool IsQuantity(absl::string_view text) {
  static constexpr absl::string_view kUnits[] = {"",  "m",  "k",  "M",  "G",  "T",  "P",
                                                 "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
  const size_t end = std::min(text.size(), text.find_first_not_of("0123456789."));
  const absl::string_view number = text.substr(0, end);
  const size_t point = number.find('.');
  if (!IsDigits(number.substr(0, point))) return false;
  if (point != number.npos && !IsDigits(number.substr(point + 1))) return false;
  return std::find(std::begin(kUnits), std::end(kUnits), text.substr(end)) != std::end(kUnits);
}

bool IsImage(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxImageBytes && absl::ascii_isalnum(text.front()) &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isalnum(c) || absl::StrContains("-._:/@", c);
         });
}

void CheckName(const std::string& path, const std::string& name, Violations& violations) {
  if (IsDnsName(name)) return;
  violations.emplace_back(path, absl::StrCat("is \"", Shown(name), "\"; must be the name of an ",
                                             "object: lower case, digits, - and ."));
}

void CheckSize(const std::string& path, int size, Violations& violations) {
  if (size <= kMaxEntries) return;
  violations.emplace_back(path,
                          absl::StrCat("has ", size, " entries; must have at most ", kMaxEntries));
}

void CheckPairs(const std::string& path, const google::protobuf::RepeatedPtrField<v1::Label>& pairs,
                bool (*is_value)(absl::string_view), Violations& violations) {
  CheckSize(path, pairs.size(), violations);
  std::set<std::string> keys;
  for (const v1::Label& pair : pairs) {
    const bool fits = IsQualifiedName(pair.key()) && is_value(pair.value());
    if (fits && keys.insert(pair.key()).second) continue;
    violations.emplace_back(
        path,
        absl::StrCat("has ", Shown(pair.key()), ": \"", Shown(pair.value()), "\"; must be ",
                     is_value == IsQuantity ? "resources with quantities, such as {memory: 64Gi}"
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
  if (!volume.claim().empty() && !IsDnsName(volume.claim())) {
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
  if (toleration.key().empty() ? !exists : !IsQualifiedName(toleration.key())) {
    return absl::StrCat("has key \"", Shown(toleration.key()),
                        "\"; must be that of a taint, or empty with operator Exists");
  }
  if (exists && !toleration.value().empty()) {
    return absl::StrCat("has value \"", Shown(toleration.value()),
                        "\" beside operator Exists; remove one");
  }
  return IsLabelValue(toleration.value())
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
  if (kubernetes.has_image() && !IsImage(kubernetes.image())) {
    found.emplace_back("kubernetes.image", absl::StrCat("is \"", Shown(kubernetes.image()),
                                                        "\"; must be REGISTRY/NAME:TAG"));
  }
  const std::string& gpu = kubernetes.gpu_resource();
  if (kubernetes.has_gpu_resource() && gpu != "none" && !IsQualifiedName(gpu)) {
    found.emplace_back(
        "kubernetes.gpu_resource",
        absl::StrCat("is \"", Shown(gpu), "\"; must be such as nvidia.com/gpu, or none"));
  }
  if (kubernetes.has_shm_size() && !IsQuantity(kubernetes.shm_size())) {
    found.emplace_back("kubernetes.shm_size", absl::StrCat("is \"", Shown(kubernetes.shm_size()),
                                                           "\"; must be a quantity, 16Gi"));
  }
  CheckPairs("kubernetes.node_selector", kubernetes.node_selector(), IsLabelValue, found);
  CheckPairs("kubernetes.resources", kubernetes.resources(), IsQuantity, found);
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
    const absl::StatusOr<std::string> patch = PodPatchAsJson(kubernetes.pod_patch());
    if (!patch.ok()) {
      found.emplace_back("kubernetes.pod_patch",
                         absl::StrCat("does not fit a pod: ", patch.status().message(),
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

absl::StatusOr<std::string> PodPatchAsJson(absl::string_view text) {
  IJEPA_ASSIGN_OR_RETURN(std::string patch, YamlMapAsJson(text));
  const nlohmann::json pod = nlohmann::json::parse(patch, nullptr, false);
  for (const char* path : {"/metadata", "/metadata/labels", "/spec"}) {
    const nlohmann::json::json_pointer at(path);
    if (!pod.contains(at) || pod.at(at).is_object()) continue;
    return absl::InvalidArgumentError(absl::StrCat(path + 1, " is not `key: value`"));
  }
  return patch;
}

}  // namespace ijepa::spec
