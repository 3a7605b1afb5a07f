// A YAML document as a plain tree with positions, so that every reader can name the place of an
// error. yaml_tree.cc is the only file that includes yaml-cpp.
#ifndef IJEPA_PROTO_SPEC_YAML_TREE_H_
#define IJEPA_PROTO_SPEC_YAML_TREE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ijepa::spec {

// Line and column, from 1.
struct Position {
  int line = 1;
  int column = 1;
};

// "job.yaml:12:3".
std::string At(absl::string_view file_name, Position position);

// Text of a user for a message: one line of at most 80 bytes, without control characters.
std::string Shown(absl::string_view text);

struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  Position position;
  // Text of a scalar; `quoted` when it was written in quotes or as a block.
  std::string text;
  bool quoted = false;
  // Entries of a list, or of a map in the order of the file.
  std::vector<YamlNode> items;
  // Set on the entries of a map.
  std::string key;
  Position key_position;
};

// Limits that keep a hostile document small: bytes of text, as it is and of what its aliases
// repeat; nesting; nodes after aliases are expanded.
inline constexpr size_t kMaxYamlBytes = 256 * 1000;
inline constexpr size_t kMaxYamlDepth = 16;
inline constexpr size_t kMaxYamlNodes = 10000;

// Parses one document; an empty one is a kNull. Anchors and aliases are expanded. Returns
// InvalidArgument "FILE:LINE:COLUMN: ..." for text that is not YAML or not UTF-8, a duplicate key,
// a key that is not plain text, a tag, a second document, or a limit passed. Throws nothing.
absl::StatusOr<YamlNode> ParseYaml(absl::string_view text, absl::string_view file_name);

}  // namespace ijepa::spec

#endif  // IJEPA_PROTO_SPEC_YAML_TREE_H_
