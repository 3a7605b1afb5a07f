// Builds the tree from yaml-cpp's parser events, which carry positions and show duplicate keys;
// its own node tree hides both.
#include "proto/spec/yaml_tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <exception>
#include <map>
#include <sstream>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/utf8.h"

namespace ijepa::spec {
namespace {

Position FromMark(const YAML::Mark& mark) { return {mark.line + 1, mark.column + 1}; }

struct Size {
  size_t nodes = 0;
  size_t bytes = 0;  // Of texts and keys.
};

Size SizeOf(const YamlNode& node) {
  Size size{1, node.text.size() + node.key.size()};
  for (const YamlNode& item : node.items) {
    const Size more = SizeOf(item);
    size.nodes += more.nodes;
    size.bytes += more.bytes;
  }
  return size;
}

// Throws yaml-cpp's own exception on a violation, which ParseYaml catches: the parser has no other
// way to stop early.
class TreeBuilder : public YAML::EventHandler {
 public:
  YamlNode TakeRoot() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Add(Make(mark, YamlNode::Kind::kNull), mark, anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) Fail(mark, "an alias refers to a value that contains it");
    Count(mark, SizeOf(found->second));
    YamlNode copy = found->second;
    copy.position = FromMark(mark);
    copy.key.clear();
    Add(std::move(copy), mark, YAML::NullAnchor);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    CheckTag(mark, tag);
    YamlNode node = Make(mark, YamlNode::Kind::kScalar);
    node.text = value;
    node.quoted = tag == "!";
    Add(std::move(node), mark, anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, YamlNode::Kind::kList);
  }
  void OnSequenceEnd() override { Close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, YamlNode::Kind::kMap);
  }
  void OnMapEnd() override { Close(); }

 private:
  // A list or map whose end has not been seen.
  struct OpenNode {
    YamlNode node;
    YAML::Mark mark;
    YAML::anchor_t anchor;
    bool has_key = false;
    std::string key;
    Position key_position;
  };

  [[noreturn]] static void Fail(const YAML::Mark& mark, const std::string& message) {
    throw YAML::ParserException(mark, message);
  }

  static void CheckTag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!") return;
    Fail(mark, absl::StrCat("the tag ", Shown(tag), " is not used here; write the value alone"));
  }

  void Count(const YAML::Mark& mark, Size more) {
    size_.nodes += more.nodes;
    size_.bytes += more.bytes;
    if (size_.nodes > kMaxYamlNodes) {
      Fail(mark, absl::StrCat("more than ", kMaxYamlNodes, " values, aliases expanded"));
    }
    if (size_.bytes > kMaxYamlBytes) {
      Fail(mark, absl::StrCat("more than ", kMaxYamlBytes, " bytes, aliases expanded"));
    }
  }

  YamlNode Make(const YAML::Mark& mark, YamlNode::Kind kind) {
    Count(mark, {1, 0});
    YamlNode node;
    node.kind = kind;
    node.position = FromMark(mark);
    return node;
  }

  void Open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            YamlNode::Kind kind) {
    CheckTag(mark, tag);
    if (open_.size() >= kMaxYamlDepth) {
      Fail(mark, absl::StrCat("nested deeper than ", kMaxYamlDepth, " levels"));
    }
    open_.push_back({Make(mark, kind), mark, anchor, false, "", {}});
  }

  void Close() {
    OpenNode done = std::move(open_.back());
    open_.pop_back();
    Add(std::move(done.node), done.mark, done.anchor);
  }

  // Puts a finished value into its parent.
  void Add(YamlNode node, const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) anchors_[anchor] = node;
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    OpenNode& parent = open_.back();
    if (parent.node.kind == YamlNode::Kind::kMap && !parent.has_key) {
      SetKey(parent, node, mark);
      return;
    }
    if (parent.has_key) {
      node.key = std::move(parent.key);
      node.key_position = parent.key_position;
      parent.has_key = false;
    }
    parent.node.items.push_back(std::move(node));
  }

  static void SetKey(OpenNode& parent, const YamlNode& node, const YAML::Mark& mark) {
    if (node.kind != YamlNode::Kind::kScalar) Fail(mark, "a key must be plain text");
    for (const YamlNode& item : parent.node.items) {
      if (item.key != node.text) continue;
      Fail(mark, absl::StrCat(Shown(node.text), " is given twice; first in line ",
                              item.key_position.line, "; keep one"));
    }
    parent.key = node.text;
    parent.key_position = node.position;
    parent.has_key = true;
  }

  YamlNode root_;
  std::vector<OpenNode> open_;
  std::map<YAML::anchor_t, YamlNode> anchors_;
  // Values, and of what aliases repeat also the bytes: the others are at most those of the file.
  Size size_;
};

// Whether the text is UTF-8 without control characters, which neither YAML nor a proto string
// takes.
absl::Status CheckText(absl::string_view text, absl::string_view file_name) {
  Position position;
  for (size_t i = 0; i < text.size();) {
    const size_t length = Utf8SequenceBytes(text.substr(i));
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool control =
        byte == 0x7F || (byte < 0x20 && byte != '\n' && byte != '\r' && byte != '\t');
    if (length == 0 || control) {
      return absl::InvalidArgumentError(
          absl::StrCat(At(file_name, position), ": byte 0x", absl::Hex(byte, absl::kZeroPad2),
                       " is not text; the file must be UTF-8 without control characters"));
    }
    ++position.column;
    if (text[i] == '\n') position = {position.line + 1, 1};
    i += length;
  }
  return absl::OkStatus();
}

absl::StatusOr<YamlNode> ParseChecked(absl::string_view text, absl::string_view file_name) {
  std::istringstream input{std::string(text)};
  TreeBuilder builder;
  YAML::Parser parser(input);
  parser.HandleNextDocument(builder);
  TreeBuilder rest;
  if (parser.HandleNextDocument(rest)) {
    return absl::InvalidArgumentError(
        absl::StrCat(file_name, ": holds more than one document; keep one and remove the `---`"));
  }
  return builder.TakeRoot();
}

}  // namespace

std::string At(absl::string_view file_name, Position position) {
  return absl::StrCat(file_name, ":", position.line, ":", position.column);
}

std::string Shown(absl::string_view text) {
  constexpr size_t kMaxBytes = 80;
  size_t length = std::min(text.size(), kMaxBytes);
  // Never cuts a character in two.
  while (length < text.size() && length > 0 && (text[length] & 0xC0) == 0x80) --length;
  std::string shown(text.substr(0, length));
  for (char& c : shown) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = '?';
  }
  return length < text.size() ? shown + "..." : shown;
}

absl::StatusOr<YamlNode> ParseYaml(absl::string_view text, absl::string_view file_name) {
  if (text.size() > kMaxYamlBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(file_name, ": has ", text.size(), " bytes; must be at most ", kMaxYamlBytes));
  }
  absl::Status is_text = CheckText(text, file_name);
  if (!is_text.ok()) return is_text;
  try {
    return ParseChecked(text, file_name);
  } catch (const YAML::Exception& error) {
    const Position position = error.mark.is_null() ? Position{} : FromMark(error.mark);
    return absl::InvalidArgumentError(absl::StrCat(At(file_name, position), ": ", error.msg));
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(file_name, ": not YAML: ", error.what()));
  }
}

}  // namespace ijepa::spec
