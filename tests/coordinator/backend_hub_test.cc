// The hub without backends: allocations of one that the settings no longer have.
#include "coordinator/backends/backend_hub.h"

#include <gtest/gtest.h>

#include <variant>

namespace ijepa::coordinator {
namespace {

class BackendHubTest : public testing::Test {
 protected:
  BackendHubTest() {
    Job job;
    job.id = "demo";
    job.proto.set_uid("uid-demo");
    v1::Allocation& allocation = *job.proto.mutable_status()->mutable_allocation();
    allocation.set_backend("slurm");
    allocation.set_generation(2);
    allocation.set_handle("17");
    state_.jobs.emplace(job.id, job);
  }

  BackendDriver::Report Report() {
    return [this](Command command) {
      const AllocationEnded& ended = std::get<AllocationEnded>(command);
      EXPECT_EQ(ended.uid, "uid-demo");
      EXPECT_EQ(ended.generation, 2);
      EXPECT_EQ(ended.end, AllocationEnd::kVanished);
      ++told_;
    };
  }

  const AllocationTokens tokens_{"key"};
  const SchedulingRules rules_;
  BackendHub hub_{tokens_, rules_};
  State state_;
  int told_ = 0;
};

TEST_F(BackendHubTest, TellsOnceAtItsStartWhatABackendThatIsGoneHad) {
  hub_.Reset(state_);
  EXPECT_EQ(told_, 0);
  hub_.Start(Report());
  EXPECT_EQ(told_, 1);
}

TEST_F(BackendHubTest, TellsAgainAfterAResetBecauseTheFirstTimeMayNotHaveBeenKept) {
  hub_.Reset(state_);
  hub_.Start(Report());
  hub_.Reset(state_);
  EXPECT_EQ(told_, 2);
  state_.jobs.clear();
  hub_.Reset(state_);
  EXPECT_EQ(told_, 2);
}

}  // namespace
}  // namespace ijepa::coordinator
