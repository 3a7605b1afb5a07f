// What a job must fulfil before it is stored.
#ifndef IJEPA_PROTO_SPEC_SPEC_VALIDATE_H_
#define IJEPA_PROTO_SPEC_SPEC_VALIDATE_H_

#include <optional>

#include "absl/status/status.h"
#include "ijepa/v1/job.pb.h"
#include "proto/spec/fields.h"

namespace ijepa::spec {

struct ValidateOptions {
  // Whether the job must say where its images are; false for a look at a file alone (--dry-run).
  bool need_data = true;
  // Puts the place in the file before each line; borrowed for the call, may be null.
  const SourceMap* sources = nullptr;
};

// Checks a resolved spec. Returns InvalidArgument with one line per violation, each naming path,
// value, rule and the next step; never fails in another way, whatever the spec holds.
absl::Status Validate(const v1::JobSpec& resolved, const ValidateOptions& options = {});

// Range of a number, or of both ends of a FloatRange, RankRange or CropSize, as documented in the
// proto.
struct NumberRule {
  const char* path;
  double low;
  double high;
  bool low_open = false;   // low itself is not allowed
  bool high_open = false;  // high itself is not allowed
  bool ordered = true;     // of a FloatRange: high >= low
};

// The rule for a path, or none: booleans, texts and enums have their own.
std::optional<NumberRule> NumberRuleFor(absl::string_view path);

}  // namespace ijepa::spec

#endif  // IJEPA_PROTO_SPEC_SPEC_VALIDATE_H_
