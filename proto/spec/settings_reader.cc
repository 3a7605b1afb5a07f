// Strict reading of a daemon's settings.
#include "proto/spec/settings_reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "proto/spec/nearest.h"
#include "proto/spec/yaml_tree.h"

namespace ijepa::spec {

namespace {

using Values = std::map<std::string, std::string>;

absl::Status CheckKey(const YamlNode& entry, absl::string_view file_name,
                      const std::vector<std::string>& allowed) {
  if (std::find(allowed.begin(), allowed.end(), entry.key) != allowed.end()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(At(file_name, entry.key_position), ": ",
                                                 Shown(entry.key), " is not a key; nearest is ",
                                                 Nearest(entry.key, allowed)));
}

absl::Status TakeValue(const YamlNode& entry, absl::string_view file_name, Values& values) {
  if (entry.kind == YamlNode::Kind::kNull) return absl::OkStatus();
  if (entry.kind != YamlNode::Kind::kScalar) {
    return absl::InvalidArgumentError(absl::StrCat(At(file_name, entry.position), ": ", entry.key,
                                                   " is a list or a map; must be one value"));
  }
  values[entry.key] = entry.text;
  return absl::OkStatus();
}

absl::Status CheckMap(const YamlNode& node, absl::string_view file_name) {
  if (node.kind == YamlNode::Kind::kMap || node.kind == YamlNode::Kind::kNull) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(At(file_name, node.position), ": must be lines of `key: value`"));
}

absl::Status TakeTable(const YamlNode& node, absl::string_view file_name,
                       const std::vector<std::string>& allowed, TableEntries& entries) {
  IJEPA_RETURN_IF_ERROR(CheckMap(node, file_name));
  for (const YamlNode& entry : node.items) {
    IJEPA_RETURN_IF_ERROR(CheckMap(entry, file_name));
    Values& values = entries[entry.key];
    for (const YamlNode& item : entry.items) {
      IJEPA_RETURN_IF_ERROR(CheckKey(item, file_name, allowed));
      IJEPA_RETURN_IF_ERROR(TakeValue(item, file_name, values));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SettingsWithTables> ReadSettingsWithTables(
    absl::string_view text, absl::string_view file_name,
    const std::vector<std::string>& allowed_keys, const std::vector<SettingsTable>& tables) {
  IJEPA_ASSIGN_OR_RETURN(const YamlNode root, ParseYaml(text, file_name));
  IJEPA_RETURN_IF_ERROR(CheckMap(root, file_name));
  std::vector<std::string> allowed = allowed_keys;
  for (const SettingsTable& table : tables) allowed.push_back(table.name);
  SettingsWithTables settings;
  for (const YamlNode& entry : root.items) {
    IJEPA_RETURN_IF_ERROR(CheckKey(entry, file_name, allowed));
    const auto table = std::find_if(tables.begin(), tables.end(), [&](const SettingsTable& each) {
      return each.name == entry.key;
    });
    if (table == tables.end()) {
      IJEPA_RETURN_IF_ERROR(TakeValue(entry, file_name, settings.values));
    } else {
      IJEPA_RETURN_IF_ERROR(
          TakeTable(entry, file_name, table->allowed_keys, settings.tables[table->name]));
    }
  }
  return settings;
}

absl::StatusOr<Values> ReadSettings(absl::string_view text, absl::string_view file_name,
                                    const std::vector<std::string>& allowed_keys) {
  IJEPA_ASSIGN_OR_RETURN(SettingsWithTables settings,
                         ReadSettingsWithTables(text, file_name, allowed_keys, {}));
  return std::move(settings.values);
}

}  // namespace ijepa::spec
