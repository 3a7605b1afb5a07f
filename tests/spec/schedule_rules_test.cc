// Rules of the fields that the scheduler reads.
#include "proto/spec/schedule_rules.h"

#include <gtest/gtest.h>

namespace ijepa::spec {
namespace {

TEST(ScheduleRulesTest, ReadsTimeLimits) {
  EXPECT_EQ(*ParseTimeLimit("1h30m"), absl::Minutes(90));
  EXPECT_EQ(*ParseTimeLimit("90s"), absl::Seconds(90));
  for (const char* bad : {"", "90", "-1h", "0s", "9000h", "soon"}) {
    EXPECT_FALSE(ParseTimeLimit(bad).ok()) << bad;
  }
}

TEST(ScheduleRulesTest, NamesThePathOfEachViolation) {
  v1::JobSpec spec;
  spec.set_queue("Research");
  spec.set_priority_class("-high");
  spec.set_time_limit("3600");
  spec.mutable_topology()->set_required(v1::TOPOLOGY_LEVEL_RACK);
  spec.mutable_topology()->set_preferred(v1::TOPOLOGY_LEVEL_BLOCK);
  const auto violations = ScheduleViolations(spec);
  ASSERT_EQ(violations.size(), 4);
  EXPECT_EQ(violations[0].first, "queue");
  EXPECT_EQ(violations[1].first, "priority_class");
  EXPECT_EQ(violations[2].first, "time_limit");
  EXPECT_EQ(violations[3].first, "topology.preferred");
}

TEST(ScheduleRulesTest, TakesAJobThatSaysNothing) {
  EXPECT_TRUE(ScheduleViolations(v1::JobSpec()).empty());
}

}  // namespace
}  // namespace ijepa::spec
