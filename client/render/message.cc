// See message.h.
#include "client/render/message.h"

#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/valid_text.h"
#include "google/protobuf/util/json_util.h"

namespace ijepa::client {
namespace {

using Json = nlohmann::ordered_json;

// Whether YAML reads `text` back as the same string without quotes.
bool IsPlainScalar(const std::string& text) {
  if (text.empty() || text.front() == ' ' || text.back() == ' ' || text.back() == ':') return false;
  double number;
  if (absl::SimpleAtod(text, &number)) return false;
  for (const char* word : {"true", "false", "yes", "no", "on", "off", "null", "~"}) {
    if (absl::EqualsIgnoreCase(text, word)) return false;
  }
  if (absl::string_view("-?:,[]{}#&*!|>'\"%@`=.+0123456789").find(text.front()) !=
      absl::string_view::npos) {
    return false;
  }
  for (char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return false;
  }
  return text.find(": ") == std::string::npos && text.find(" #") == std::string::npos;
}

std::string Scalar(const Json& value) {
  if (!value.is_string()) return value.dump();
  const std::string& text = value.get_ref<const std::string&>();
  return IsPlainScalar(text) ? text : value.dump();
}

bool IsBlock(const Json& value) { return value.is_structured() && !value.empty(); }

// Writes `value`, which IsBlock, with every line behind `indent` spaces; the first one has its
// indent already when it follows a dash.
void WriteBlock(const Json& value, int indent, bool after_dash, std::string* out) {
  for (const auto& item : value.items()) {
    if (!after_dash) out->append(indent, ' ');
    after_dash = false;
    const Json& child = item.value();
    if (value.is_array()) {
      absl::StrAppend(out, "- ");
      if (IsBlock(child)) {
        WriteBlock(child, indent + 2, true, out);
        continue;
      }
    } else {
      absl::StrAppend(out, Scalar(Json(item.key())), ":");
      if (IsBlock(child)) {
        absl::StrAppend(out, "\n");
        WriteBlock(child, indent + 2, false, out);
        continue;
      }
      absl::StrAppend(out, " ");
    }
    absl::StrAppend(out, Scalar(child), "\n");
  }
}

}  // namespace

absl::StatusOr<std::string> ToJson(const google::protobuf::Message& message, bool compact) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = !compact;
  options.always_print_primitive_fields = true;
  std::string json;
  const std::unique_ptr<google::protobuf::Message> valid(message.New());
  valid->CopyFrom(message);
  MakeTextValid(*valid);
  auto status = google::protobuf::util::MessageToJsonString(*valid, &json, options);
  if (!status.ok()) {
    return absl::InternalError(
        absl::StrCat(message.GetTypeName(), " has no JSON form: ", std::string(status.message())));
  }
  if (json.empty() || json.back() != '\n') json.push_back('\n');
  return json;
}

absl::StatusOr<std::string> JsonToYaml(absl::string_view json) {
  Json document = Json::parse(json.begin(), json.end(), nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded()) return absl::InvalidArgumentError("the text is not JSON");
  if (!IsBlock(document)) return absl::StrCat(Scalar(document), "\n");
  std::string yaml;
  WriteBlock(document, 0, false, &yaml);
  return yaml;
}

absl::StatusOr<std::string> ToText(const google::protobuf::Message& message, OutputFormat format) {
  IJEPA_ASSIGN_OR_RETURN(std::string json, ToJson(message));
  if (format == OutputFormat::kJson) return json;
  return JsonToYaml(json);
}

}  // namespace ijepa::client
