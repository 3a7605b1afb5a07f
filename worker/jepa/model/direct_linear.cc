// Linear layers with explicit types and their own backward pass; see linear.h.
#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContextLight.h>
#include <cublas_v2.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "worker/jepa/model/linear.h"

namespace jepa {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// weight_grad[out, in] += grad[R, out]^T * x[R, in...], bf16 factors, fp32 sums, all contiguous.
// cuBLAS counts by columns: there the row-major matrices are x^T, grad^T and weight_grad^T. The
// distance of rows is the column count: stride(0) of a tensor of one row may be anything.
void AddProductOnCuda(const at::Tensor& grad, const at::Tensor& x, const at::Tensor& weight_grad) {
  const float one = 1.0f;
  const auto in = static_cast<int>(weight_grad.size(1));
  const auto out = static_cast<int>(weight_grad.size(0));
  const cublasStatus_t status =
      cublasGemmEx(at::cuda::getCurrentCUDABlasHandle(), CUBLAS_OP_N, CUBLAS_OP_T, in, out,
                   static_cast<int>(x.size(0)), &one, x.const_data_ptr(), CUDA_R_16BF,
                   static_cast<int>(x.size(1)), grad.const_data_ptr(), CUDA_R_16BF,
                   static_cast<int>(grad.size(1)), &one, weight_grad.data_ptr(), CUDA_R_32F, in,
                   CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
  TORCH_CHECK(status == CUBLAS_STATUS_SUCCESS, "cublasGemmEx of a weight gradient [", out, ", ", in,
              "] failed with status ", static_cast<int>(status));
}

void AddProduct(const at::Tensor& grad, const at::Tensor& x, const at::Tensor& weight_grad) {
  if (grad.is_cuda() && grad.scalar_type() == at::kBFloat16) {
    AddProductOnCuda(grad, x, weight_grad);
    return;
  }
  at::Tensor sum = weight_grad;
  sum.addmm_(grad.t().to(at::kFloat), x.narrow(1, 0, sum.size(1)).to(at::kFloat));
}

// The weight with as many columns as x: zeros beside it.
at::Tensor Padded(const at::Tensor& weight, const at::Tensor& x) {
  const int64_t missing = x.size(1) - weight.size(1);
  return missing == 0 ? weight : at::constant_pad_nd(weight, {0, missing});
}

class DirectLinearFunction : public torch::autograd::Function<DirectLinearFunction> {
 public:
  // Inputs: x, weight, bias.
  static at::Tensor forward(AutogradContext* context, at::TensorList inputs,
                            const LinearWeights& weights, bool with_bias) {
    const at::Tensor &x_in = inputs[0], &weight_in = inputs[1], &bias_in = inputs[2];
    const bool bf16 = weights.weight_bf16.defined();
    const at::Tensor x = (bf16 ? x_in.to(at::kBFloat16) : x_in).contiguous();
    const at::Tensor weight = Padded(bf16 ? weights.weight_bf16 : weight_in, x);
    const at::Tensor bias = bf16 ? weights.bias_bf16 : bias_in;
    context->save_for_backward({x, weight});
    context->saved_data["in"] = weight_in.size(1);
    context->saved_data["with_bias"] = with_bias;
    if (weights.weight_grad.defined()) {
      context->saved_data["weight_grad"] = weights.weight_grad;
      context->saved_data["bias_grad"] = weights.bias_grad;
    }
    return with_bias ? at::addmm(bias, x, weight.t()) : at::mm(x, weight.t());
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const at::Tensor grad = grads[0].contiguous();
    const bool with_bias = context->saved_data["with_bias"].toBool();
    const c10::IValue& weight_buffer = context->saved_data["weight_grad"];
    at::Tensor grad_x, grad_weight, grad_bias;
    if (context->needs_input_grad(0)) grad_x = at::mm(grad, weight);
    if (with_bias) grad_bias = grad.sum(0, /*keepdim=*/false, at::kFloat);
    if (weight_buffer.isTensor()) {
      AddProduct(grad, x, weight_buffer.toTensor());
      if (with_bias) context->saved_data["bias_grad"].toTensor().add_(grad_bias);
      grad_bias = at::Tensor();
    } else {
      grad_weight = at::zeros({weight.size(0), context->saved_data["in"].toInt()},
                              grad.options().dtype(at::kFloat));
      AddProduct(grad, x, grad_weight);
    }
    return {grad_x, grad_weight, grad_bias, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor DirectLinear(const LinearWeights& weights, const at::Tensor& x_RD, bool with_bias) {
  const std::vector<at::Tensor> inputs{x_RD, weights.weight, weights.bias};
  return DirectLinearFunction::apply(at::TensorList(inputs), weights, with_bias);
}

}  // namespace jepa
