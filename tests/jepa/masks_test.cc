// What masks promise, over random configurations; equality with the published sampler is in
// plan_golden_test.
#include "worker/jepa/plan/masks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "worker/jepa/plan/fixed_masks.h"
#include "worker/jepa/plan/mask_blocks.h"
#include "worker/jepa/plan/random.h"
#include "worker/jepa/plan/reference_masks.h"

namespace jepa {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr MaskGrid kGrid16{16, 16};
constexpr MaskGrid kGrid8{8, 8};

MaskConfig Fixed(int min_keep = 10) {
  MaskConfig config;
  config.mode = MaskMode::kFixed;
  config.min_keep = min_keep;
  return config;
}

std::vector<int64_t> ImageOf(const std::vector<int64_t>& cells, int count, int image) {
  return {cells.begin() + int64_t{image} * count, cells.begin() + (int64_t{image} + 1) * count};
}

void ExpectAscendingInGrid(const std::vector<int64_t>& cells, MaskGrid grid) {
  for (size_t i = 0; i < cells.size(); ++i) {
    EXPECT_GE(cells[i], 0);
    EXPECT_LT(cells[i], grid.height * grid.width);
    if (i > 0) {
      EXPECT_LT(cells[i - 1], cells[i]);
    }
  }
}

// A target is a whole rectangle.
void ExpectRectangle(const std::vector<int64_t>& cells, MaskGrid grid) {
  const int64_t width = cells.back() % grid.width - cells.front() % grid.width + 1;
  ASSERT_GT(width, 0);
  for (size_t i = 0; i < cells.size(); ++i) {
    const auto row = static_cast<int64_t>(i) / width;
    const auto column = static_cast<int64_t>(i) % width;
    EXPECT_EQ(cells[i], cells.front() + row * grid.width + column);
  }
}

void ExpectSound(const MaskConfig& config, MaskGrid grid, const MaskBatch& masks, int batch) {
  ASSERT_EQ(masks.context.size(), static_cast<size_t>(config.num_enc_masks));
  ASSERT_EQ(masks.target.size(), static_cast<size_t>(config.num_pred_masks));
  EXPECT_GT(masks.context_patches, config.min_keep);
  EXPECT_GT(masks.target_patches, config.min_keep);
  for (int image = 0; image < batch; ++image) {
    std::set<int64_t> targets;
    for (const auto& target : masks.target) {
      ASSERT_EQ(target.size(), static_cast<size_t>(batch) * masks.target_patches);
      const auto cells = ImageOf(target, masks.target_patches, image);
      ExpectAscendingInGrid(cells, grid);
      ExpectRectangle(cells, grid);
      targets.insert(cells.begin(), cells.end());
    }
    for (const auto& context : masks.context) {
      ASSERT_EQ(context.size(), static_cast<size_t>(batch) * masks.context_patches);
      const auto cells = ImageOf(context, masks.context_patches, image);
      ExpectAscendingInGrid(cells, grid);
      if (config.allow_overlap) continue;
      for (const int64_t cell : cells) EXPECT_EQ(targets.count(cell), 0u) << cell;
    }
  }
}

// A configuration of any kind; many do not pass validation.
MaskConfig RandomConfig(Philox& random, MaskGrid& grid) {
  const auto range = [&](double low, double high) {
    const double a = random.Uniform(low, high);
    const double b = random.Uniform(low, high);
    return Range{std::min(a, b), random.Below(4) == 0 ? std::min(a, b) : std::max(a, b)};
  };
  grid = {static_cast<int>(2 + random.Below(14)), static_cast<int>(2 + random.Below(14))};
  MaskConfig config = Fixed(static_cast<int>(random.Below(12)));
  config.num_enc_masks = static_cast<int>(1 + random.Below(2));
  config.num_pred_masks = static_cast<int>(1 + random.Below(5));
  config.enc_mask_scale = range(0.3, 1.0);
  config.pred_mask_scale = range(0.05, 0.6);
  config.aspect_ratio = range(0.3, 3.0);
  config.allow_overlap = random.Below(4) == 0;
  return config;
}

TEST(FixedMaskTest, KeepsItsPromisesForEveryValidConfiguration) {
  int valid = 0;
  for (uint64_t trial = 0; trial < 2000; ++trial) {
    Philox random(trial, Purpose::kProbe, 0, 0);
    MaskGrid grid;
    const MaskConfig config = RandomConfig(random, grid);
    if (!ValidateMasks(config, grid).ok()) continue;
    ++valid;
    const auto sampler = NewMaskSampler(config, grid, trial, 0);
    for (int64_t step = 0; step < 5; ++step) {
      const int batch = static_cast<int>(1 + random.Below(6));
      absl::StatusOr<MaskBatch> masks = sampler->Sample(step, batch);
      ASSERT_TRUE(masks.ok()) << "trial " << trial << ": " << masks.status();
      ExpectSound(config, grid, *masks, batch);
      ASSERT_FALSE(HasFailure()) << "trial " << trial << " step " << step;
    }
  }
  EXPECT_GT(valid, 500);
}

TEST(ReferenceMaskTest, DrawsWhateverPassesValidation) {
  int valid = 0;
  for (uint64_t trial = 0; trial < 2000; ++trial) {
    Philox random(trial, Purpose::kProbe, 1, 0);
    MaskGrid grid;
    MaskConfig config = RandomConfig(random, grid);
    config.mode = MaskMode::kReference;
    if (!ValidateMasks(config, grid).ok()) continue;
    ++valid;
    const auto sampler = NewMaskSampler(config, grid, trial, 0);
    for (int64_t step = 0; step < 20; ++step) {
      absl::StatusOr<MaskBatch> masks = sampler->Sample(step, 3);
      ASSERT_TRUE(masks.ok()) << "trial " << trial << ": " << masks.status();
      EXPECT_GT(masks->context_patches, config.min_keep);
      EXPECT_GT(masks->target_patches, config.min_keep);
    }
  }
  EXPECT_GT(valid, 300);
}

// The bounds are tight: a refused min_keep is one that a draw would meet.
TEST(ReferenceMaskTest, MeetsTheSmallestBlockThatValidationNames) {
  for (const MaskGrid grid :
       {MaskGrid{5, 5}, MaskGrid{7, 7}, kGrid8, MaskGrid{9, 9}, MaskGrid{14, 14}, kGrid16}) {
    const MaskConfig config;
    const AreaBounds bounds = BoundsOf(config, grid);
    const ReferenceMaskSampler sampler(config, grid, 0, 0);
    AreaBounds seen{1000, 0, 1000, 0};
    for (int64_t step = 0; step < 20'000; ++step) {
      const StepSizes sizes = sampler.SizesAt(step);
      seen.target_min = std::min(seen.target_min, sizes.target.area());
      seen.target_max = std::max(seen.target_max, sizes.target.area());
      seen.context_min = std::min(seen.context_min, sizes.context.area());
      seen.context_max = std::max(seen.context_max, sizes.context.area());
    }
    EXPECT_EQ(seen.target_min, bounds.target_min) << grid.height;
    EXPECT_EQ(seen.target_max, bounds.target_max) << grid.height;
    EXPECT_EQ(seen.context_min, bounds.context_min) << grid.height;
    EXPECT_EQ(seen.context_max, bounds.context_max) << grid.height;
  }
}

TEST(FixedMaskTest, MeetsTheSmallestBlockThatValidationNames) {
  for (const MaskGrid grid : {kGrid8, MaskGrid{9, 9}, kGrid16, MaskGrid{6, 12}}) {
    const AreaBounds bounds = BoundsOf(Fixed(), grid);
    const FixedMaskSampler sampler(Fixed(), grid, 0, 0);
    int smallest = 1000;
    int largest = 0;
    for (int64_t step = 0; step < 20'000; ++step) {
      const StepSizes sizes = sampler.SizesAt(step);
      smallest = std::min(smallest, sizes.target.area());
      largest = std::max(largest, sizes.target.area());
      EXPECT_GE(sizes.context.area(), bounds.context_min);
      EXPECT_LE(sizes.context.area(), bounds.context_max);
    }
    EXPECT_EQ(smallest, bounds.target_min) << grid.height;
    EXPECT_EQ(largest, bounds.target_max) << grid.height;
  }
}

TEST(FixedMaskTest, ReachesEveryPatchAsContextAndAsTarget) {
  for (const MaskGrid grid : {kGrid8, kGrid16, MaskGrid{6, 14}}) {
    const MaskConfig config = Fixed(4);
    ASSERT_TRUE(ValidateMasks(config, grid).ok()) << ValidateMasks(config, grid);
    const auto sampler = NewMaskSampler(config, grid, 0, 0);
    std::set<int64_t> context;
    std::set<int64_t> target;
    for (int64_t step = 0; step < 200; ++step) {
      const MaskBatch masks = sampler->Sample(step, 16).value();
      for (const auto& cells : masks.context) context.insert(cells.begin(), cells.end());
      for (const auto& cells : masks.target) target.insert(cells.begin(), cells.end());
    }
    EXPECT_EQ(context.size(), static_cast<size_t>(grid.height) * grid.width);
    EXPECT_EQ(target.size(), static_cast<size_t>(grid.height) * grid.width);
  }
}

// The published sampler keeps the first patches, so that the bottom row is hardly ever seen; here
// the rows differ only by the position of the context block.
TEST(FixedMaskTest, DoesNotPreferTheTopOfTheImage) {
  const auto sampler = NewMaskSampler(Fixed(), kGrid16, 0, 0);
  std::vector<double> rows(16);
  double total = 0;
  for (int64_t step = 0; step < 100; ++step) {
    const MaskBatch masks = sampler->Sample(step, 32).value();
    for (const int64_t cell : masks.context[0]) {
      ++rows[static_cast<size_t>(cell / 16)];
      ++total;
    }
  }
  for (int row = 0; row < 8; ++row) {
    EXPECT_NEAR(rows[row] / total, rows[15 - row] / total, 0.01) << row;
  }
}

// Of the patches that a context block and its targets leave, each is kept as often as any other.
TEST(FixedMaskTest, GivesUpSurplusPatchesAtRandom) {
  MaskConfig config = Fixed();
  config.enc_mask_scale = {1, 1};  // The context is the whole grid minus the targets.
  const auto sampler = NewMaskSampler(config, kGrid16, 0, 0);
  double first_kept = 0, last_kept = 0, left = 0, kept = 0;
  for (int64_t step = 0; step < 200; ++step) {
    const MaskBatch masks = sampler->Sample(step, 32).value();
    for (int image = 0; image < 32; ++image) {
      std::set<int64_t> rest;
      for (int64_t cell = 0; cell < 256; ++cell) rest.insert(cell);
      for (const auto& target : masks.target) {
        for (const int64_t cell : ImageOf(target, masks.target_patches, image)) rest.erase(cell);
      }
      const auto cells = ImageOf(masks.context[0], masks.context_patches, image);
      left += static_cast<double>(rest.size());
      kept += static_cast<double>(cells.size());
      first_kept += cells.front() == *rest.begin();
      last_kept += cells.back() == *rest.rbegin();
    }
  }
  const double images = 200 * 32;
  EXPECT_LT(kept, 0.9 * left);
  EXPECT_NEAR(first_kept / images, kept / left, 0.03);
  EXPECT_NEAR(last_kept / images, kept / left, 0.03);
}

TEST(FixedMaskTest, DrawsScaleAndAspectIndependently) {
  const FixedMaskSampler sampler(Fixed(), {64, 64}, 0, 0);
  double sum_area = 0, sum_aspect = 0, sum_both = 0, sum_area2 = 0, sum_aspect2 = 0;
  constexpr int kSteps = 5000;
  for (int64_t step = 0; step < kSteps; ++step) {
    const BlockSize size = sampler.SizesAt(step).target;
    const double area = size.area();
    const double aspect = std::log(static_cast<double>(size.height) / size.width);
    sum_area += area;
    sum_aspect += aspect;
    sum_both += area * aspect;
    sum_area2 += area * area;
    sum_aspect2 += aspect * aspect;
  }
  const double covariance = sum_both / kSteps - sum_area / kSteps * sum_aspect / kSteps;
  const double variances = (sum_area2 / kSteps - std::pow(sum_area / kSteps, 2)) *
                           (sum_aspect2 / kSteps - std::pow(sum_aspect / kSteps, 2));
  EXPECT_NEAR(covariance / std::sqrt(variances), 0, 0.06);
  // Log-uniform in [0.75, 1.5].
  EXPECT_NEAR(sum_aspect / kSteps, (std::log(0.75) + std::log(1.5)) / 2, 0.02);
}

TEST(FixedMaskTest, DependsOnSeedStepAndShardOnly) {
  const auto sampler = NewMaskSampler(Fixed(), kGrid16, 3, 1);
  const MaskBatch late = sampler->Sample(100, 8).value();
  const MaskBatch early = sampler->Sample(2, 8).value();
  const auto other = NewMaskSampler(Fixed(), kGrid16, 3, 1);
  EXPECT_EQ(other->Sample(2, 8).value().context, early.context);
  EXPECT_EQ(other->Sample(100, 8).value().target, late.target);
  EXPECT_NE(NewMaskSampler(Fixed(), kGrid16, 3, 2)->Sample(2, 8).value().context, early.context);
  EXPECT_NE(NewMaskSampler(Fixed(), kGrid16, 4, 1)->Sample(2, 8).value().context, early.context);
}

TEST(FixedMaskTest, GivesAllShardsTheSameBlockSizes) {
  for (int64_t step = 0; step < 50; ++step) {
    const MaskBatch a = NewMaskSampler(Fixed(), kGrid16, 3, 0)->Sample(step, 2).value();
    const MaskBatch b = NewMaskSampler(Fixed(), kGrid16, 3, 7)->Sample(step, 2).value();
    EXPECT_EQ(a.target_patches, b.target_patches);
  }
}

// Context blocks of 10 x 10 minus one target of 9 x 9 leave 19 patches, one more than min_keep:
// five targets must lie on one place, which free draws hardly ever do.
TEST(FixedMaskTest, ReturnsOnTheHardestValidConfiguration) {
  MaskConfig config = Fixed(18);
  config.num_pred_masks = 5;
  config.pred_mask_scale = {0.6, 0.6};
  config.enc_mask_scale = {0.7, 0.7};
  config.aspect_ratio = {1, 1};
  const MaskGrid grid{12, 12};
  ASSERT_TRUE(ValidateMasks(config, grid).ok()) << ValidateMasks(config, grid);
  const auto sampler = NewMaskSampler(config, grid, 0, 0);
  for (int64_t step = 0; step < 10; ++step) {
    absl::StatusOr<MaskBatch> masks = sampler->Sample(step, 8);
    ASSERT_TRUE(masks.ok()) << masks.status();
    ExpectSound(config, grid, *masks, 8);
  }
  config.min_keep = 19;
  EXPECT_FALSE(ValidateMasks(config, grid).ok());
}

// A step takes as long as its longest shard, which no way of dealing can make shorter than this:
// one of the shards must go without each of the kShards - 1 smallest contexts.
TEST(BalancedMaskTest, TheLongestShardIsAsShortAsDealingCanMakeIt) {
  constexpr int kShards = 8, kBatch = 16, kSteps = 40;
  std::vector<FixedMaskSampler> shards;
  for (int shard = 0; shard < kShards; ++shard) {
    shards.emplace_back(Fixed(), kGrid16, /*seed=*/5, shard);
  }
  int longest_dealt = 0, longest_drawn = 0;
  for (int step = 0; step < kSteps; ++step) {
    const auto batches = SampleBalanced(shards, {0, 1, 2, 3, 4, 5, 6, 7}, step, kBatch);
    ASSERT_TRUE(batches.ok()) << batches.status();
    std::vector<int> dealt, drawn, images;
    for (const MaskBatch& batch : *batches) dealt.push_back(batch.context_patches);
    for (FixedMaskSampler& shard : shards) {
      drawn.push_back(shard.Sample(step, kBatch)->context_patches);
      for (const auto& image : shard.Draw(step, kBatch)) {
        images.push_back(static_cast<int>(image.kept));
      }
    }
    std::sort(images.begin(), images.end());
    images.resize(kShards);
    EXPECT_EQ(dealt, images);
    longest_dealt += dealt.back();
    longest_drawn += *std::max_element(drawn.begin(), drawn.end());
  }
  EXPECT_LT(longest_dealt, longest_drawn);
}

// Target blocks are never cut: every one that was drawn is dealt to one shard.
TEST(BalancedMaskTest, DealsEveryImageOnce) {
  std::vector<FixedMaskSampler> shards;
  std::multiset<std::vector<int64_t>> drawn, dealt;
  for (int shard = 0; shard < 3; ++shard) {
    shards.emplace_back(Fixed(), kGrid16, /*seed=*/5, shard);
    const MaskBatch batch = *shards.back().Sample(/*step=*/7, /*batch=*/5);
    for (int image = 0; image < 5; ++image) {
      drawn.insert(ImageOf(batch.target[0], batch.target_patches, image));
    }
  }
  const auto batches = SampleBalanced(shards, {0, 1, 2}, /*step=*/7, /*batch=*/5);
  ASSERT_TRUE(batches.ok()) << batches.status();
  for (const MaskBatch& batch : *batches) {
    for (int image = 0; image < 5; ++image) {
      dealt.insert(ImageOf(batch.target[0], batch.target_patches, image));
    }
  }
  EXPECT_EQ(dealt, drawn);
}

TEST(ReferenceMaskTest, GivesEveryShardItsOwnPositionsAndShardZeroThePublishedOnes) {
  std::set<uint32_t> seeds;
  for (int shard = 0; shard < 4096; ++shard) seeds.insert(PositionSeed(0, shard));
  EXPECT_EQ(seeds.size(), 4096u);
  EXPECT_EQ(PositionSeed(0, 0), 0u);
  EXPECT_EQ(PositionSeed(42, 0), 42u);
}

// ijepa-spec 2: global seed 0, counter 0, two images at 224/14.
TEST(ReferenceMaskTest, PlacesBlocksAsTheSpecificationSays) {
  const auto sampler = NewMaskSampler(MaskConfig(), kGrid16, 0, 0);
  const MaskBatch masks = sampler->Sample(0, 2).value();
  EXPECT_EQ(masks.context_patches, 99);
  EXPECT_EQ(masks.target_patches, 42);
  std::vector<std::vector<int64_t>> firsts;
  for (const auto& target : masks.target) firsts.push_back({target[0], target[42]});
  EXPECT_EQ(firsts,
            (std::vector<std::vector<int64_t>>{{137, 134}, {32, 105}, {121, 22}, {115, 8}}));
}

// ijepa-spec 0.4 to 0.7: what the published sampler does, and `fixed` does not.
TEST(ReferenceMaskTest, HasTheDefectsThatTheSpecificationNames) {
  const auto sampler = NewMaskSampler(MaskConfig(), kGrid16, 0, 0);
  const double published[16] = {.82, .69, .56, .46, .36, .27, .22, .21,
                                .20, .21, .21, .19, .13, .07, .02, .00};
  std::vector<double> rows(16);
  constexpr int kSteps = 300;
  constexpr int kBatch = 128;
  for (int64_t step = 0; step < kSteps; ++step) {
    const MaskBatch masks = sampler->Sample(step, kBatch).value();
    for (const int64_t cell : masks.context[0]) ++rows[static_cast<size_t>(cell / 16)];
    for (const auto& blocks : {masks.context, masks.target}) {
      for (const auto& cells : blocks) {
        for (const int64_t cell : cells) {
          ASSERT_NE(cell / 16, 15) << "the last row";
          ASSERT_NE(cell % 16, 15) << "the last column";
        }
      }
    }
  }
  for (int row = 0; row < 16; ++row) {
    // The figures are of the 15 columns that are seen at all.
    EXPECT_NEAR(rows[row] / (15.0 * kSteps * kBatch), published[row], 0.06) << row;
  }
}

TEST(ReferenceMaskTest, DrawsOneNumberForScaleAndAspectAndIgnoresTheContextScale) {
  const ReferenceMaskSampler sampler(MaskConfig(), {64, 64}, 0, 0);
  std::vector<std::pair<double, double>> sizes;
  for (int64_t step = 0; step < 500; ++step) {
    const BlockSize size = sampler.SizesAt(step).target;
    sizes.emplace_back(size.area(), static_cast<double>(size.height) / size.width);
  }
  std::sort(sizes.begin(), sizes.end());
  // The larger tenth of the areas has the larger ratios, without exception.
  EXPECT_LT(sizes[49].second, 0.85);
  EXPECT_GT(sizes[450].second, 1.4);
  for (const auto& [side, context] : {std::pair{16, 15}, {14, 13}}) {
    const ReferenceMaskSampler published(MaskConfig(), {side, side}, 0, 0);
    for (int64_t step = 0; step < 500; ++step) {
      EXPECT_EQ(published.SizesAt(step).context.height, context);
      EXPECT_EQ(published.SizesAt(step).context.width, context);
    }
  }
}

TEST(ReferenceMaskTest, RefusesToSkipAStep) {
  const auto sampler = NewMaskSampler(MaskConfig(), kGrid16, 0, 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(sampler->Sample(1, 2).status()));
  ASSERT_TRUE(sampler->Sample(0, 2).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(sampler->Sample(0, 2).status()));
  EXPECT_TRUE(sampler->Sample(1, 2).ok());
}

TEST(ReferenceMaskTest, RefusesAStateThatIsNotItsOwn) {
  const auto sampler = NewMaskSampler(MaskConfig(), kGrid16, 0, 0);
  const std::string state = sampler->State();
  EXPECT_TRUE(sampler->RestoreState(state).ok());
  for (const std::string& bad :
       {std::string(), state.substr(0, 30), state + "x", std::string(state.size(), 'a'),
        state.substr(0, 23) + "zzzzzzzzzzzzzzzz" + state.substr(39),
        state.substr(0, 23) + "ffffffffffffffff" + state.substr(39)}) {
    EXPECT_TRUE(absl::IsDataLoss(sampler->RestoreState(bad))) << bad.substr(0, 40);
  }
  const auto fixed = NewMaskSampler(Fixed(), kGrid16, 0, 0);
  EXPECT_EQ(fixed->State(), "");
  EXPECT_TRUE(fixed->RestoreState("").ok());
  EXPECT_TRUE(absl::IsDataLoss(fixed->RestoreState(state)));
}

TEST(ValidateMasksTest, NamesTheNearestMinKeepThatWorks) {
  const absl::Status status = ValidateMasks(MaskConfig(), kGrid8);
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("mask.min_keep is 10"), HasSubstr("8 x 8"), HasSubstr("at most 8")));
  MaskConfig config;
  config.min_keep = 8;
  EXPECT_TRUE(ValidateMasks(config, kGrid8).ok());
  config.min_keep = 9;
  EXPECT_FALSE(ValidateMasks(config, kGrid8).ok());
}

