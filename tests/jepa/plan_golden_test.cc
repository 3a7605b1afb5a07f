// Masks, schedules, position tables and parameter counts against the reference implementation.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/golden/golden.h"
#include "worker/jepa/plan/arithmetic.h"
#include "worker/jepa/plan/reference_masks.h"
#include "worker/jepa/plan/schedules.h"

namespace jepa {
namespace {

using testing::Golden;
using testing::GoldenReport;

Range RangeOf(const nlohmann::json& json) { return {json.at(0), json.at(1)}; }

MaskConfig MaskConfigOf(const nlohmann::json& json) {
  MaskConfig config;
  config.patch_size = json.at("patch_size");
  config.enc_mask_scale = RangeOf(json.at("enc_mask_scale"));
  config.pred_mask_scale = RangeOf(json.at("pred_mask_scale"));
  config.aspect_ratio = RangeOf(json.at("aspect_ratio"));
  config.num_enc_masks = json.at("nenc");
  config.num_pred_masks = json.at("npred");
  config.min_keep = json.at("min_keep");
  config.allow_overlap = json.at("allow_overlap");
  return config;
}

MaskGrid GridOf(const nlohmann::json& json) {
  const int side = json.at("input_size").get<int>() / json.at("patch_size").get<int>();
  return {side, side};
}

// Whether the step's tensors are those of the golden; each difference fails the test.
bool ExpectStep(const Golden& golden, int64_t step, const MaskBatch& masks) {
  bool equal = true;
  const auto compare = [&](absl::string_view kind, const std::vector<std::vector<int64_t>>& blocks,
                           int64_t kept) {
    for (size_t i = 0; i < blocks.size(); ++i) {
      const std::string name = absl::StrCat("step", step, ".", kind, ".", i);
      EXPECT_EQ(golden.Shape(name).back(), kept) << name;
      EXPECT_EQ(golden.Ints(name), blocks[i]) << golden.name() << " " << name;
      equal = equal && golden.Ints(name) == blocks[i];
    }
    EXPECT_FALSE(golden.Has(absl::StrCat("step", step, ".", kind, ".", blocks.size())));
  };
  compare("enc", masks.context, masks.context_patches);
  compare("pred", masks.target, masks.target_patches);
  return equal;
}

ReferenceMaskSampler SamplerOf(const Golden& golden) {
  const auto& config = golden.json().at("config");
  return ReferenceMaskSampler(MaskConfigOf(config), GridOf(config),
                              golden.json().at("default_generator_seed").get<uint64_t>(),
                              golden.json().at("first_step").get<int64_t>());
}

// Exact, and the generator is afterwards where the published one is.
TEST(MaskGoldenTest, DrawsThePublishedMasks) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "d_masks");
  for (const Golden& golden : goldens) {
    SCOPED_TRACE(golden.name());
    GoldenReport report(golden);
    ReferenceMaskSampler sampler = SamplerOf(golden);
    for (const auto& step : golden.json().at("steps")) {
      absl::StatusOr<MaskBatch> masks =
          sampler.Sample(step.at("step"), golden.json().at("config").at("batch"));
      ASSERT_TRUE(masks.ok()) << masks.status();
      report.AddExact(absl::StrCat("step ", step.at("step").get<int64_t>()),
                      ExpectStep(golden, step.at("step"), *masks));
    }
    EXPECT_EQ(sampler.given_up(), golden.json().at("fallback_warnings").get<int64_t>());
    TorchGenerator after = sampler.generator();
    std::vector<int64_t> draws;
    for (int i = 0; i < 4; ++i) {
      draws.push_back(static_cast<int64_t>(after.RandInt((uint64_t{1} << 31) - 1)));
    }
    EXPECT_EQ(draws, golden.Ints("rng_probe")) << "the generator is elsewhere afterwards";
    report.AddExact("rng_probe", draws == golden.Ints("rng_probe"));
  }
}

