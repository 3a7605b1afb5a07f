// Telemetry against definitions written out as loops in fp64, and what it leaves alone.
#include "worker/jepa/model/telemetry.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "learner_fixture.h"
#include "worker/jepa/eval/probes.h"
#include "worker/jepa/model/optimizer.h"

namespace jepa {
namespace {

using testing::SmallConfig;

// Figures in fp64 from fp32 features of a few dozen rows.
constexpr double kTolerance = 1e-5;

struct Rows {
  int64_t count = 0;
  int64_t width = 0;
  std::vector<double> values;
  double at(int64_t r, int64_t d) const { return values[static_cast<size_t>(r * width + d)]; }
};

Rows RowsOf(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.reshape({-1, tensor.size(-1)}).to(at::kDouble).contiguous();
  const double* data = flat.data_ptr<double>();
  return {flat.size(0), flat.size(1), std::vector<double>(data, data + flat.numel())};
}

double Covariance(const Rows& rows, int64_t a, int64_t b) {
  double mean_a = 0, mean_b = 0, sum = 0;
  for (int64_t r = 0; r < rows.count; ++r) {
    mean_a += rows.at(r, a) / static_cast<double>(rows.count);
    mean_b += rows.at(r, b) / static_cast<double>(rows.count);
  }
  for (int64_t r = 0; r < rows.count; ++r) {
    sum += (rows.at(r, a) - mean_a) * (rows.at(r, b) - mean_b);
  }
  return sum / static_cast<double>(rows.count);
}

double MeanVariance(const Rows& rows) {
  double sum = 0;
  for (int64_t d = 0; d < rows.width; ++d) sum += Covariance(rows, d, d);
  return sum / static_cast<double>(rows.width);
}

double RankMe(const at::Tensor& rows) {
  const at::Tensor singular = at::linalg_svdvals(rows.to(at::kDouble));
  const at::Tensor share = singular / singular.sum();
  return std::exp(-(share * share.log()).nan_to_num(0).sum().item<double>());
}

// P target blocks, E context blocks, B images, K patches of a block, D features.
struct Shard {
  PredictorShape shape;
  StepFeatures features;
  at::Tensor distinct_PBKD;  // Targets without the repetition over context blocks.
};

Shard RandomShard(PredictorShape shape, int64_t width) {
  shape.context_patches = 1;
  const at::Tensor targets =
      at::randn({shape.target_blocks, 1, shape.images, shape.target_patches, width}, at::kFloat);
  const at::Tensor repeated = targets.expand({-1, shape.context_blocks, -1, -1, -1});
  Shard shard{.shape = shape};
  shard.features.targets = repeated.reshape({-1, width});
  shard.features.predictions = at::randn_like(shard.features.targets) + shard.features.targets;
  shard.distinct_PBKD = targets.select(1, 0);
  return shard;
}

class TelemetryTest : public ::testing::Test {
 protected:
  void SetUp() override { at::manual_seed(5); }