TEST(ValidateMasksTest, AcceptsThePublishedConfigurations) {
  for (const int side : {14, 16, 28}) {
    EXPECT_TRUE(ValidateMasks(MaskConfig(), {side, side}).ok()) << side;
    EXPECT_TRUE(ValidateMasks(Fixed(), {side, side}).ok()) << side;
  }
}

// No draw is outside of the bounds, on any grid, the largest included.
TEST(ValidateMasksTest, BoundsHoldForEveryDraw) {
  for (uint64_t trial = 0; trial < 400; ++trial) {
    Philox random(trial, Purpose::kProbe, 2, 0);
    MaskGrid grid;
    MaskConfig config = RandomConfig(random, grid);
    if (trial % 100 == 0) grid = {256, trial % 200 == 0 ? 256 : 100};
    config.mode = trial % 2 == 0 ? MaskMode::kFixed : MaskMode::kReference;
    const AreaBounds bounds = BoundsOf(config, grid);
    const FixedMaskSampler fixed(config, grid, trial, 0);
    const ReferenceMaskSampler reference(config, grid, trial, 0);
    for (int64_t step = 0; step < 200; ++step) {
      const StepSizes sizes =
          config.mode == MaskMode::kFixed ? fixed.SizesAt(step) : reference.SizesAt(step);
      ASSERT_GE(sizes.target.area(), bounds.target_min) << trial;
      ASSERT_LE(sizes.target.area(), bounds.target_max) << trial;
      ASSERT_GE(sizes.context.area(), bounds.context_min) << trial;
      ASSERT_LE(sizes.context.area(), bounds.context_max) << trial;
    }
  }
}

