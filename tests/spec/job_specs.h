// Job specs that the tests of this folder start from.
#ifndef IJEPA_TESTS_SPEC_JOB_SPECS_H_
#define IJEPA_TESTS_SPEC_JOB_SPECS_H_

#include <string>

#include "absl/strings/string_view.h"
#include "ijepa/v1/job.pb.h"

namespace ijepa::spec {

// The smallest file that is a valid job.
inline constexpr char kSmallestJob[] = R"(name: small
data:
  batch_size: 8
  path: /data/images
meta:
  model_name: vit_tiny
optimization:
  epochs: 2
)";

// kSmallestJob with settings applied ("mask.patch_size=8"), defaults resolved. Fails the test if a
// setting cannot be read.
v1::JobSpec Resolved(std::initializer_list<absl::string_view> settings = {});

// Whether two specs are the same message.
bool Same(const v1::JobSpec& a, const v1::JobSpec& b);

}  // namespace ijepa::spec

#endif  // IJEPA_TESTS_SPEC_JOB_SPECS_H_
