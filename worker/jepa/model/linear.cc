// Linear layers; see linear.h.
#include "worker/jepa/model/linear.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "worker/jepa/kernels/element.h"
#include "worker/jepa/model/fused_ops.h"

namespace jepa {
namespace {

// The operator behind LibTorch's own compiled CPU models. It has no derivative: LinearFunction adds
// it.
using OneDnnLinear = at::Tensor(const at::Tensor& x, const at::Tensor& weight,
                                const std::optional<at::Tensor>& bias, c10::string_view activation,
                                c10::List<std::optional<at::Scalar>> scalars,
                                std::optional<c10::string_view> algorithm);
using Scalars = c10::List<std::optional<at::Scalar>>;
using OneDnnHandle = c10::TypedOperatorHandle<OneDnnLinear>;

std::optional<OneDnnHandle> FindOneDnn() {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2")) return std::nullopt;
  const auto handle = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
  if (handle.has_value()) return handle->typed<OneDnnLinear>();
#endif
  return std::nullopt;
}

const std::optional<OneDnnHandle>& OneDnn() {
  static const std::optional<OneDnnHandle> kHandle = FindOneDnn();
  return kHandle;
}

at::Tensor Product(const at::Tensor& x, const at::Tensor& weight,
                   const std::optional<at::Tensor>& bias, bool gelu = false) {
  return gelu ? OneDnn()->call(x, weight, bias, "gelu", Scalars(), "none")
              : OneDnn()->call(x, weight, bias, "none", Scalars(), "");
}

// grad^T * x. The product is faster with the longer side as its columns.
at::Tensor WeightGrad(const at::Tensor& grad, const at::Tensor& x) {
  if (grad.size(1) > x.size(1)) return Product(x.t(), grad.t(), std::nullopt).t();
  return Product(grad.t(), x.t(), std::nullopt);
}

class LinearFunction : public torch::autograd::Function<LinearFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weight, const at::Tensor& bias) {
    context->save_for_backward({x, weight});
    return Product(x, weight, bias);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const at::Tensor grad = grads[0].contiguous();
    at::Tensor grad_x;
    if (context->needs_input_grad(0)) grad_x = Product(grad, saved[1].t(), std::nullopt);
    return {grad_x, WeightGrad(grad, saved[0]), grad.sum(0)};
  }
};

bool UsesOneDnn(const LinearWeights& weights, const at::Tensor& x) {
  return OneDnn().has_value() && x.is_cpu() && x.scalar_type() == at::kFloat &&
         weights.weight.scalar_type() == at::kFloat && x.dim() == 2 && x.is_contiguous() &&
         !at::autocast::is_autocast_enabled(at::kCPU);
}

}  // namespace

at::Tensor Linear(const LinearWeights& weights, const at::Tensor& x_RD) {
  if (weights.weight_bf16.defined() || weights.weight_grad.defined()) {
    return DirectLinear(weights, x_RD);
  }
  if (!UsesOneDnn(weights, x_RD)) return at::linear(x_RD, weights.weight, weights.bias);
  if (!c10::GradMode::is_enabled()) return Product(x_RD, weights.weight, weights.bias);
  return LinearFunction::apply(x_RD, weights.weight, weights.bias);
}

at::Tensor LinearGelu(const LinearWeights& weights, const at::Tensor& x_RD) {
  if (weights.fused_gelu && weights.weight.size(0) % kColumns == 0) {
    return FusedBiasGelu(DirectLinear(weights, x_RD, /*with_bias=*/false), weights.bias,
                         weights.bias_grad);
  }
  if (UsesOneDnn(weights, x_RD) && !c10::GradMode::is_enabled()) {
    return Product(x_RD, weights.weight, weights.bias, /*gelu=*/true);
  }
  return at::gelu(Linear(weights, x_RD));
}

}  // namespace jepa