TEST(ValidateMasksTest, RefusesTargetsThatLeaveNoContext) {
  MaskConfig config = Fixed(1);
  config.pred_mask_scale = {0.8, 1.0};
  const absl::Status status = ValidateMasks(config, kGrid8);
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("pred_mask_scale"));
  config.allow_overlap = true;
  EXPECT_TRUE(ValidateMasks(config, kGrid8).ok());
}

TEST(ValidateMasksTest, RefusesBlocksThatCanBeEmpty) {
  MaskConfig config;
  config.min_keep = 0;
  config.pred_mask_scale = {0.001, 0.2};
  const absl::Status status = ValidateMasks(config, kGrid16);
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("pred_mask_scale"), HasSubstr("raise its lower end")));
}

TEST(ValidateMasksTest, NamesTheFieldThatIsOutOfRange) {
  const auto message = [](const MaskConfig& config, MaskGrid grid) {
    return std::string(ValidateMasks(config, grid).message());
  };
  MaskConfig config;
  config.min_keep = -1;
  EXPECT_THAT(message(config, kGrid16), HasSubstr("min_keep is -1"));
  config = MaskConfig();
  config.num_pred_masks = 0;
  EXPECT_THAT(message(config, kGrid16), HasSubstr("num_pred_masks is 0"));
  config = MaskConfig();
  config.num_enc_masks = 0;
  EXPECT_THAT(message(config, kGrid16), HasSubstr("num_enc_masks is 0"));
  config = MaskConfig();
  config.pred_mask_scale = {0.2, 0.15};
  EXPECT_THAT(message(config, kGrid16), HasSubstr("pred_mask_scale"));
  config = MaskConfig();
  config.enc_mask_scale = {0.85, 1.5};
  EXPECT_THAT(message(config, kGrid16), HasSubstr("enc_mask_scale"));
  config = MaskConfig();
  config.aspect_ratio = {NAN, 1};
  EXPECT_THAT(message(config, kGrid16), HasSubstr("aspect_ratio"));
  EXPECT_THAT(message(MaskConfig(), {1, 16}), HasSubstr("1 x 16"));
  EXPECT_THAT(message(MaskConfig(), {16, 257}), HasSubstr("patch_size"));
}

TEST(DefaultMaskModeTest, IsFixedBelowTwelvePatchesPerSide) {
  EXPECT_EQ(DefaultMaskMode({11, 16}), MaskMode::kFixed);
  EXPECT_EQ(DefaultMaskMode({12, 12}), MaskMode::kReference);
}

}  // namespace
}  // namespace jepa
