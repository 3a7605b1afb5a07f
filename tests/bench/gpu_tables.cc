// The tables; see gpu_tables.h.
#include "gpu_tables.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <torch/csrc/autograd/autograd.h>

#include <string>
#include <vector>

#include "gpu_timing.h"
#include "worker/jepa/model/attention.h"
#include "worker/jepa/model/flat_storage.h"
#include "worker/jepa/model/fused_ops.h"
#include "worker/jepa/model/linear.h"
#include "worker/jepa/model/optimizer.h"

namespace jepa::bench {
namespace {

using nlohmann::json;

at::TensorOptions OnGpu(at::ScalarType type) {
  return at::TensorOptions().device(at::kCUDA).dtype(type);
}

double Tflops(double flop, double ms) { return flop / ms / 1e9; }
double GigabytesPerSecond(double bytes, double ms) { return bytes / ms / 1e6; }

// One network's part of a step.
struct Part {
  std::string name;
  int64_t sequences, tokens, width, hidden, heads;
  int64_t rows() const { return sequences * tokens; }
};

std::vector<Part> PartsOf(const ModelConfig& m, const StepTokens& t) {
  const int64_t grid = static_cast<int64_t>(m.grid_height) * m.grid_width;
  return {{"target", t.images, grid, m.embed_dim, m.mlp_hidden, m.num_heads},
          {"context", t.images, t.context, m.embed_dim, m.mlp_hidden, m.num_heads},
          {"predictor", 4 * t.images, t.context + t.target, m.pred_embed_dim, m.pred_mlp_hidden,
           m.num_heads}};
}

json GemmRow(const Part& part, const std::string& layer, int64_t in, int64_t out) {
  const at::Tensor x = at::randn({part.rows(), in}, OnGpu(at::kBFloat16));
  const at::Tensor weight = at::randn({out, in}, OnGpu(at::kBFloat16));
  const at::Tensor grad = at::randn({part.rows(), out}, OnGpu(at::kBFloat16));
  const double flop = 2.0 * static_cast<double>(part.rows()) * in * out;
  json row{{"part", part.name}, {"layer", layer}, {"m", part.rows()}, {"k", in}, {"n", out}};
  row["forward_tflops"] = Tflops(flop, MedianMs([&] { at::mm(x, weight.t()); }));
  if (part.name == "target") return row;
  row["dgrad_tflops"] = Tflops(flop, MedianMs([&] { at::mm(grad, weight); }));
  row["wgrad_tflops"] = Tflops(flop, MedianMs([&] { at::mm(grad.t(), x); }));
  return row;
}

// Lets only one attention kernel be chosen while it lives.
class OnlyBackend {
 public:
  explicit OnlyBackend(at::SDPBackend backend) {
    Allow(backend == at::SDPBackend::cudnn_attention, backend == at::SDPBackend::flash_attention,
          backend == at::SDPBackend::efficient_attention, backend == at::SDPBackend::math);
  }
  ~OnlyBackend() { Allow(true, true, true, true); }
  OnlyBackend(const OnlyBackend&) = delete;
  OnlyBackend& operator=(const OnlyBackend&) = delete;

