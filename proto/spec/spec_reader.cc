// Walks the YAML tree and the descriptor side by side.
#include "proto/spec/spec_reader.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "proto/spec/nearest.h"
#include "proto/spec/yaml_tree.h"

namespace ijepa::spec {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Problems shown at once; a file with more is not a job file.
constexpr size_t kMaxProblems = 20;

bool IsNumberText(absl::string_view text, absl::string_view marks) {
  for (const char c : text) {
    if (!absl::ascii_isdigit(c) && !absl::StrContains(marks, c)) return false;
  }
  return !text.empty() && absl::ascii_isdigit(text.back() == '.' ? text[0] : text.back());
}

bool ParseDouble(const YamlNode& node, double* value) {
  return node.kind == YamlNode::Kind::kScalar && !node.quoted && IsNumberText(node.text, "+-.eE") &&
         absl::SimpleAtod(node.text, value) && std::isfinite(*value);
}

template <typename Int>
bool ParseInt(const YamlNode& node, Int* value) {
  return node.kind == YamlNode::Kind::kScalar && !node.quoted && IsNumberText(node.text, "+-") &&
         absl::SimpleAtoi(node.text, value);
}

std::string ShownValue(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return "null";
    case YamlNode::Kind::kList:
      return absl::StrCat("a list of ", node.items.size());
    case YamlNode::Kind::kMap:
      return "a map";
    case YamlNode::Kind::kScalar:
      break;
  }
  const std::string text = Shown(node.text);
  return node.quoted ? absl::StrCat("the text \"", text, "\"") : text;
}

// The valid path that a wrong one was probably meant to be: the same key in another section, else
// the nearest key, those of the same section first.
std::string NearestPath(absl::string_view path) {
  const size_t dot = path.rfind('.');
  const absl::string_view section = dot == path.npos ? "" : path.substr(0, dot);
  const absl::string_view key = dot == path.npos ? path : path.substr(dot + 1);
  std::string best;
  int best_distance = std::numeric_limits<int>::max();
  const auto consider = [&](absl::string_view its_section, absl::string_view its_key) {
    const int away = its_section == section ? 0 : 1;
    const int distance = 2 * EditDistance(key.substr(0, 256), its_key) + away;
    if (distance >= best_distance) return;
    best_distance = distance;
    best = its_section.empty() ? std::string(its_key) : absl::StrCat(its_section, ".", its_key);
  };
  for (const Field& field : AllFields()) {
    if (field.section != nullptr) consider("", field.section->name());
    consider(field.section == nullptr ? "" : field.section->name(), field.leaf->name());
  }
  return best;
}

// The valid key of an entry of a list that a wrong one was probably meant to be.
std::string NearestKey(absl::string_view key, const Message& entry) {
  std::vector<std::string> keys;
  for (int i = 0; i < entry.GetDescriptor()->field_count(); ++i) {
    keys.push_back(entry.GetDescriptor()->field(i)->name());
  }
  return Nearest(key, keys);
}

// One line that reads back as an equal value.
std::string WriteYaml(const YamlNode& node) {
  std::vector<std::string> items;
  for (const YamlNode& item : node.items) {
    const bool is_map = node.kind == YamlNode::Kind::kMap;
    items.push_back(
        absl::StrCat(is_map ? absl::StrCat(TextAsYaml(item.key), ": ") : "", WriteYaml(item)));
  }
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return "null";
    case YamlNode::Kind::kList:
      return absl::StrCat("[", absl::StrJoin(items, ", "), "]");
    case YamlNode::Kind::kMap:
      return absl::StrCat("{", absl::StrJoin(items, ", "), "}");
    case YamlNode::Kind::kScalar:
      break;
  }
  const auto safe = [](char c) {
    return absl::ascii_isalnum(c) || absl::StrContains("+-._/", absl::string_view(&c, 1));
  };
  // Quotes around a number or a word would make it text.
  const bool plain =
      !node.quoted && !node.text.empty() && std::all_of(node.text.begin(), node.text.end(), safe);
  return plain ? node.text : TextAsYaml(node.text);
}

class Reader {
 public:
  // `file_name` alone is the place of a problem when the text has no lines (--set).
  Reader(std::string file_name, bool has_lines, SourceMap* sources)
      : file_name_(std::move(file_name)), has_lines_(has_lines), sources_(sources) {}

