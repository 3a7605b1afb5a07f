// A sample of runs holds; every planted bug is found; a seed gives the same run.
#include <gtest/gtest.h>

#include "absl/strings/str_join.h"
#include "sabotage.h"
#include "simulation.h"

namespace ijepa::sim {
namespace {

TEST(SimulationTest, TheSameSeedGivesTheSameRun) {
  for (const uint64_t seed : {3, 77, 4021}) {
    const RunResult first = RunSimulation({seed, Sabotage::kNone, 200});
    const RunResult second = RunSimulation({seed, Sabotage::kNone, 200});
    EXPECT_EQ(first.steps, second.steps) << "seed " << seed;
    EXPECT_EQ(first.trace, second.trace) << "seed " << seed;
  }
}

TEST(SimulationTest, JobsEndInEveryWayAndTheCoordinatorDies) {
  RunResult sum;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    const RunResult result = RunSimulation({seed, Sabotage::kNone, 0});
    sum.succeeded += result.succeeded;
    sum.failed += result.failed;
    sum.cancelled += result.cancelled;
    sum.restarts += result.restarts;
    sum.crashes += result.crashes;
  }
  // A simulation in which nothing happens finds nothing.
  EXPECT_GT(sum.succeeded, 40);
  EXPECT_GT(sum.failed, 10);
  EXPECT_GT(sum.cancelled, 10);
  EXPECT_GT(sum.restarts, 100);
  EXPECT_GT(sum.crashes, 40);
}

class PlantedBugTest : public ::testing::TestWithParam<PlantedBug> {};

TEST_P(PlantedBugTest, IsFoundWithinItsNumberOfRuns) {
  const PlantedBug& bug = GetParam();
  for (int seed = 1; seed <= bug.runs; ++seed) {
    const RunResult result = RunSimulation({static_cast<uint64_t>(seed), bug.sabotage, 0});
    if (result.violation.empty()) continue;
    RecordProperty("seed", seed);
    RecordProperty("violation", result.violation);
    SUCCEED() << bug.name << " found by seed " << seed << ": " << result.violation;
    return;
  }
  FAIL() << bug.name << " was not found in " << bug.runs << " runs";
}

INSTANTIATE_TEST_SUITE_P(All, PlantedBugTest, ::testing::ValuesIn(PlantedBugs()),
                         [](const auto& info) {
                           std::string name = info.param.name;
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace ijepa::sim
