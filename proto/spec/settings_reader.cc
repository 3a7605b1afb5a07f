// Strict reading of a daemon's settings.
#include "proto/spec/settings_reader.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "proto/spec/nearest.h"
#include "proto/spec/yaml_tree.h"

namespace ijepa::spec {

absl::StatusOr<std::map<std::string, std::string>> ReadSettings(
    absl::string_view text, absl::string_view file_name,
    const std::vector<std::string>& allowed_keys) {
  IJEPA_ASSIGN_OR_RETURN(const YamlNode root, ParseYaml(text, file_name));
  std::map<std::string, std::string> settings;
  if (root.kind == YamlNode::Kind::kNull) return settings;
  if (root.kind != YamlNode::Kind::kMap) {
    return absl::InvalidArgumentError(
        absl::StrCat(At(file_name, root.position), ": must be lines of `key: value`"));
  }
  for (const YamlNode& entry : root.items) {
    if (std::find(allowed_keys.begin(), allowed_keys.end(), entry.key) == allowed_keys.end()) {
      return absl::InvalidArgumentError(absl::StrCat(At(file_name, entry.key_position), ": ",
                                                     Shown(entry.key), " is not a key; nearest is ",
                                                     Nearest(entry.key, allowed_keys)));
    }
    if (entry.kind == YamlNode::Kind::kNull) continue;
    if (entry.kind != YamlNode::Kind::kScalar) {
      return absl::InvalidArgumentError(absl::StrCat(At(file_name, entry.position), ": ", entry.key,
                                                     " is a list or a map; must be one value"));
    }
    settings[entry.key] = entry.text;
  }
  return settings;
}

}  // namespace ijepa::spec