  void ReadRoot(const YamlNode& root, v1::JobSpec* spec) {
    if (root.kind == YamlNode::Kind::kNull) return;
    if (root.kind != YamlNode::Kind::kMap) {
      Problem(root.position,
              absl::StrCat("a job file is lines of `key: value`, not ", ShownValue(root)));
      return;
    }
    ReadSection(root, "", spec);
  }

  absl::Status Result() const {
    if (problems_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrJoin(problems_, "\n"));
  }

 private:
  std::string Place(Position position) const {
    return has_lines_ ? At(file_name_, position) : file_name_;
  }

  void Problem(Position position, absl::string_view text) {
    if (problems_.size() >= kMaxProblems) return;
    problems_.push_back(absl::StrCat(Place(position), ": ", text));
  }

  void WrongType(const YamlNode& node, const std::string& path, absl::string_view rule) {
    Problem(node.position, absl::StrCat(path, " is ", ShownValue(node), "; must be ", rule));
  }

  void ReadSection(const YamlNode& map, const std::string& prefix, Message* message) {
    for (const YamlNode& entry : map.items) {
      const std::string path = absl::StrCat(prefix, entry.key);
      const FieldDescriptor* field = message->GetDescriptor()->FindFieldByName(entry.key);
      if (field == nullptr) {
        const bool in_list = absl::EndsWith(prefix, "].");
        Problem(entry.key_position,
                absl::StrCat(Shown(path), " is not a key; nearest is ",
                             in_list ? NearestKey(entry.key, *message) : NearestPath(path)));
        continue;
      }
      ReadEntry(entry, path, field, message);
    }
  }

  void ReadEntry(const YamlNode& entry, const std::string& path, const FieldDescriptor* field,
                 Message* message) {
    const google::protobuf::Reflection& values = *message->GetReflection();
    if (entry.kind == YamlNode::Kind::kNull) {
      values.ClearField(message, field);
      if (sources_ != nullptr) sources_->erase(path);
      return;
    }
    // A section that a setting passes through was not written by it.
    const bool passed = !has_lines_ && entry.kind == YamlNode::Kind::kMap;
    if (sources_ != nullptr && !passed) (*sources_)[path] = Place(entry.position);
    if (field->is_repeated()) {
      ReadList(entry, path, field, message);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      ReadMessage(entry, path, values.MutableMessage(message, field));
    } else {
      ReadScalar(entry, path, field, message);
    }
  }

  void ReadMessage(const YamlNode& node, const std::string& path, Message* message) {
    if (message->GetDescriptor() == v1::FloatRange::descriptor()) {
      ReadFloatRange(node, path, static_cast<v1::FloatRange*>(message));
    } else if (message->GetDescriptor() == v1::RankRange::descriptor()) {
      ReadRankRange(node, path, static_cast<v1::RankRange*>(message));
    } else if (message->GetDescriptor() == v1::CropSize::descriptor()) {
      ReadCropSize(node, path, static_cast<v1::CropSize*>(message));
    } else if (message->GetDescriptor() == v1::ChannelValues::descriptor()) {
      ReadChannelValues(node, path, static_cast<v1::ChannelValues*>(message));
    } else if (node.kind != YamlNode::Kind::kMap) {
      WrongType(node, path, absl::StrCat("a section of `key: value` lines"));
    } else {
      ReadSection(node, absl::StrCat(path, "."), message);
    }
  }

  // The list takes the place of what was there.
  void ReadList(const YamlNode& node, const std::string& path, const FieldDescriptor* field,
                Message* message) {
    const google::protobuf::Reflection& values = *message->GetReflection();
    values.ClearField(message, field);
    if (field->message_type() == v1::Label::descriptor()) {
      return ReadLabels(node, path, field, message);
    }
    if (node.kind != YamlNode::Kind::kList) {
      return WrongType(node, path, "a list of {key: value, ...}");
    }
    for (size_t i = 0; i < node.items.size(); ++i) {
      ReadMessage(node.items[i], absl::StrCat(path, "[", i, "]"),
                  values.AddMessage(message, field));
    }
  }

