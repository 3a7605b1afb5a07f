// Walks the descriptor of JobSpec once, and values by reflection.
#include "proto/spec/fields.h"

#include <array>
#include <charconv>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ijepa::spec {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

bool IsValueMessage(const Descriptor* type) {
  return type == v1::FloatRange::descriptor() || type == v1::RankRange::descriptor() ||
         type == v1::CropSize::descriptor() || type == v1::ChannelValues::descriptor();
}

bool IsSection(const FieldDescriptor* field) {
  return field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !field->is_repeated() &&
         !IsValueMessage(field->message_type());
}

std::vector<Field> CollectFields() {
  std::vector<Field> top;
  std::vector<Field> nested;
  const Descriptor* root = v1::JobSpec::descriptor();
  for (int i = 0; i < root->field_count(); ++i) {
    const FieldDescriptor* field = root->field(i);
    if (!IsSection(field)) {
      top.push_back({field->name(), nullptr, field});
      continue;
    }
    for (int k = 0; k < field->message_type()->field_count(); ++k) {
      const FieldDescriptor* leaf = field->message_type()->field(k);
      nested.push_back({absl::StrCat(field->name(), ".", leaf->name()), field, leaf});
    }
  }
  top.insert(top.end(), nested.begin(), nested.end());
  return top;
}

std::string MessageText(const Message& value) {
  if (value.GetDescriptor() == v1::FloatRange::descriptor()) {
    const auto& range = static_cast<const v1::FloatRange&>(value);
    return absl::StrCat("[", NumberText(range.low()), ", ", NumberText(range.high()), "]");
  }
  if (value.GetDescriptor() == v1::CropSize::descriptor()) {
    const auto& size = static_cast<const v1::CropSize&>(value);
    if (size.height() == size.width()) return absl::StrCat(size.height());
    return absl::StrCat("[", size.height(), ", ", size.width(), "]");
  }
  if (value.GetDescriptor() == v1::ChannelValues::descriptor()) {
    const auto& channels = static_cast<const v1::ChannelValues&>(value);
    const auto text = [](std::string* out, double number) { out->append(NumberText(number)); };
    return absl::StrCat("[", absl::StrJoin(channels.values(), ", ", text), "]");
  }
  const auto& ranks = static_cast<const v1::RankRange&>(value);
  if (ranks.min() == ranks.max()) return absl::StrCat(ranks.min());
  return absl::StrCat("{min: ", ranks.min(), ", max: ", ranks.max(), "}");
}

// A value that is present and not repeated.
std::string ValueText(const Message& holder, const FieldDescriptor* field) {
  const google::protobuf::Reflection& values = *holder.GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return absl::StrCat(values.GetInt32(holder, field));
    case FieldDescriptor::CPPTYPE_INT64:
      return absl::StrCat(values.GetInt64(holder, field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return absl::StrCat(values.GetUInt64(holder, field));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return NumberText(values.GetDouble(holder, field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return values.GetBool(holder, field) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_ENUM:
      return EnumName(*values.GetEnum(holder, field));
    case FieldDescriptor::CPPTYPE_STRING:
      return TextAsYaml(values.GetString(holder, field));
    default:
      return MessageText(values.GetMessage(holder, field));
  }
}

// A list of flat messages: "[{kind: kill, step: 20}]"; of labels: "{team: vision}".
std::string ListText(const Message& holder, const FieldDescriptor* field) {
  const google::protobuf::Reflection& values = *holder.GetReflection();
  if (field->message_type() == v1::Label::descriptor()) {
    std::vector<std::string> pairs;
    for (int i = 0; i < values.FieldSize(holder, field); ++i) {
      const auto& label =
          static_cast<const v1::Label&>(values.GetRepeatedMessage(holder, field, i));
      pairs.push_back(absl::StrCat(TextAsYaml(label.key()), ": ", TextAsYaml(label.value())));
    }
    return absl::StrCat("{", absl::StrJoin(pairs, ", "), "}");
  }
  std::vector<std::string> items;
  for (int i = 0; i < values.FieldSize(holder, field); ++i) {
    const Message& item = values.GetRepeatedMessage(holder, field, i);
    std::vector<const FieldDescriptor*> present;
    item.GetReflection()->ListFields(item, &present);
    std::vector<std::string> pairs;
    for (const FieldDescriptor* key : present) {
      pairs.push_back(absl::StrCat(key->name(), ": ", ValueText(item, key)));
    }
    items.push_back(absl::StrCat("{", absl::StrJoin(pairs, ", "), "}"));
  }
  return absl::StrCat("[", absl::StrJoin(items, ", "), "]");
}

}  // namespace

const std::vector<Field>& AllFields() {
  static const auto* fields = new std::vector<Field>(CollectFields());
  return *fields;
}

const Field* FindField(absl::string_view path) {
  for (const Field& field : AllFields()) {
    if (field.path == path) return &field;
  }
  return nullptr;
}

const Message& HolderOf(const v1::JobSpec& spec, const Field& field) {
  if (field.section == nullptr) return spec;
  return spec.GetReflection()->GetMessage(spec, field.section);
}

bool HasField(const v1::JobSpec& spec, const Field& field) {
  const Message& holder = HolderOf(spec, field);
  const google::protobuf::Reflection& values = *holder.GetReflection();
  if (field.leaf->is_repeated()) return values.FieldSize(holder, field.leaf) > 0;
  return values.HasField(holder, field.leaf);
}

std::string FieldText(const v1::JobSpec& spec, const Field& field) {
  if (!HasField(spec, field)) return "";
  const Message& holder = HolderOf(spec, field);
  return field.leaf->is_repeated() ? ListText(holder, field.leaf) : ValueText(holder, field.leaf);
}

std::string TextAsYaml(const std::string& text) {
  constexpr absl::string_view kSafeMarks = "_-./";
  bool plain = !text.empty() && (absl::ascii_isalpha(text[0]) || text[0] == '/');
  for (const char c : text) {
    plain = plain && (absl::ascii_isalnum(c) || absl::StrContains(kSafeMarks, c));
  }
  const std::string lower = absl::AsciiStrToLower(text);
  for (absl::string_view word : {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}) {
    plain = plain && lower != word;
  }
  if (plain) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (c == '\n') {
      quoted += "\\n";
    } else if (c == '\t') {
      quoted += "\\t";
    } else if (c == '\r') {
      quoted += "\\r";
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

std::string EnumName(const google::protobuf::EnumValueDescriptor& value) {
  constexpr absl::string_view kZero = "UNSPECIFIED";
  const std::string& zero = value.type()->value(0)->name();
  absl::string_view name = value.name();
  if (absl::EndsWith(zero, kZero)) {
    const absl::string_view prefix = absl::string_view(zero).substr(0, zero.size() - kZero.size());
    if (absl::StartsWith(name, prefix)) name.remove_prefix(prefix.size());
  }
  return absl::AsciiStrToLower(name);
}

std::string NumberText(double value) {
  std::array<char, 64> buffer;
  const double size = std::abs(value);
  const bool fixed = size == 0 || (size >= 1e-4 && size < 1e9);
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 fixed ? std::chars_format::fixed : std::chars_format::scientific)
                       .ptr;
  return std::string(buffer.data(), end);
}

}  // namespace ijepa::spec