 private:
  static void Allow(bool cudnn, bool flash, bool efficient, bool math) {
    at::globalContext().setSDPUseCuDNN(cudnn);
    at::globalContext().setSDPUseFlash(flash);
    at::globalContext().setSDPUseMemEfficient(efficient);
    at::globalContext().setSDPUseMath(math);
  }
};

json AttentionRow(const Part& part, const std::string& name, at::SDPBackend backend) {
  json row{{"part", part.name},   {"sequences", part.sequences},         {"tokens", part.tokens},
           {"heads", part.heads}, {"head_dim", part.width / part.heads}, {"backend", name}};
  const OnlyBackend only(backend);
  const Sequences shape{
      .count = part.sequences, .tokens = part.tokens, .heads = static_cast<int>(part.heads)};
  try {
    const at::Tensor qkv = at::randn({part.rows(), 3 * part.width}, OnGpu(at::kBFloat16));
    row["forward_ms"] = MedianMs([&] { Attend(qkv, shape); });
    const at::Tensor leaf = qkv.clone().set_requires_grad(true);
    const at::Tensor grad = at::randn({part.rows(), part.width}, OnGpu(at::kBFloat16));
    row["forward_backward_ms"] = MedianMs([&] {
      Attend(leaf, shape).backward(grad);
      leaf.mutable_grad() = at::Tensor();
    });
  } catch (const c10::Error& e) {
    row["error"] = std::string(e.what_without_backtrace()).substr(0, 80);
  }
  return row;
}

json Bandwidth(const std::string& kernel, const Part& part, double bytes, double ms) {
  return {{"kernel", kernel},
          {"part", part.name},
          {"rows", part.rows()},
          {"ms", ms},
          {"gigabytes_per_second", GigabytesPerSecond(bytes, ms)}};
}

// Forward and backward by autograd: the time of both kernels and of nothing else that counts.
void AddNormRows(const Part& part, json* table) {
  const double elements = static_cast<double>(part.rows()) * part.width;
  NormWeights norm{.weight = at::ones({part.width}, OnGpu(at::kFloat)),
                   .bias = at::zeros({part.width}, OnGpu(at::kFloat)),
                   .fused = true,
                   .bf16_out = true};
  const at::Tensor x = at::randn({part.rows(), part.width}, OnGpu(at::kFloat));
  const at::Tensor branch = at::randn({part.rows(), part.width}, OnGpu(at::kBFloat16));
  const double forward = MedianMs([&] { AddNorm(norm, {x, branch}); });
  table->push_back(Bandwidth("add_norm", part, 12 * elements, forward));
  const at::Tensor leaf = x.clone().set_requires_grad(true);
  norm.weight_grad = at::zeros({part.width}, OnGpu(at::kFloat));
  norm.bias_grad = at::zeros({part.width}, OnGpu(at::kFloat));
  const at::Tensor bf16_leaf = branch.clone().set_requires_grad(true);
  const at::Tensor grad_sum = at::randn_like(x), grad_normed = at::randn_like(branch);
  const double both = MedianMs([&] {
    const NormedRows rows = AddNorm(norm, {leaf, bf16_leaf});
    // The gradients stay with the graph's inputs; only the kernels run.
    torch::autograd::grad({rows.sum, rows.normed}, {leaf, bf16_leaf}, {grad_sum, grad_normed});
  });
  table->push_back(Bandwidth("add_norm backward", part, 16 * elements, both - forward));
}

void GeluRows(const Part& part, json* table) {
  const double elements = static_cast<double>(part.rows()) * part.hidden;
  const at::Tensor product = at::randn({part.rows(), part.hidden}, OnGpu(at::kBFloat16));
  const at::Tensor bias = at::zeros({part.hidden}, OnGpu(at::kFloat));
  const double forward = MedianMs([&] { FusedBiasGelu(product, bias, {}); });
  table->push_back(Bandwidth("bias_gelu", part, 4 * elements, forward));
  const at::Tensor leaf = product.clone().set_requires_grad(true);
  const at::Tensor bias_grad = at::zeros_like(bias), grad = at::randn_like(product);
  const double both = MedianMs(
      [&] { torch::autograd::grad({FusedBiasGelu(leaf, bias, bias_grad)}, {leaf}, {grad}); });
  table->push_back(Bandwidth("bias_gelu backward", part, 6 * elements, both - forward));
}

}  // namespace

json GemmTable(const ModelConfig& model, const StepTokens& tokens) {
  json table = json::array();
  for (const Part& part : PartsOf(model, tokens)) {
    table.push_back(GemmRow(part, "qkv", part.width, 3 * part.width));
    table.push_back(GemmRow(part, "proj", part.width, part.width));
    table.push_back(GemmRow(part, "fc1", part.width, part.hidden));
    table.push_back(GemmRow(part, "fc2", part.hidden, part.width));
  }
  return table;
}

json AttentionTable(const ModelConfig& model, const StepTokens& tokens) {
  json table = json::array();
  for (const Part& part : PartsOf(model, tokens)) {
    table.push_back(AttentionRow(part, "cudnn", at::SDPBackend::cudnn_attention));
    table.push_back(AttentionRow(part, "flash", at::SDPBackend::flash_attention));
    table.push_back(AttentionRow(part, "efficient", at::SDPBackend::efficient_attention));
    table.push_back(AttentionRow(part, "math", at::SDPBackend::math));
  }
  return table;
}

json KernelTable(const ModelConfig& model, const StepTokens& tokens) {
  json table = json::array();
  for (const Part& part : PartsOf(model, tokens)) {
    if (part.name == "target") continue;
    AddNormRows(part, &table);
    GeluRows(part, &table);
  }
  FlatStorage storage(model, at::Device(at::kCUDA), /*keep_bf16=*/true);
  storage.params.normal_(0, 0.02);
  storage.grad.normal_(0, 1e-3);
  Optimizer optimizer(&storage, 0.9, 0.999);
  const double ms =
      MedianMs([&] { optimizer.Step({.lr = 1e-6, .weight_decay = 0.04, .ema_momentum = 0.999}); });
  const auto count = static_cast<double>(storage.count());
  const auto target = static_cast<double>(storage.target.numel());
  // Norm: 4 read. AdamW: 16 read, 14 written. EMA: 4 read, 6 written.
  table.push_back({{"kernel", "adamw_ema"},
                   {"part", "all"},
                   {"rows", storage.count()},
                   {"ms", ms},
                   {"gigabytes_per_second", GigabytesPerSecond(34 * count + 10 * target, ms)}});
  return table;
}

double MeasuredPeakTflops() {
  constexpr int64_t kSide = 8192;
  const at::Tensor a = at::randn({kSide, kSide}, OnGpu(at::kBFloat16));
  const at::Tensor b = at::randn({kSide, kSide}, OnGpu(at::kBFloat16));
  return Tflops(2.0 * kSide * kSide * kSide, MedianMs([&] { at::mm(a, b); }));
}

}  // namespace jepa::bench
