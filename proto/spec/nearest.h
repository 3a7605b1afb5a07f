// What a mistyped name was probably meant to be.
#ifndef IJEPA_PROTO_SPEC_NEAREST_H_
#define IJEPA_PROTO_SPEC_NEAREST_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace ijepa::spec {

// Insertions, deletions and replacements of single bytes that turn a into b (Levenshtein). Time is
// the product of the lengths.
int EditDistance(absl::string_view a, absl::string_view b);

// The candidate with the smallest edit distance, the first among equals. Empty if there is none.
std::string Nearest(absl::string_view name, const std::vector<std::string>& candidates);

}  // namespace ijepa::spec

#endif  // IJEPA_PROTO_SPEC_NEAREST_H_
