// Both networks and the EMA target over one flat storage, and the loss of a shard. Below Learner:
// here images and masks come as tensors, which golden tests need. Uses autograd.
#ifndef IJEPA_WORKER_JEPA_MODEL_NETWORKS_H_
#define IJEPA_WORKER_JEPA_MODEL_NETWORKS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "worker/jepa/config.h"
#include "worker/jepa/model/flat_storage.h"
#include "worker/jepa/model/learner.h"
#include "worker/jepa/model/predictor.h"
#include "worker/jepa/model/vision_transformer.h"
#include "worker/jepa/plan/masks.h"

namespace jepa {

// The masks of a step as row numbers, on the device. b is the image, k the index within a block.
struct StepRows {
  PredictorShape shape;
  at::Tensor context_rows;       // [nenc * B * K_c]: b * N + patch, rows (e, b, k).
  at::Tensor context_positions;  // The same without b * N.
  RowChoice target_positions;    // [npred * B * K_p] positions of the grid, rows (p, b, k).
  // Rows b * N + patch that are in any target block, ascending; then the first one again as
  // padding.
  at::Tensor target_union;
  at::Tensor target_rows;  // [npred * nenc * B * K_p] into target_union, rows (p, e, b, k).
};

// `images` images of `patches` patches each. The lists of `masks` must have the sizes it says and
// patch numbers below `patches`. With `kernels.take_rows` lists are int32 and choices that need a
// gradient carry their inverse; else lists are int64. Copies to CUDA do not wait.
StepRows MakeStepRows(const MaskBatch& masks, int64_t images, int64_t patches, at::Device device,
                      const KernelChoice& kernels = {});

// What a loss was computed from, rows as PredictorForward's.
struct StepFeatures {
  at::Tensor targets;
  at::Tensor predictions;
};

// Owned and used by the training thread. Throws c10::Error.
class Networks {
 public:
  // kBf16 with `kernels.direct`: explicit types and kept bf16 copies of the weights; without:
  // LibTorch's autocast. Both follow ijepa-spec 3.
  Networks(const ModelConfig& model, at::Device device, Precision precision,
           const KernelChoice& kernels);
  // With all kernels on CUDA and none on a CPU.
  Networks(const ModelConfig& model, at::Device device, Precision precision);

  // On: blocks of a training pass keep their input alone and run again in the backward pass; the
  // result is the same (recompute.h). Off at first.
  void SetActivationCheckpointing(bool on);

  // Draws the initial weights; the target becomes a copy of the encoder.
  void Initialise(InitMode mode, uint64_t seed);

  // patches: PatchesOf...(...) of B images. The loss has a graph; backward adds to storage().grad,
  // and tells `ready`, if there is one, block by block. `features` may be null.
  at::Tensor Loss(const at::Tensor& patches, const StepRows& rows, StepFeatures* features = nullptr,
                  const GradientReady& ready = nullptr) const;

  // The parts of Loss. Targets: LayerNorm without affine (eps 1e-5) of the target encoder's output,
  // [npred * nenc * B * K_p, D], no graph. Context: [nenc * B * K_c, D]. Predict: as
  // PredictorForward.
  at::Tensor Targets(const at::Tensor& patches, const StepRows& rows) const;
  at::Tensor Context(const at::Tensor& patches, const StepRows& rows,
                     const GradientReady& ready = nullptr) const;
  at::Tensor Predict(const at::Tensor& context, const StepRows& rows,
                     const GradientReady& ready = nullptr) const;
  // Smooth L1 (beta 1), mean over all elements.
  at::Tensor LossOf(const at::Tensor& predictions, const at::Tensor& targets) const;

  // Output for whole images, [B * N, D], no graph.
  at::Tensor EncoderMap(const at::Tensor& patches) const;
  at::Tensor TargetMap(const at::Tensor& patches) const;

  const ModelConfig& model() const { return model_; }
  at::Device device() const { return device_; }
  const KernelChoice& kernels() const { return kernels_; }
  // What PatchesOfPixels should make: the type that the patch embedding multiplies in.
  at::ScalarType patch_type() const;
  int64_t grid_patches() const {
    return static_cast<int64_t>(model_.grid_height) * model_.grid_width;
  }
  FlatStorage& storage() { return storage_; }
  const FlatStorage& storage() const { return storage_; }
  const EncoderWeights& encoder() const { return encoder_; }
  const EncoderWeights& target() const { return target_; }
  const PredictorWeights& predictor() const { return predictor_; }

 private:
  EncoderWeights BindEncoder(bool target) const;
  PredictorWeights BindPredictor() const;
  // Tells `ready` of the blocks of a network, named "PREFIX.I"; null without `ready`.
  BlockHook TellAtBlocks(const std::string& prefix, const GradientReady& ready) const;
  at::Tensor WholeImages(const EncoderWeights& encoder, const at::Tensor& patches) const;

  ModelConfig model_;
  at::Device device_;
  Precision autocast_;  // kBf16: by LibTorch's autocast.
  KernelChoice kernels_;
  FlatStorage storage_;
  EncoderWeights encoder_;
  EncoderWeights target_;
  PredictorWeights predictor_;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MODEL_NETWORKS_H_
