// Figures of --dry-run and the table of the resolved spec.
#include "proto/spec/summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proto/spec/spec_reader.h"
#include "tests/spec/job_specs.h"

namespace ijepa::spec {
namespace {

using ::testing::HasSubstr;

TEST(SummaryTest, CountsWhatAPublishedModelHas) {
  const auto summary = Summarise(
      Resolved({"meta.model_name=vit_base", "mask.patch_size=16", "shards=4", "ranks=2"}), 1000);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_NEAR(summary->encoder_parameters, 85.647e6, 1e3);    // ijepa-spec 1.1
  EXPECT_NEAR(summary->predictor_parameters, 11.239e6, 1e3);  // depth 6
  EXPECT_EQ(summary->patches, 196);
  EXPECT_GT(summary->context_patches, 10);
  EXPECT_LT(summary->context_patches, 196);
  EXPECT_GT(summary->target_gflop, summary->context_gflop / 3);
  EXPECT_DOUBLE_EQ(summary->gflop_per_image(),
                   summary->target_gflop + summary->context_gflop + summary->predictor_gflop);
  // Master weights, gradients, two moments and the target in fp32, at the least.
  EXPECT_GT(summary->state_bytes_per_rank, 4 * 5 * 85'000'000LL);
  EXPECT_GT(summary->memory_bytes_per_rank, summary->state_bytes_per_rank);
  EXPECT_EQ(summary->global_batch, 32);
  EXPECT_EQ(summary->steps_per_epoch, 31);  // floor(ceil(1000 / 4) / 8)
  EXPECT_EQ(summary->total_steps, 62);
}

TEST(SummaryTest, SharedMomentsTakeLessMemoryPerRank) {
  const auto alone = Summarise(Resolved({"ranks=4"}), -1);
  const auto shared = Summarise(Resolved({"ranks=4", "optimization.zero1=true"}), -1);
  ASSERT_TRUE(alone.ok() && shared.ok()) << shared.status();
  const double parameters =
      static_cast<double>(alone->encoder_parameters + alone->predictor_parameters);
  EXPECT_NEAR(static_cast<double>(alone->state_bytes_per_rank - shared->state_bytes_per_rank),
              2 * 4 * parameters * 3 / 4, 8);
}

TEST(SummaryTest, CountsThePatchesThatDealtMasksKeep) {
  const auto apart = Summarise(Resolved({"mask.mode=fixed", "shards=8", "data.batch_size=16"}), -1);
  const auto dealt = Summarise(
      Resolved({"mask.mode=fixed", "shards=8", "data.batch_size=16", "mask.balance=true"}), -1);
  ASSERT_TRUE(apart.ok() && dealt.ok()) << apart.status() << dealt.status();
  EXPECT_LT(dealt->context_patches, apart->context_patches);
  EXPECT_LT(dealt->gflop_per_image(), apart->gflop_per_image());
}

TEST(SummaryTest, SaysUnknownWithoutTheData) {
  const auto summary = Summarise(Resolved({"data.path="}), -1);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->total_steps, -1);
  EXPECT_THAT(SummaryTable(*summary), HasSubstr("unknown"));
  EXPECT_THAT(SummaryTable(*summary), HasSubstr("encoder parameters    5,"));
}

TEST(SummaryTest, RefusesAnInvalidSpec) {
  EXPECT_EQ(Summarise(Resolved({"mask.patch_size=15"}), 10).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(Summarise(v1::JobSpec(), 10).ok());
}

TEST(SpecTableTest, MarksDefaults) {
  const v1::JobSpec sparse = *ReadJobSpec(kSmallestJob, "small.yaml");
  const std::string table = SpecTable(sparse, Resolved());
  EXPECT_THAT(table, ::testing::ContainsRegex("data.batch_size +8\n"));
  EXPECT_THAT(table, ::testing::ContainsRegex("mask.patch_size +16 +default\n"));
  EXPECT_THAT(table, ::testing::ContainsRegex("mask.mode +reference +default\n"));
  const std::vector<SpecRow> rows = SpecRows(sparse, Resolved());
  EXPECT_EQ(rows.front().path, "name");
  EXPECT_FALSE(rows.front().is_default);
}

}  // namespace
}  // namespace ijepa::spec