  void ReadLabels(const YamlNode& node, const std::string& path, const FieldDescriptor* field,
                  Message* message) {
    if (node.kind != YamlNode::Kind::kMap) {
      return WrongType(node, path, "names and values, such as {team: vision}");
    }
    for (const YamlNode& item : node.items) {
      if (item.kind != YamlNode::Kind::kScalar) {
        return WrongType(item, absl::StrCat(path, ".", Shown(item.key)), "text");
      }
      auto& label = static_cast<v1::Label&>(*message->GetReflection()->AddMessage(message, field));
      label.set_key(item.key);
      label.set_value(item.text);
    }
  }

  void ReadFloatRange(const YamlNode& node, const std::string& path, v1::FloatRange* range) {
    double low = 0;
    double high = 0;
    const bool is_pair = node.kind == YamlNode::Kind::kList && node.items.size() == 2;
    if (!is_pair || !ParseDouble(node.items[0], &low) || !ParseDouble(node.items[1], &high)) {
      WrongType(node, path, "a list of two numbers, such as [0.2, 0.8]");
      return;
    }
    range->set_low(low);
    range->set_high(high);
  }

  void ReadCropSize(const YamlNode& node, const std::string& path, v1::CropSize* size) {
    int height = 0;
    int width = 0;
    const bool is_pair = node.kind == YamlNode::Kind::kList && node.items.size() == 2;
    if (ParseInt(node, &height)) {
      width = height;
    } else if (!is_pair || !ParseInt(node.items[0], &height) || !ParseInt(node.items[1], &width)) {
      WrongType(node, path, "a whole number of pixels, or a list [height, width]");
      return;
    }
    size->set_height(height);
    size->set_width(width);
  }

  void ReadChannelValues(const YamlNode& node, const std::string& path, v1::ChannelValues* values) {
    std::vector<double> numbers(node.items.size());
    bool is_list = node.kind == YamlNode::Kind::kList && !node.items.empty();
    for (size_t i = 0; is_list && i < numbers.size(); ++i) {
      is_list = ParseDouble(node.items[i], &numbers[i]);
    }
    if (!is_list) return WrongType(node, path, "a list of one number per channel, such as [0.5]");
    values->mutable_values()->Assign(numbers.begin(), numbers.end());
  }

  void ReadRankRange(const YamlNode& node, const std::string& path, v1::RankRange* ranks) {
    int min = 0;
    int max = 0;
    if (ParseInt(node, &min)) {
      ranks->set_min(min);
      ranks->set_max(min);
      return;
    }
    bool complete = node.kind == YamlNode::Kind::kMap && node.items.size() == 2;
    for (size_t i = 0; complete && i < 2; ++i) {
      const YamlNode& item = node.items[i];
      complete = (item.key == "min" && ParseInt(item, &min)) ||
                 (item.key == "max" && ParseInt(item, &max));
    }
    if (!complete) {
      WrongType(node, path, "a whole number, or {min: A, max: B}");
      return;
    }
    ranks->set_min(min);
    ranks->set_max(max);
  }

