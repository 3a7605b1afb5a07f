// The pass of a shard and its graphs; see shard_pass.h.
#include "worker/jepa/model/shard_pass.h"

#include <ATen/ATen.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/core/GradMode.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>
#include <optional>

#include "worker/jepa/model/patches.h"
#include "worker/jepa/plan/arithmetic.h"

namespace jepa {
namespace {

// Shapes whose times are counted; beyond that the oldest is forgotten.
constexpr size_t kMaxCounts = 1024;

// The tensors of a step that a graph reads.
std::vector<at::Tensor*> TensorsOf(StepRows* rows) {
  return {&rows->context_rows,
          &rows->context_positions,
          &rows->target_positions.rows,
          &rows->target_positions.starts,
          &rows->target_positions.order,
          &rows->target_union,
          &rows->target_rows};
}

}  // namespace

bool GraphPays(const ModelConfig& model, const PredictorShape& shape) {
  constexpr double kFlopPerSecond = 4e14;     // Of an H200 on these shapes; performance.md 2.
  constexpr double kSecondsPerLaunch = 1e-5;  // performance.md 3, row 10, twice: autograd's share.
  // Of a block: forward only, and with its backward pass.
  constexpr double kTargetLaunches = 10, kTrainedLaunches = 35;
  const auto encoder = static_cast<double>(EncoderParameters(model));
  const auto predictor = static_cast<double>(PredictorParameters(model));
  const double grid = static_cast<double>(model.grid_height) * model.grid_width;
  const double images = static_cast<double>(shape.images);
  const double context = static_cast<double>(shape.context_blocks * shape.context_patches);
  const double flop = 2 * images * grid * encoder + 6 * images * context * encoder +
                      6 * static_cast<double>(shape.sequences() * shape.tokens()) * predictor;
  const double launches =
      model.depth * (kTargetLaunches + kTrainedLaunches) + model.pred_depth * kTrainedLaunches;
  return launches * kSecondsPerLaunch > flop / kFlopPerSecond;
}

bool ShardPass::Key::operator==(const Key& other) const {
  return shape.images == other.shape.images && shape.context_blocks == other.shape.context_blocks &&
         shape.context_patches == other.shape.context_patches &&
         shape.target_blocks == other.shape.target_blocks &&
         shape.target_patches == other.shape.target_patches && union_rows == other.union_rows &&
         scale == other.scale;
}

struct ShardPass::Graph {
  Key key;
  at::Tensor pixels;
  StepRows rows;
  at::cuda::CUDAGraph graph;
};

ShardPass::ShardPass(const Networks* networks, CudaGraphs graphs, bool pin_memory)
    : networks_(networks),
      use_(networks->device().is_cuda() ? graphs : CudaGraphs::kOff),
      pin_memory_(pin_memory),
      loss_(at::zeros({}, networks->storage().params.options())) {}

ShardPass::~ShardPass() = default;

void ShardPass::Enqueue(const at::Tensor& pixels, const StepRows& rows, double scale,
                        const GradientReady& ready) {
  const at::Tensor patches = UnfoldedPixels(networks_->model(), pixels, networks_->patch_type());
  const at::Tensor loss = networks_->Loss(patches, rows, nullptr, ready);
  loss.backward(at::full({}, scale, loss.options()));
  const c10::NoGradGuard no_grad;
  loss_.copy_(loss);
}

bool ShardPass::WantsGraph(const Key& key) {
  if (use_ == CudaGraphs::kOff) return false;
  if (use_ == CudaGraphs::kAuto && !GraphPays(networks_->model(), key.shape)) return false;
  const auto same = [&](const Count& count) { return count.key == key; };
  auto found = std::find_if(counts_.begin(), counts_.end(), same);
  if (found == counts_.end()) {
    if (counts_.size() == kMaxCounts) counts_.erase(counts_.begin());
    found = counts_.insert(counts_.end(), Count{key});
  }
  return ++found->times > 2;
}

ShardPass::Graph& ShardPass::FindOrCapture(const Key& key, const at::Tensor& pixels,
                                           const StepRows& rows) {
  const auto same = [&](const std::unique_ptr<Graph>& graph) { return graph->key == key; };
  const auto found = std::find_if(graphs_.begin(), graphs_.end(), same);
  if (found != graphs_.end()) {
    graphs_.splice(graphs_.begin(), graphs_, found);
    return *graphs_.front();
  }
  auto graph = std::make_unique<Graph>();
  graph->key = key;
  graph->pixels = at::empty_like(pixels);
  graph->rows = rows;
  for (at::Tensor* tensor : TensorsOf(&graph->rows)) {
    if (tensor->defined()) *tensor = at::empty_like(*tensor);
  }
  if (graphs_.size() == kMaxGraphs) graphs_.pop_back();
  const at::cuda::MempoolId_t pool =
      graphs_.empty() ? at::cuda::graph_pool_handle() : graphs_.front()->graph.pool();
  graph->graph.capture_begin(pool, cudaStreamCaptureModeThreadLocal);
  try {
    Enqueue(graph->pixels, graph->rows, key.scale, nullptr);
  } catch (...) {
    graph->graph.capture_end();  // The stream is usable again; the error goes on.
    throw;
  }
  graph->graph.capture_end();
  graphs_.push_front(std::move(graph));
  return *graphs_.front();
}

at::Tensor ShardPass::Run(const uint8_t* pixels, int64_t images, const MaskBatch& masks,
                          double scale, const GradientReady& ready) {
  StepRows rows = MakeStepRows(masks, images, networks_->grid_patches(), networks_->device(),
                               networks_->kernels());
  const at::Tensor on_device =
      PixelsToDevice(networks_->model(), pixels, images, networks_->device(), pin_memory_);
  const Key key{rows.shape, rows.target_union.size(0), scale};
  if (!WantsGraph(key)) {
    Enqueue(on_device, rows, scale, ready);
    return loss_;
  }
  Graph& graph = FindOrCapture(key, on_device, rows);
  graph.pixels.copy_(on_device, /*non_blocking=*/true);
  const std::vector<at::Tensor*> from = TensorsOf(&rows), to = TensorsOf(&graph.rows);
  for (size_t i = 0; i < from.size(); ++i) {
    if (from[i]->defined()) to[i]->copy_(*from[i], /*non_blocking=*/true);
  }
  graph.graph.replay();
  return loss_;
}

}  // namespace jepa