  FlatStorage storage_{SmallConfig().model, at::kCPU};
  TelemetryMeter meter_{storage_, SmallConfig()};
};

TEST_F(TelemetryTest, FiguresOfFeaturesAreTheirDefinitions) {
  for (const int64_t context_blocks : {1, 2}) {
    const Shard shard = RandomShard(
        {.images = 3, .context_blocks = context_blocks, .target_blocks = 4, .target_patches = 5},
        8);
    meter_.Start();
    meter_.TakeShard(shard.features, shard.shape);
    const Telemetry read = meter_.Read();
    const Rows rows = RowsOf(shard.distinct_PBKD);
    ASSERT_EQ(rows.count, 60);
    double std_sum = 0, std_min = 1e9, off_diagonal = 0;
    for (int64_t a = 0; a < 8; ++a) {
      const double deviation = std::sqrt(Covariance(rows, a, a));
      std_sum += deviation;
      std_min = std::min(std_min, deviation);
      for (int64_t b = 0; b < 8; ++b) {
        if (a != b) off_diagonal += std::pow(Covariance(rows, a, b), 2);
      }
    }
    EXPECT_NEAR(read.std_mean, std_sum / 8, kTolerance);
    EXPECT_NEAR(read.std_min, std_min, kTolerance);
    EXPECT_NEAR(read.off_diagonal_covariance, std::sqrt(off_diagonal / 56), kTolerance);
    double over_patches = 0;
    for (int64_t b = 0; b < 3; ++b) {
      over_patches += MeanVariance(RowsOf(shard.distinct_PBKD.select(1, b))) / 3;
    }
    const at::Tensor images = shard.distinct_PBKD.mean(at::IntArrayRef{0, 2});
    EXPECT_NEAR(read.variance_over_patches, over_patches, kTolerance);
    EXPECT_NEAR(read.variance_over_batch, MeanVariance(RowsOf(images)), kTolerance);
    EXPECT_NEAR(read.effective_rank, RankMe(shard.distinct_PBKD.reshape({-1, 8})), kTolerance);
    EXPECT_NEAR(read.pooled_effective_rank, RankMe(images), kTolerance);
    EXPECT_EQ(read.max_effective_rank, 8);
    const Rows t = RowsOf(shard.features.targets), p = RowsOf(shard.features.predictions);
    double cosine = 0;
    for (int64_t r = 0; r < t.count; ++r) {
      double tp = 0, tt = 0, pp = 0;
      for (int64_t d = 0; d < 8; ++d) {
        tp += t.at(r, d) * p.at(r, d);
        tt += t.at(r, d) * t.at(r, d);
        pp += p.at(r, d) * p.at(r, d);
      }
      cosine += tp / std::sqrt(tt * pp) / static_cast<double>(t.count);
    }
    EXPECT_NEAR(read.prediction_cosine, cosine, kTolerance);
  }
}

TEST_F(TelemetryTest, EffectiveRankOfCentredRowsIsTheProbes) {
  at::Tensor rows = at::randn({40, 12}, at::kFloat);
  rows = rows - rows.mean(0, /*keepdim=*/true);
  Shard shard{.shape = {.images = 4, .context_blocks = 1, .target_blocks = 2, .target_patches = 5},
              .features = {rows, rows}};
  meter_.Start();
  meter_.TakeShard(shard.features, shard.shape);
  Features features{.images = 40, .width = 12};
  features.values.assign(rows.data_ptr<float>(), rows.data_ptr<float>() + rows.numel());
  EXPECT_NEAR(meter_.Read().effective_rank, EffectiveRank(features), 1e-4);
}

TEST_F(TelemetryTest, CollapsedFeaturesHaveRankOneHoweverSmallTheNoise) {
  for (const double noise : {0.0, 1e-6, 1e-3}) {
    const at::Tensor rows = at::randn({1, 16}) + noise * at::randn({60, 16});
    Shard shard{
        .shape = {.images = 3, .context_blocks = 1, .target_blocks = 4, .target_patches = 5},
        .features = {rows, rows}};
    meter_.Start();
    meter_.TakeShard(shard.features, shard.shape);
    const Telemetry read = meter_.Read();
    EXPECT_LT(read.effective_rank, 1.15) << noise;
    EXPECT_LT(read.std_mean, 1e-2);
    EXPECT_NEAR(read.prediction_cosine, 1, 1e-4);
  }
}

TEST_F(TelemetryTest, SampleOfManyRowsKeepsTheRank) {
  // 8,000 rows of 3 directions, far above kRankRows; every 20 patches of a block the same place.
  const at::Tensor rows = at::randn({4 * 100 * 20, 3}).mm(at::randn({3, 16}));
  Shard shard{
      .shape = {.images = 100, .context_blocks = 1, .target_blocks = 4, .target_patches = 20},
      .features = {rows, rows}};
  meter_.Start();
  meter_.TakeShard(shard.features, shard.shape);
  EXPECT_NEAR(meter_.Read().effective_rank, RankMe(rows), 0.05);
}

TEST_F(TelemetryTest, SampleMeetsEveryPlaceOfABlock) {
  // One direction per place within the block: a stride that is a multiple of 16 would see one.
  const at::Tensor rows = at::eye(16).repeat({4 * 128, 1});
  Shard shard{
      .shape = {.images = 128, .context_blocks = 1, .target_blocks = 4, .target_patches = 16},
      .features = {rows, rows}};
  meter_.Start();
  meter_.TakeShard(shard.features, shard.shape);
  EXPECT_NEAR(meter_.Read().effective_rank, 16, 0.1);
}

TEST_F(TelemetryTest, ShardsAreAveraged) {
  const PredictorShape shape = {
      .images = 3, .context_blocks = 1, .target_blocks = 4, .target_patches = 5};
  const Shard a = RandomShard(shape, 8), b = RandomShard(shape, 8);
  std::vector<Telemetry> reads;
  for (const auto& shards : {std::vector<Shard>{a}, {b}, {a, b}}) {
    meter_.Start();
    for (const Shard& shard : shards) meter_.TakeShard(shard.features, shard.shape);
    reads.push_back(meter_.Read());
  }
  EXPECT_NE(reads[0].effective_rank, reads[1].effective_rank);
  EXPECT_NEAR(reads[2].effective_rank, (reads[0].effective_rank + reads[1].effective_rank) / 2,
              1e-12);
  EXPECT_NEAR(reads[2].std_min, (reads[0].std_min + reads[1].std_min) / 2, 1e-12);
}

TEST_F(TelemetryTest, NormsOfTheGradientAreThoseOfEachPart) {
  storage_.grad.normal_();
  double all = 0, patch_embed = 0, other = 0;
  std::vector<double> encoder(2), predictor(2);
  for (const FlatParameter& parameter : storage_.parameters()) {
    const double norm =
        storage_.View(storage_.grad, parameter).to(at::kDouble).norm().item<double>();
    const std::string& name = parameter.info.name;
    double* part = &other;
    if (name.find("patch_embed.") == 0) part = &patch_embed;
    for (int block = 0; block < 2; ++block) {
      if (name.find("blocks." + std::to_string(block) + ".") == 0) part = &encoder[block];
      if (name.find("predictor_blocks." + std::to_string(block)) == 0) part = &predictor[block];
    }
    *part += norm * norm;
    all += norm * norm;
    // Gaps of the flat buffer hold zeros in a run.
    const int64_t end = parameter.offset + parameter.info.count();
    const int64_t next =
        (end + FlatStorage::kAlignment - 1) / FlatStorage::kAlignment * FlatStorage::kAlignment;
    storage_.grad.narrow(0, end, next - end).zero_();
  }
  meter_.Start();
  ASSERT_TRUE(meter_.TakeUpdate(/*lr=*/1e-3, /*step=*/1, nullptr).ok());
  const Telemetry read = meter_.Read();
  ASSERT_EQ(read.encoder_block_gradient_norms.size(), 2u);
  ASSERT_EQ(read.predictor_block_gradient_norms.size(), 2u);
  for (int block = 0; block < 2; ++block) {
    EXPECT_NEAR(read.encoder_block_gradient_norms[block], std::sqrt(encoder[block]), 1e-3);
    EXPECT_NEAR(read.predictor_block_gradient_norms[block], std::sqrt(predictor[block]), 1e-3);
  }
  EXPECT_NEAR(read.patch_embed_gradient_norm, std::sqrt(patch_embed), 1e-3);
  EXPECT_NEAR(read.other_gradient_norm, std::sqrt(other), 1e-3);
}

TEST_F(TelemetryTest, RatiosAreThoseOfTheWholeBuffers) {
  Networks networks(SmallConfig().model, at::kCPU, Precision::kFp32);
  networks.Initialise(InitMode::kClean, 3);
  FlatStorage& storage = networks.storage();
  Optimizer optimizer(&storage, 0.9, 0.95);
  TelemetryMeter meter(storage, SmallConfig());
  for (int step = 1; step <= 3; ++step) {
    for (const FlatParameter& parameter : storage.parameters()) {
      storage.View(storage.grad, parameter).normal_();
    }
    const at::Tensor before = storage.params.detach().clone();
    meter.Start();
    optimizer.Step({.lr = 1e-3, .weight_decay = 0, .ema_momentum = 0.9});
    ASSERT_TRUE(meter.TakeUpdate(1e-3, optimizer.step(), nullptr).ok());
    const Telemetry read = meter.Read();
    const at::Tensor change = storage.params.detach() - before;
    EXPECT_NEAR(read.update_ratio,
                change.norm().item<double>() / storage.params.norm().item<double>(), 1e-5);
    double distance = 0, encoder = 0;
    for (const FlatParameter& parameter : storage.parameters()) {
      if (!parameter.encoder) continue;
      const at::Tensor value = parameter.value.detach().to(at::kDouble);
      distance += (parameter.target.to(at::kDouble) - value).square().sum().item<double>();
      encoder += value.square().sum().item<double>();
    }
    EXPECT_NEAR(read.target_distance, std::sqrt(distance / encoder), 1e-6);
    EXPECT_GT(read.target_distance, 0);
  }
}

TEST_F(TelemetryTest, TakesNothingUnlessStarted) {
  const Shard shard =
      RandomShard({.images = 2, .context_blocks = 1, .target_blocks = 1, .target_patches = 2}, 8);
  meter_.TakeShard(shard.features, shard.shape);
  EXPECT_EQ(meter_.Read().effective_rank, 0);
  meter_.Start();
  meter_.TakeShard(shard.features, shard.shape);
  meter_.Stop();
  EXPECT_EQ(meter_.Read().effective_rank, 0);
}

}  // namespace
}  // namespace jepa
