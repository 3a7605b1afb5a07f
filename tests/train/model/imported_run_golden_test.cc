// Golden set f_checkpoint: the run that goes on from the published file ends where the reference's
// does; and golden set i_probe: the features that probes use, as the learner gives them, and those
// of the last four layers.
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "tests/train/model/golden_networks.h"
#include "worker/jepa/exchange/start_state.h"
#include "worker/jepa/host_state.h"
#include "worker/jepa/model/learner.h"
#include "worker/jepa/model/optimizer.h"
#include "worker/jepa/model/patches.h"

namespace jepa::testing {
namespace {

struct CheckpointSet {
  const Golden* inputs = nullptr;
  const Golden* saved = nullptr;  // What is in the files.
  const Golden* final = nullptr;  // After the steps that are left.
};

CheckpointSet FindSet(const std::vector<Golden>& goldens) {
  CheckpointSet set;
  for (const Golden& golden : goldens) {
    if (golden.json().contains("files")) set.saved = &golden;
    if (golden.json().contains("resume")) set.final = &golden;
    if (golden.Has("in.images")) set.inputs = &golden;
  }
  return set;
}

std::vector<std::string> FilesOf(const Golden& saved) {
  std::vector<std::string> paths;
  for (const auto& [file, what] : saved.json().at("files").items()) {
    paths.push_back(saved.folder() + "/" + file);
  }
  return paths;
}

// Puts the state into networks and optimizer, as Learner::Restore does.
void Restore(const StartState& start, Networks* networks, Optimizer* optimizer) {
  const c10::NoGradGuard no_grad;
  FlatStorage& storage = networks->storage();
  const auto read = [&](const std::string& name, at::Tensor to) {
    std::vector<float> values(static_cast<size_t>(to.numel()));
    const absl::Status status =
        start.Read(name, TensorType::kFloat32, to.sizes().vec(), values.data());
    ASSERT_TRUE(status.ok()) << status;
    to.copy_(at::from_blob(values.data(), to.sizes(), at::kFloat));
  };
  for (const FlatParameter& parameter : storage.parameters()) {
    const std::string name = (parameter.encoder ? "encoder/" : "predictor/") + parameter.info.name;
    read(name, storage.View(storage.params, parameter));
    read("exp_avg/" + name, storage.View(storage.exp_avg, parameter));
    read("exp_avg_sq/" + name, storage.View(storage.exp_avg_sq, parameter));
    if (parameter.encoder) read("target_" + name, parameter.target);
  }
  int64_t step = 0;
  ASSERT_TRUE(start.Read("optimizer/step", TensorType::kInt64, {1}, &step).ok());
  optimizer->set_step(step);
}

// The rest of the reference's run: losses as they come, the worst share of 1e-5 times the value.
double RunSteps(const CheckpointSet& set, int64_t first, Networks* networks, Optimizer* optimizer) {
  const at::Tensor images = TensorOf(*set.inputs, "in.images");
  const std::vector<double> losses = set.final->json().at("resume").at("loss");
  double share = 0;
  for (const nlohmann::json& entry : set.final->json().at("steps")) {
    const int64_t step = entry.at("step");
    if (step < first) continue;
    const at::Tensor batch = images.select(0, step % images.size(0));
    const MaskBatch masks = MasksOf(*set.inputs, "in.step" + std::to_string(step) + ".");
    const at::Tensor loss = networks->Loss(
        PatchesOfImages(networks->model(), batch),
        MakeStepRows(masks, batch.size(0), networks->grid_patches(), networks->device()));
    loss.backward();
    const double expected = losses.at(static_cast<size_t>(step - first));
    share = std::max(share, std::abs(loss.item<double>() - expected) / (1e-5 * expected));
    optimizer->Step(
        {.lr = entry.at("lr"), .weight_decay = entry.at("wd"), .ema_momentum = entry.at("ema")});
    networks->storage().grad.zero_();
  }
  return share;
}

// Worst used share of the tolerance over weights, target and moments.
double CompareState(const Golden& expected, const FlatStorage& storage) {
  double share = 0;
  for (const FlatParameter& parameter : storage.parameters()) {
    const std::string name = (parameter.encoder ? "encoder." : "predictor.") + parameter.info.name;
    share = std::max(share, ExpectMatches(expected, name, parameter.value));
    if (parameter.encoder) {
      share = std::max(share, ExpectMatches(expected, "target_" + name, parameter.target));
    }
    share = std::max(share, ExpectMatches(expected, "opt.exp_avg." + name,
                                          storage.View(storage.exp_avg, parameter)));
    share = std::max(share, ExpectMatches(expected, "opt.exp_avg_sq." + name,
                                          storage.View(storage.exp_avg_sq, parameter)));
  }
  return share;
}

TEST(ImportedRunGoldenTest, TheResumedRunEndsInTheReferenceState) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "f_checkpoint");
  const CheckpointSet set = FindSet(goldens);
  ASSERT_TRUE(set.inputs != nullptr && set.saved != nullptr && set.final != nullptr);
  const int64_t first = set.final->json().at("resume").at("first_step");
  GoldenReport report(*set.final);
  for (const std::string& path : FilesOf(*set.saved)) {
    SCOPED_TRACE(path);
    Networks networks(ModelOf(*set.final), at::kCPU, Precision::kFp32);
    const auto start = StartState::Open(path, networks.model());
    ASSERT_TRUE(start.ok()) << start.status();
    // The file says epochs; steps per epoch are those of the run.
    EXPECT_EQ(start->FirstStep(set.final->json().at("config").at("ipe")), first);
    Optimizer optimizer(&networks.storage(), 0.9, 0.999);
    Restore(*start, &networks, &optimizer);
    const double losses = RunSteps(set, first, &networks, &optimizer);
    EXPECT_LE(losses, 1);
    const double state = CompareState(*set.final, networks.storage());
    const std::string file = path.substr(path.rfind('/') + 1);
    report.Add(file + " losses", losses);
    report.Add(file + " final state", state);
  }
}