TEST(MaskGoldenTest, ContinuesFromACheckpointedState) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "d_masks");
  for (const Golden& golden : goldens) {
    SCOPED_TRACE(golden.name());
    std::string state = SamplerOf(golden).State();
    for (const auto& step : golden.json().at("steps")) {
      const auto& config = golden.json().at("config");
      ReferenceMaskSampler restarted(MaskConfigOf(config), GridOf(config), 12345, 0);
      ASSERT_TRUE(restarted.RestoreState(state).ok());
      absl::StatusOr<MaskBatch> masks = restarted.Sample(step.at("step"), config.at("batch"));
      ASSERT_TRUE(masks.ok()) << masks.status();
      ExpectStep(golden, step.at("step"), *masks);
      state = restarted.State();
    }
  }
}

TEST(MaskGoldenTest, TakesBlockSizesFromTheStepAlone) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "d_masks");
  for (const Golden& golden : goldens) {
    const ReferenceMaskSampler sampler = SamplerOf(golden);
    const std::vector<int64_t> rows = golden.Ints("block_sizes");
    for (size_t i = 0; i + 5 <= rows.size(); i += 5) {
      const StepSizes sizes = sampler.SizesAt(rows[i]);
      EXPECT_EQ((std::vector<int64_t>{sizes.target.height, sizes.target.width, sizes.context.height,
                                      sizes.context.width}),
                std::vector<int64_t>(rows.begin() + static_cast<int64_t>(i) + 1,
                                     rows.begin() + static_cast<int64_t>(i) + 5))
          << golden.name() << " step " << rows[i];
    }
  }
}

// Every published configuration passes validation, and its bounds hold for the recorded sizes.
TEST(MaskGoldenTest, StaysWithinTheBoundsOfValidation) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "d_masks");
  for (const Golden& golden : goldens) {
    const MaskConfig config = MaskConfigOf(golden.json().at("config"));
    const MaskGrid grid = GridOf(golden.json().at("config"));
    EXPECT_TRUE(ValidateMasks(config, grid).ok())
        << golden.name() << ": " << ValidateMasks(config, grid);
    const AreaBounds bounds = BoundsOf(config, grid);
    const std::vector<int64_t> rows = golden.Ints("block_sizes");
    for (size_t i = 0; i + 5 <= rows.size(); i += 5) {
      EXPECT_GE(rows[i + 1] * rows[i + 2], bounds.target_min);
      EXPECT_LE(rows[i + 1] * rows[i + 2], bounds.target_max);
      EXPECT_GE(rows[i + 3] * rows[i + 4], bounds.context_min);
      EXPECT_LE(rows[i + 3] * rows[i + 4], bounds.context_max);
    }
  }
}

OptimizationConfig OptimizationOf(const nlohmann::json& json) {
  OptimizationConfig config;
  config.epochs = json.at("epochs");
  config.warmup = json.at("warmup");
  config.start_lr = json.at("start_lr");
  config.lr = json.at("lr");
  config.final_lr = json.at("final_lr");
  config.weight_decay = json.at("wd");
  config.final_weight_decay = json.at("final_wd");
  config.ema = RangeOf(json.at("ema"));
  config.ipe_scale = json.at("ipe_scale");
  return config;
}

// A schedule's value at a step, within 1e-12 of it.
void ExpectClose(double got, double expected, const std::string& what, GoldenReport* report) {
  const double tolerance = 1e-12 * std::abs(expected);
  EXPECT_NEAR(got, expected, tolerance) << what;
  report->Add(what, got == expected ? 0 : std::abs(got - expected) / tolerance);
}

