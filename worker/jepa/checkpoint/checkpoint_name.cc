// Parsing is strict: what is deleted is found by its name.
#include "worker/jepa/checkpoint/checkpoint_name.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

namespace jepa {

std::string CheckpointFolderName(int64_t step, int64_t generation) {
  return absl::StrFormat("step-%012d.g%d", step, generation);
}

std::optional<CheckpointName> ParseCheckpointName(absl::string_view name) {
  CheckpointName parsed;
  absl::string_view rest = name;
  parsed.unfinished = absl::ConsumeSuffix(&rest, kUnfinishedSuffix);
  const absl::string_view whole = rest;
  if (!absl::ConsumePrefix(&rest, "step-")) return std::nullopt;
  const size_t dot = rest.find(".g");
  if (dot == absl::string_view::npos) return std::nullopt;
  if (!absl::SimpleAtoi(rest.substr(0, dot), &parsed.step) ||
      !absl::SimpleAtoi(rest.substr(dot + 2), &parsed.generation)) {
    return std::nullopt;
  }
  // Signs, spaces and other paddings are not ours.
  if (parsed.step < 0 || parsed.generation < 0 ||
      CheckpointFolderName(parsed.step, parsed.generation) != whole) {
    return std::nullopt;
  }
  return parsed;
}

}  // namespace jepa
