// Specs for tests.
#include "tests/spec/job_specs.h"

#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "proto/spec/spec_defaults.h"
#include "proto/spec/spec_reader.h"

namespace ijepa::spec {

v1::JobSpec Resolved(std::initializer_list<absl::string_view> settings) {
  auto spec = ReadJobSpec(kSmallestJob, "small.yaml");
  EXPECT_TRUE(spec.ok()) << spec.status();
  for (absl::string_view setting : settings) {
    const absl::Status applied = ApplySetting(&*spec, setting);
    EXPECT_TRUE(applied.ok()) << applied;
  }
  ResolveDefaults(&*spec);
  return *spec;
}

bool Same(const v1::JobSpec& a, const v1::JobSpec& b) {
  return google::protobuf::util::MessageDifferencer::Equals(a, b);
}

}  // namespace ijepa::spec
