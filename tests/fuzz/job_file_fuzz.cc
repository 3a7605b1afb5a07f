// Any bytes as a job file: read, resolved, checked and written again, or refused; what is written
// reads back as the same job.
#include <google/protobuf/util/message_differencer.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "proto/spec/matrix.h"
#include "proto/spec/spec_defaults.h"
#include "proto/spec/spec_reader.h"
#include "proto/spec/spec_validate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  auto sweep = ijepa::spec::ReadSweep(text, "job.yaml");
  if (!sweep.ok()) return 0;
  const auto jobs = ijepa::spec::ExpandMatrix(sweep->spec, sweep->axes);
  if (!jobs.ok()) return 0;
  ijepa::v1::JobSpec spec = jobs->front().spec;
  ijepa::spec::ResolveDefaults(&spec);
  if (!ijepa::spec::Validate(spec).ok()) return 0;
  const auto again = ijepa::spec::ReadJobSpec(ijepa::spec::WriteJobSpec(spec), "again.yaml");
  if (!again.ok() || !google::protobuf::util::MessageDifferencer::Equals(*again, spec)) {
    std::abort();
  }
  return 0;
}
