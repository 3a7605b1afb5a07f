// The small pure parts of the loop: when to probe, how fast it goes, whose masks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/jepa/mask_streams.h"
#include "worker/jepa/probe_plan.h"
#include "worker/jepa/rate_meter.h"

namespace jepa {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<int64_t> AllDue(ProbePlan plan, int64_t total_steps) {
  std::vector<int64_t> due;
  for (int64_t step = 0; step <= total_steps; ++step) {
    if (!plan.Due(step)) continue;
    due.push_back(step);
    plan.Done(step);
    EXPECT_FALSE(plan.Due(step)) << step;
  }
  return due;
}

TEST(ProbePlanTest, ProbesBothEndsAndEvenlyBetween) {
  EvalConfig eval;
  eval.path = "somewhere";
  EXPECT_THAT(AllDue(ProbePlan(eval, 100), 100), ElementsAre(0, 100));
  eval.intermediate = 3;
  EXPECT_THAT(AllDue(ProbePlan(eval, 101), 101), ElementsAre(0, 25, 50, 75, 101));
  // More probes than steps: each step once.
  eval.intermediate = 100;
  EXPECT_THAT(AllDue(ProbePlan(eval, 3), 3), ElementsAre(0, 1, 2, 3));
}

TEST(ProbePlanTest, SkipsWhatIsStored) {
  EvalConfig eval;
  eval.path = "somewhere";
  eval.intermediate = 3;
  eval.skip_initial = true;
  EXPECT_THAT(AllDue(ProbePlan(eval, 100), 100), ElementsAre(25, 50, 75, 100));
  eval.last_probe_step = 50;
  EXPECT_THAT(AllDue(ProbePlan(eval, 100), 100), ElementsAre(75, 100));
  eval.last_probe_step = 100;
  EXPECT_THAT(AllDue(ProbePlan(eval, 100), 100), IsEmpty());
}

TEST(ProbePlanTest, NothingIsDueWithoutImages) {
  EXPECT_THAT(AllDue(ProbePlan(EvalConfig(), 10), 10), IsEmpty());
}

TEST(RateMeterTest, IsExactForASteadyRateFromTheFirstStep) {
  RateMeter meter(absl::Seconds(10));
  EXPECT_EQ(meter.per_second(), 0);
  for (int i = 0; i < 50; ++i) {
    meter.Add(8, absl::Milliseconds(250));
    EXPECT_NEAR(meter.per_second(), 32, 1e-9);
  }
}

TEST(RateMeterTest, FollowsAChangeWithinItsMemory) {
  RateMeter meter(absl::Seconds(10));
  for (int i = 0; i < 100; ++i) meter.Add(10, absl::Seconds(1));
  for (int i = 0; i < 10; ++i) meter.Add(20, absl::Seconds(1));
  EXPECT_GT(meter.per_second(), 15);
  EXPECT_LT(meter.per_second(), 17.5);
  meter.Add(5, absl::ZeroDuration());
  EXPECT_LT(meter.per_second(), 17.5);
}

TrainConfig FourShards(MaskMode mode, int rank) {
  TrainConfig config;
  config.data.batch_size = 3;
  config.model.grid_height = config.model.grid_width = 14;
  config.mask.mode = mode;
  config.shards = 4;
  config.world_size = 2;
  config.rank = rank;
  return config;
}

TEST(MaskStreamsTest, RanksShareTheShardsInRuns) {
  EXPECT_THAT(LocalShards(FourShards(MaskMode::kFixed, 0)), ElementsAre(0, 1));
  EXPECT_THAT(LocalShards(FourShards(MaskMode::kFixed, 1)), ElementsAre(2, 3));
}

class MaskStreamsModeTest : public ::testing::TestWithParam<MaskMode> {};
INSTANTIATE_TEST_SUITE_P(Modes, MaskStreamsModeTest,
                         ::testing::Values(MaskMode::kFixed, MaskMode::kReference));

TEST_P(MaskStreamsModeTest, AnyRankCanSaveWhatAnyRankContinues) {
  MaskStreams rank_0(FourShards(GetParam(), 0));
  MaskStreams rank_1(FourShards(GetParam(), 1));
  for (int64_t step = 0; step < 3; ++step) {
    ASSERT_TRUE(rank_0.Sample(step).ok());
    ASSERT_TRUE(rank_1.Sample(step).ok());
  }
  std::map<std::string, std::string> values;
  rank_0.SaveTo(values);
  EXPECT_EQ(values.size(), GetParam() == MaskMode::kReference ? 4u : 0u);
  MaskStreams resumed(FourShards(GetParam(), 1));
  ASSERT_TRUE(resumed.RestoreFrom(values).ok());
  const auto expected = rank_1.Sample(3);
  const auto actual = resumed.Sample(3);
  ASSERT_TRUE(expected.ok() && actual.ok()) << actual.status();
  ASSERT_EQ(actual->size(), 2u);
  for (size_t shard = 0; shard < 2; ++shard) {
    EXPECT_EQ((*actual)[shard].context, (*expected)[shard].context);
    EXPECT_EQ((*actual)[shard].target, (*expected)[shard].target);
  }
}

TEST(MaskStreamsTest, MissingOrDamagedStateIsDataLoss) {
  MaskStreams streams(FourShards(MaskMode::kReference, 0));
  EXPECT_EQ(streams.RestoreFrom({}).code(), absl::StatusCode::kDataLoss);
  std::map<std::string, std::string> values;
  streams.SaveTo(values);
  values["mask_state/2"] = "%%%";
  EXPECT_EQ(streams.RestoreFrom(values).code(), absl::StatusCode::kDataLoss);
}

// A shard has the same masks whatever rank computes it.
TEST(MaskStreamsTest, BalancedMasksBelongToShardsAndNotToRanks) {
  TrainConfig config;
  config.mask.mode = MaskMode::kFixed;
  config.mask.balance = true;
  config.model.grid_height = config.model.grid_width = 16;
  config.data.batch_size = 5;
  config.shards = 4;
  std::vector<std::vector<std::vector<int64_t>>> contexts_by_world;
  for (const int world : {1, 2, 4}) {
    config.world_size = world;
    std::vector<std::vector<int64_t>> contexts;
    for (config.rank = 0; config.rank < world; ++config.rank) {
      MaskStreams streams(config);
      const auto masks = streams.Sample(/*step=*/3);
      ASSERT_TRUE(masks.ok()) << masks.status();
      for (const MaskBatch& batch : *masks) contexts.push_back(batch.context[0]);
    }
    contexts_by_world.push_back(contexts);
  }
  EXPECT_EQ(contexts_by_world[0].size(), 4u);
  EXPECT_THAT(contexts_by_world, ::testing::Each(contexts_by_world[0]));
}

}  // namespace
}  // namespace jepa
