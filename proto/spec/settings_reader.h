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

}  // namespace ijepa::spec

#endif  // IJEPA_PROTO_SPEC_SETTINGS_READER_H_