TEST(ScheduleGoldenTest, GivesEveryStepOfThePublishedRuns) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "e_schedules");
  for (const Golden* found : testing::GoldensWithTensor(goldens, "lr")) {  // Not the sampler's.
    const Golden& golden = *found;
    SCOPED_TRACE(golden.name());
    GoldenReport report(golden);
    const auto& json = golden.json();
    const OptimizationConfig config = OptimizationOf(json.at("config"));
    const int64_t steps_per_epoch = json.at("iterations_per_epoch");
    if (json.at("config").contains("world")) {
      const auto& run = json.at("config");
      const RunLength length =
          RunLengthFor(run.at("n"), run.at("world"), run.at("bs"), run.at("epochs"));
      EXPECT_EQ(length.steps_per_epoch, steps_per_epoch);
      EXPECT_EQ(length.total_steps, json.at("total_steps").get<int64_t>());
    }
    const Schedules schedules(config, steps_per_epoch);
    const std::vector<double> lr = golden.Doubles("lr");
    const std::vector<double> wd = golden.Doubles("wd");
    const std::vector<double> ema = golden.Doubles("ema");
    ASSERT_EQ(static_cast<int64_t>(lr.size()), json.at("total_steps").get<int64_t>());
    for (size_t k = 0; k < lr.size(); ++k) {
      const auto step = static_cast<int64_t>(k);
      ExpectClose(schedules.lr(step), lr[k], absl::StrCat("lr of step ", k), &report);
      ExpectClose(schedules.weight_decay(step), wd[k], absl::StrCat("wd of step ", k), &report);
    }
    const int64_t stride = json.at("ema_stride");
    for (size_t k = 0; k < ema.size(); ++k) {
      const int64_t step = static_cast<int64_t>(k) * stride;
      ExpectClose(schedules.ema_momentum(step), ema[k], absl::StrCat("ema of step ", step),
                  &report);
    }
  }
}

// Tensor names are dimWIDTH_gridSIDE.
TEST(PositionTableGoldenTest, EqualsTheReferenceExactly) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "a_pos_embed");
  for (const Golden& golden : goldens) {
    GoldenReport report(golden);
    for (const std::string& name : golden.TensorNames()) {
      const std::vector<int64_t> shape = golden.Shape(name);
      ASSERT_EQ(shape.size(), 2u) << name;
      const int side = static_cast<int>(std::lround(std::sqrt(static_cast<double>(shape[0]))));
      const std::vector<float> table = PositionTable(side, side, static_cast<int>(shape[1]));
      EXPECT_EQ(table, golden.Floats(name)) << name;
      report.AddExact(name, table == golden.Floats(name));
    }
  }
}

int64_t TrainableIn(const nlohmann::json& parameters) {
  int64_t total = 0;
  for (const auto& parameter : parameters) {
    if (!parameter.at("requires_grad").get<bool>()) continue;
    int64_t count = 1;
    for (const auto& size : parameter.at("shape")) count *= size.get<int64_t>();
    total += count;
  }
  return total;
}

// Model names are ENCODER_pPATCH_CROP.
TEST(ParameterGoldenTest, CountsThoseOfEveryModel) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "b_init");
  for (const Golden* golden : testing::GoldensWithField(goldens, "models")) {
    for (const auto& [name, json] : golden->json().at("models").items()) {
      const std::vector<std::string> parts = absl::StrSplit(name, '_');
      ASSERT_EQ(parts.size(), 4u) << name;
      const EncoderShape shape = EncoderByName(parts[0] + "_" + parts[1]).value();
      ModelConfig model;
      model.patch_size = std::stoi(parts[2].substr(1));
      model.grid_height = model.grid_width = std::stoi(parts[3]) / model.patch_size;
      model.embed_dim = shape.embed_dim;
      model.depth = shape.depth;
      model.mlp_hidden = shape.mlp_hidden;
      model.pred_depth = json.at("pred_depth");
      model.pred_embed_dim = json.at("pred_emb_dim");
      model.pred_mlp_hidden = 4 * model.pred_embed_dim;
      EXPECT_EQ(shape.embed_dim, json.at("embed_dim").get<int>()) << name;
      EXPECT_EQ(shape.num_heads, json.at("num_heads").get<int>()) << name;
      EXPECT_EQ(EncoderParameters(model), TrainableIn(json.at("params").at("encoder"))) << name;
      EXPECT_EQ(PredictorParameters(model), TrainableIn(json.at("params").at("predictor"))) << name;
    }
  }
}

}  // namespace
}  // namespace jepa
