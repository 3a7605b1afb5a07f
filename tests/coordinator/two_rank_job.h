// A job of two ranks on two nodes, running, at step 10: where tests of failures begin.
#ifndef IJEPA_TESTS_COORDINATOR_TWO_RANK_JOB_H_
#define IJEPA_TESTS_COORDINATOR_TWO_RANK_JOB_H_

#include <gtest/gtest.h>

#include <string>

#include "core_harness.h"

namespace ijepa::coordinator {

// Rank 0 is on node-a, rank 1 on node-b.
class TwoRankJob : public ::testing::Test {
 protected:
  void SetUp() override {
    core.Connect("node-a", 1);
    core.Connect("node-b", 1);
    id = core.Submit("job", 2);
    core.RunTo(id, 10);
    ASSERT_EQ(core.state_of(id), v1::JOB_STATE_RUNNING);
  }

  // Both nodes report, then time passes.
  void Talk(absl::Duration duration) {
    core.Report("node-a");
    core.Report("node-b");
    core.Advance(duration);
  }

  CoreHarness core;
  std::string id;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_TESTS_COORDINATOR_TWO_RANK_JOB_H_