// The learner itself takes the file, and gives every tensor of it back.
TEST(ImportedRunGoldenTest, TheLearnerHoldsTheImportedBits) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "f_checkpoint");
  const CheckpointSet set = FindSet(goldens);
  ASSERT_TRUE(set.saved != nullptr);
  TrainConfig config;
  config.model = ModelOf(*set.saved);
  const int side = set.saved->json().at("config").at("img");
  config.data.crop_size = {side, side};
  const auto learner = Learner::Create(config);
  ASSERT_TRUE(learner.ok()) << learner.status();
  const auto start = StartState::Open(FilesOf(*set.saved)[0], config.model);
  ASSERT_TRUE(start.ok()) << start.status();
  ASSERT_TRUE((*learner)->Restore(*start).ok());
  const auto state = CopyWholeState(**learner);
  ASSERT_TRUE(state.ok()) << state.status();
  size_t compared = 0;
  for (const TensorToSave& tensor : state->tensors) {
    if (tensor.type != TensorType::kFloat32) continue;
    std::string name = tensor.name;
    std::replace(name.begin(), name.end(), '/', '.');
    if (name.rfind("exp_avg", 0) == 0) name = "opt." + name;
    const std::vector<float> expected = set.saved->Floats(name);
    const auto* values = static_cast<const float*>(tensor.data);
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), values)) << name;
    ++compared;
  }
  std::printf("%zu tensors of the learner equal\n", compared);
  size_t held = 0;
  for (const std::string& name : set.saved->TensorNames()) {
    if (name.rfind("opt.step.", 0) != 0) ++held;
  }
  EXPECT_EQ(compared, held);
}

// The weights that a golden of i_probe was made with: those of its configuration in g_hf_export.
// Null, and a failure, where they are not there.
const Golden* WeightsOf(const Golden& probe, const std::vector<Golden>& exports) {
  const std::vector<const Golden*> found = GoldensThat(
      exports, "target_encoder tensors and the config of " + probe.name(), [&](const Golden& any) {
        return any.Has("target_encoder.norm.weight") &&
               any.json().at("config") == probe.json().at("config");
      });
  return found.empty() ? nullptr : found[0];
}

// A learner takes integers, the golden images are floats. Three channels hold the upper 16 bits of
// a value within `low + [0, range]`, three more the next 16, and both have the same weights: the
// patch embedding is linear, so the features are those of the floats to 2^-32 of the range.
struct SplitImages {
  TrainConfig config;
  std::vector<uint8_t> pixels;  // uint16 [B, 6, H, W].
};

SplitImages SplitOf(const ModelConfig& model, const at::Tensor& images) {
  constexpr double kPeak = 65535;
  const double low = images.min().item<double>();
  const double range = images.max().item<double>() - low;
  const double step = range / kPeak;
  SplitImages split;
  split.config.model = model;
  split.config.model.channels = 6;
  // value / 65535 becomes low + range * it, and step * (it - 1/2).
  split.config.model.scale = {
      .bit_depth = 16,
      .mean = {-low / range, -low / range, -low / range, 0.5, 0.5, 0.5},
      .std = {1 / range, 1 / range, 1 / range, 1 / step, 1 / step, 1 / step}};
  const int side = static_cast<int>(images.size(2));
  split.config.data.crop_size = {side, side};
  split.config.data.channels = 6;
  split.config.data.bit_depth = 16;
  std::vector<uint16_t> values;
  const at::Tensor exact = images.to(at::kDouble).contiguous();
  const int64_t image = images[0].numel();
  for (int64_t i = 0; i < images.size(0); ++i) {
    const double* data = exact.data_ptr<double>() + i * image;
    for (int64_t k = 0; k < image; ++k) {
      values.push_back(static_cast<uint16_t>(std::lround((data[k] - low) / step)));
    }
    for (int64_t k = 0; k < image; ++k) {
      const double steps = (data[k] - low) / step;
      values.push_back(
          static_cast<uint16_t>(std::lround((steps - std::round(steps) + 0.5) * kPeak)));
    }
  }
  split.pixels.resize(values.size() * sizeof(uint16_t));
  std::memcpy(split.pixels.data(), values.data(), split.pixels.size());
  return split;
}

