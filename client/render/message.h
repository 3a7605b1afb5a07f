// API messages as JSON or YAML, for programs.
#ifndef IJEPA_CLIENT_RENDER_MESSAGE_H_
#define IJEPA_CLIENT_RENDER_MESSAGE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace ijepa::client {

enum class OutputFormat { kTable, kJson, kYaml };

// Protobuf JSON: lowerCamelCase names, RFC 3339 times, 64-bit integers as strings, fields without a
// value included. Bytes that are no UTF-8 become U+FFFD. `compact` puts it on one line. Ends in a
// newline.
absl::StatusOr<std::string> ToJson(const google::protobuf::Message& message, bool compact = false);

// The same document as YAML. Returns InvalidArgument if `json` is no JSON.
absl::StatusOr<std::string> JsonToYaml(absl::string_view json);

// `message` in `format`, which is kJson or kYaml.
absl::StatusOr<std::string> ToText(const google::protobuf::Message& message, OutputFormat format);

}  // namespace ijepa::client

#endif  // IJEPA_CLIENT_RENDER_MESSAGE_H_
