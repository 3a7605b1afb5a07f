// Forward and backward pass of one shard on its device, and on CUDA its captured graphs: the host
// enqueues and waits for nothing.
#ifndef IJEPA_WORKER_JEPA_MODEL_SHARD_PASS_H_
#define IJEPA_WORKER_JEPA_MODEL_SHARD_PASS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "worker/jepa/config.h"
#include "worker/jepa/model/learner.h"
#include "worker/jepa/model/networks.h"
#include "worker/jepa/plan/masks.h"

namespace jepa {

// Whether launching the kernels of a shard one by one takes the host longer than the GPU needs for
// them, by the formulas in the .cc file: true for small models and small batches (ViT-S/16 up to 64
// images), false for ViT-H/14 with 128.
bool GraphPays(const ModelConfig& model, const PredictorShape& shape);

// Owned and used by the training thread; borrows the networks. Throws c10::Error.
//
// A graph is captured for a shape (counts of images, blocks, patches, union rows, and the scale)
// when it comes for the third time: the two before it ran as they are and so have chosen the
// algorithms and grown the workspaces that capturing may not. All graphs share one memory pool, as
// they are replayed one after the other on one stream; at most kMaxGraphs are kept, the one longest
// unused goes first. Capturing needs a current stream other than the default one.
class ShardPass {
 public:
  static constexpr size_t kMaxGraphs = 64;

  // pin_memory: how pixels go to the device (PixelsToDevice).
  ShardPass(const Networks* networks, CudaGraphs graphs, bool pin_memory = true);
  ~ShardPass();

  // Adds `scale` times the gradient of the shard's mean loss to the gradient buffer. pixels: uint8
  // [images, 3, H, W] on the host, free again when this returns. Returns the loss, unscaled: fp32
  // [], on the device, valid until the next Run. A replayed graph tells `ready`, which may be null,
  // nothing.
  at::Tensor Run(const uint8_t* pixels, int64_t images, const MaskBatch& masks, double scale,
                 const GradientReady& ready = nullptr);

  size_t graphs() const { return graphs_.size(); }

 private:
  struct Graph;
  // Everything that a captured graph holds fast.
  struct Key {
    PredictorShape shape;
    int64_t union_rows = 0;
    double scale = 0;
    bool operator==(const Key& other) const;
  };
  // How often a shape has come.
  struct Count {
    Key key;
    int times = 0;
  };

  void Enqueue(const at::Tensor& pixels, const StepRows& rows, double scale,
               const GradientReady& ready);
  bool WantsGraph(const Key& key);
  Graph& FindOrCapture(const Key& key, const at::Tensor& pixels, const StepRows& rows);

  const Networks* networks_;
  CudaGraphs use_;
  bool pin_memory_;
  at::Tensor loss_;
  std::vector<Count> counts_;
  std::list<std::unique_ptr<Graph>> graphs_;  // Used most recently first.
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MODEL_SHARD_PASS_H_