// The target encoder of a golden, its patch embedding twice side by side; moments and what else a
// learner has are zero.
class SplitWeights : public TensorReader {
 public:
  explicit SplitWeights(const Golden& golden) : golden_(golden) {}
  absl::Status Read(const std::string& name, TensorType type, const std::vector<int64_t>& shape,
                    void* out) const override {
    int64_t bytes = type == TensorType::kInt64 ? 8 : 4;
    for (const int64_t size : shape) bytes *= size;
    std::memset(out, 0, static_cast<size_t>(bytes));
    if (name.rfind("target_encoder/", 0) != 0) return absl::OkStatus();
    at::Tensor value = TensorOf(golden_, "target_encoder." + name.substr(name.find('/') + 1));
    if (value.dim() == 4) value = at::cat({value, value}, 1);
    if (value.sizes().vec() != shape) return absl::InvalidArgumentError(name);
    std::memcpy(out, value.data_ptr<float>(), static_cast<size_t>(bytes));
    return absl::OkStatus();
  }

 private:
  const Golden& golden_;
};

TEST(ProbeFeaturesGoldenTest, TheLearnersPooledFeaturesMatch) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "i_probe");
  IJEPA_GOLDENS_OR_SKIP(exports, "g_hf_export");
  for (const Golden* golden : GoldensWithTensor(goldens, "feat.last_avgpool")) {
    const Golden* weights = WeightsOf(*golden, exports);
    ASSERT_NE(weights, nullptr);
    const at::Tensor images = TensorOf(*golden, "in.images");
    const SplitImages split = SplitOf(ModelOf(*golden), images);
    const auto learner = Learner::Create(split.config);
    ASSERT_TRUE(learner.ok()) << learner.status();
    const absl::Status restored = (*learner)->Restore(SplitWeights(*weights));
    ASSERT_TRUE(restored.ok()) << restored;
    auto features = (*learner)->PooledFeatures(split.pixels, static_cast<int>(images.size(0)));
    ASSERT_TRUE(features.ok()) << features.status();
    const at::Tensor pooled =
        at::from_blob(features->values.data(), {features->images, features->width}, at::kFloat);
    GoldenReport report(*golden);
    ExpectMatches(*golden, "feat.last_avgpool", pooled, &report);
  }
}

at::Tensor Pooled(const at::Tensor& rows, int64_t images) {
  return rows.view({images, -1, rows.size(1)}).mean(1);
}

TEST(ProbeFeaturesGoldenTest, LastFourLayersMatchWithAndWithoutTheFinalNorm) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "i_probe");
  IJEPA_GOLDENS_OR_SKIP(exports, "g_hf_export");
  for (const Golden& golden : goldens) {
    const Golden* weights = WeightsOf(golden, exports);
    ASSERT_NE(weights, nullptr);
    const c10::NoGradGuard no_grad;
    Networks networks(ModelOf(golden), at::kCPU, Precision::kFp32);
    FillTargetFromTensors(*weights, &networks);
    const EncoderWeights& encoder = networks.target();
    const at::Tensor images = TensorOf(golden, "in.images");
    const int64_t count = images.size(0);
    const Sequences shape{
        .count = count, .tokens = networks.grid_patches(), .heads = encoder.num_heads};
    at::Tensor x = Linear({encoder.patch_embed.weight.flatten(1), encoder.patch_embed.bias},
                          PatchesOfImages(networks.model(), images));
    x = x.view({count, shape.tokens, -1}).add(encoder.pos_embed).view(x.sizes());
    Stream stream{x, {}};
    std::vector<at::Tensor> raw, normed;
    double share = 0;
    for (size_t i = 0; i < encoder.blocks.size(); ++i) {
      stream = RunBlock(encoder.blocks[i], shape, stream);
      const NormedRows rows = AddNorm(encoder.norm, stream);
      const std::string block = "out.block." + std::to_string(i);
      share =
          std::max(share, ExpectMatches(golden, block, rows.sum.view({count, shape.tokens, -1})));
      if (i + 4 < encoder.blocks.size()) continue;
      raw.push_back(Pooled(rows.sum, count));
      normed.push_back(Pooled(rows.normed, count));
    }
    share =
        std::max(share, ExpectMatches(golden, "feat.last4_concat_avgpool_raw", at::cat(raw, 1)));
    share = std::max(share,
                     ExpectMatches(golden, "feat.last4_concat_avgpool_normed", at::cat(normed, 1)));
    share = std::max(share, ExpectMatches(golden, "feat.last_avgpool", normed.back()));
    GoldenReport(golden).Add("features", share);
  }
}

}  // namespace
}  // namespace jepa::testing
