// Settings of a daemon (addresses, folders, times) from its YAML file. Flags go over them.
#ifndef IJEPA_PROTO_SPEC_SETTINGS_READER_H_
#define IJEPA_PROTO_SPEC_SETTINGS_READER_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ijepa::spec {

// Reads a flat map of keys to single values; values stay text, as flags are. A key without a value
// is absent. Keys not in `allowed_keys`, duplicates, lists and maps are InvalidArgument in the form
// "worker.yaml:3:1: nod is not a key; nearest is node". `file_name` is for messages.
absl::StatusOr<std::map<std::string, std::string>> ReadSettings(
    absl::string_view text, absl::string_view file_name,
    const std::vector<std::string>& allowed_keys);

// A key of the file whose value is a map of entries, each a map of these keys to single values:
//   queues:
//     research: {nominal: 64, weight: 2}
struct SettingsTable {
  std::string name;
  std::vector<std::string> allowed_keys;
};

// By name of the table, of the entry and of the key.
using TableEntries = std::map<std::string, std::map<std::string, std::string>>;

struct SettingsWithTables {
  std::map<std::string, std::string> values;
  std::map<std::string, TableEntries> tables;
};

// The same for a file that may also hold tables. Entries without a value have no keys.
absl::StatusOr<SettingsWithTables> ReadSettingsWithTables(
    absl::string_view text, absl::string_view file_name,
    const std::vector<std::string>& allowed_keys, const std::vector<SettingsTable>& tables);

}  // namespace ijepa::spec

#endif  // IJEPA_PROTO_SPEC_SETTINGS_READER_H_