  void ReadScalar(const YamlNode& node, const std::string& path, const FieldDescriptor* field,
                  Message* message) {
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        return ReadInt<int32_t>(node, path, [&](int32_t value) {
          message->GetReflection()->SetInt32(message, field, value);
        });
      case FieldDescriptor::CPPTYPE_INT64:
        return ReadInt<int64_t>(node, path, [&](int64_t value) {
          message->GetReflection()->SetInt64(message, field, value);
        });
      case FieldDescriptor::CPPTYPE_UINT64:
        return ReadInt<uint64_t>(node, path, [&](uint64_t value) {
          message->GetReflection()->SetUInt64(message, field, value);
        });
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return ReadDouble(node, path, field, message);
      case FieldDescriptor::CPPTYPE_BOOL:
        return ReadBool(node, path, field, message);
      case FieldDescriptor::CPPTYPE_ENUM:
        return ReadEnum(node, path, field, message);
      case FieldDescriptor::CPPTYPE_STRING:
        return ReadString(node, path, field, message);
      default:
        return Problem(node.position, absl::StrCat(path, " cannot be set in YAML"));
    }
  }

  template <typename Int, typename Set>
  void ReadInt(const YamlNode& node, const std::string& path, const Set& set) {
    Int value = 0;
    if (ParseInt(node, &value)) return set(value);
    WrongType(node, path,
              absl::StrCat("a whole number from ", std::numeric_limits<Int>::min(), " to ",
                           std::numeric_limits<Int>::max(), ", without a point"));
  }

  void ReadDouble(const YamlNode& node, const std::string& path, const FieldDescriptor* field,
                  Message* message) {
    double value = 0;
    if (!ParseDouble(node, &value)) return WrongType(node, path, "a number, such as 0.05 or 1e-6");
    message->GetReflection()->SetDouble(message, field, value);
  }

  void ReadBool(const YamlNode& node, const std::string& path, const FieldDescriptor* field,
                Message* message) {
    const std::string text = absl::AsciiStrToLower(node.text);
    const bool plain = node.kind == YamlNode::Kind::kScalar && !node.quoted;
    if (!plain || (text != "true" && text != "false")) {
      return WrongType(node, path, "true or false");
    }
    message->GetReflection()->SetBool(message, field, text == "true");
  }

  void ReadEnum(const YamlNode& node, const std::string& path, const FieldDescriptor* field,
                Message* message) {
    std::vector<std::string> names;
    for (int i = 1; i < field->enum_type()->value_count(); ++i) {
      const auto* value = field->enum_type()->value(i);
      names.push_back(EnumName(*value));
      if (node.kind != YamlNode::Kind::kScalar || node.text != names.back()) continue;
      message->GetReflection()->SetEnum(message, field, value);
      return;
    }
    std::string rule = absl::StrJoin(names, " or ");
    if (node.kind == YamlNode::Kind::kScalar) {
      absl::StrAppend(&rule, "; nearest is ", Nearest(node.text, names));
    }
    WrongType(node, path, rule);
  }

  void ReadString(const YamlNode& node, const std::string& path, const FieldDescriptor* field,
                  Message* message) {
    // Text that is itself YAML may be written as such.
    if (field->full_name() == "ijepa.v1.KubernetesSpec.pod_patch" &&
        node.kind == YamlNode::Kind::kMap) {
      return message->GetReflection()->SetString(message, field, WriteYaml(node));
    }
    const std::string lower = absl::AsciiStrToLower(node.text);
    const bool is_bool = !node.quoted && (lower == "true" || lower == "false");
    if (node.kind != YamlNode::Kind::kScalar || is_bool) {
      return WrongType(node, path, "text");
    }
    message->GetReflection()->SetString(message, field, node.text);
  }

  std::string file_name_;
  bool has_lines_;
  SourceMap* sources_;
  std::vector<std::string> problems_;
};

// Wraps a value into the map that its path describes: mask.mode -> {mask: {mode: value}}.
YamlNode Nest(absl::string_view path, YamlNode value) {
  const size_t dot = path.find('.');
  YamlNode map;
  map.kind = YamlNode::Kind::kMap;
  if (dot != path.npos) value = Nest(path.substr(dot + 1), std::move(value));
  value.key = std::string(path.substr(0, dot));
  map.items.push_back(std::move(value));
  return map;
}

// The axes that a `matrix` section describes.
absl::StatusOr<std::vector<MatrixAxis>> ReadAxes(const YamlNode& matrix,
                                                 absl::string_view file_name) {
  const auto wrong = [&](const YamlNode& node, absl::string_view path) {
    return absl::InvalidArgumentError(
        absl::StrCat(At(file_name, node.position), ": ", path, " is ", ShownValue(node),
                     "; must be a path and its values, such as optimization.lr: [1e-3, 5e-4]"));
  };
  if (matrix.kind != YamlNode::Kind::kMap) return wrong(matrix, "matrix");
  std::vector<MatrixAxis> axes;
  for (const YamlNode& entry : matrix.items) {
    if (entry.kind != YamlNode::Kind::kList || entry.items.empty()) {
      return wrong(entry, absl::StrCat("matrix.", Shown(entry.key)));
    }
    MatrixAxis axis{entry.key, {}};
    for (const YamlNode& value : entry.items) axis.values.push_back(WriteYaml(value));
    axes.push_back(std::move(axis));
  }
  return axes;
}

// The line that opens a section; none when the spec does not have it.
std::string SectionHead(const v1::JobSpec& spec, const FieldDescriptor* section) {
  if (!spec.GetReflection()->HasField(spec, section)) return "";
  const Message& message = spec.GetReflection()->GetMessage(spec, section);
  std::vector<const FieldDescriptor*> present;
  message.GetReflection()->ListFields(message, &present);
  return absl::StrCat(section->name(), present.empty() ? ": {}\n" : ":\n");
}

}  // namespace

absl::StatusOr<v1::JobSpec> ReadJobSpec(absl::string_view text, absl::string_view file_name,
                                        SourceMap* sources) {
  IJEPA_ASSIGN_OR_RETURN(const YamlNode root, ParseYaml(text, file_name));
  v1::JobSpec spec;
  Reader reader(std::string(file_name), true, sources);
  reader.ReadRoot(root, &spec);
  IJEPA_RETURN_IF_ERROR(reader.Result());
  return spec;
}

absl::StatusOr<Sweep> ReadSweep(absl::string_view text, absl::string_view file_name,
                                SourceMap* sources) {
  IJEPA_ASSIGN_OR_RETURN(YamlNode root, ParseYaml(text, file_name));
  Sweep sweep;
  const auto matrix = std::find_if(root.items.begin(), root.items.end(),
                                   [](const YamlNode& entry) { return entry.key == "matrix"; });
  if (root.kind == YamlNode::Kind::kMap && matrix != root.items.end()) {
    IJEPA_ASSIGN_OR_RETURN(sweep.axes, ReadAxes(*matrix, file_name));
    root.items.erase(matrix);
  }
  Reader reader(std::string(file_name), true, sources);
  reader.ReadRoot(root, &sweep.spec);
  IJEPA_RETURN_IF_ERROR(reader.Result());
  return sweep;
}

absl::Status ApplySetting(v1::JobSpec* spec, absl::string_view setting, SourceMap* sources) {
  const size_t equals = setting.find('=');
  const std::string place = absl::StrCat("--set ", Shown(setting));
  if (equals == setting.npos || equals == 0 || equals > 200) {
    return absl::InvalidArgumentError(
        absl::StrCat(place, ": must be PATH=VALUE, such as --set optimization.lr=1e-3"));
  }
  IJEPA_ASSIGN_OR_RETURN(YamlNode value, ParseYaml(setting.substr(equals + 1), place));
  const absl::string_view path = absl::StripAsciiWhitespace(setting.substr(0, equals));
  if (std::count(path.begin(), path.end(), '.') > static_cast<int>(kMaxYamlDepth)) {
    return absl::InvalidArgumentError(
        absl::StrCat(place, ": ", Shown(path), " is not a key; nearest is ", NearestPath(path)));
  }
  v1::JobSpec changed = *spec;
  SourceMap changed_sources = sources == nullptr ? SourceMap() : *sources;
  Reader reader(place, false, &changed_sources);
  reader.ReadRoot(Nest(path, std::move(value)), &changed);
  IJEPA_RETURN_IF_ERROR(reader.Result());
  *spec = std::move(changed);
  if (sources != nullptr) *sources = std::move(changed_sources);
  return absl::OkStatus();
}

std::string WriteJobSpec(const v1::JobSpec& spec) {
  std::string yaml;
  const FieldDescriptor* section = nullptr;
  for (const Field& field : AllFields()) {
    if (field.section != section) {
      section = field.section;
      absl::StrAppend(&yaml, SectionHead(spec, section));
    }
    if (!HasField(spec, field)) continue;
    absl::StrAppend(&yaml, section == nullptr ? "" : "  ", field.leaf->name(), ": ",
                    FieldText(spec, field), "\n");
  }
  return yaml.empty() ? "{}\n" : yaml;
}

std::string NameFromFile(absl::string_view file_name) {
  const size_t slash = file_name.rfind('/');
  if (slash != file_name.npos) file_name.remove_prefix(slash + 1);
  for (absl::string_view ending : {".yaml", ".yml"}) {
    if (absl::EndsWithIgnoreCase(file_name, ending)) file_name.remove_suffix(ending.size());
  }
  std::string name;
  for (const char c : file_name) {
    const bool letter = absl::ascii_isalnum(c);
    if (!letter && (name.empty() || name.back() == '-')) continue;
    name += letter ? absl::ascii_tolower(c) : '-';
    if (name.size() == 63) break;
  }
  while (!name.empty() && name.back() == '-') name.pop_back();
  return name.empty() ? "job" : name;
}

}  // namespace ijepa::spec
