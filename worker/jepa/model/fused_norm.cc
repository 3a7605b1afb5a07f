// Autograd over the kernels add_norm, bias_gelu and rows; see fused_ops.h. Each Function calls the
// kernel on CUDA and its twin on a CPU with the same arguments.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <vector>

#include "worker/jepa/kernels/add_norm.h"
#include "worker/jepa/kernels/bias_gelu.h"
#include "worker/jepa/kernels/rows.h"
#include "worker/jepa/model/fused_ops.h"
#include "worker/jepa/model/kernel_call.h"

namespace jepa {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// A gradient that is either added to a buffer of the caller's or made anew.
struct GradTarget {
  GradTarget(const at::Tensor& buffer, const at::Tensor& like)
      : accumulate(buffer.defined()),
        tensor(accumulate ? buffer : at::empty_like(like, like.options().dtype(at::kFloat))) {}

  // What autograd is told: nothing where it has been added already.
  at::Tensor Returned() const { return accumulate ? at::Tensor() : tensor; }

  bool accumulate;
  at::Tensor tensor;
};

at::Tensor SavedTensor(AutogradContext* context, const char* key) {
  const c10::IValue& value = context->saved_data[key];
  return value.isTensor() ? value.toTensor() : at::Tensor();
}

void Forward(const AddNormForward& args, const at::Tensor& on) {
  if (on.is_cuda()) {
    CheckLaunch(LaunchAddNorm(args, StreamOf(on)), "add_norm");
  } else {
    AddNormOnHost(args);
  }
}

class AddNormFunction : public torch::autograd::Function<AddNormFunction> {
 public:
  // Inputs: gamma, beta, residual and, maybe, branch. Outputs: normed; before it sum, where there
  // is a branch.
  static variable_list forward(AutogradContext* context, at::TensorList inputs,
                               const NormWeights& norm) {
    const at::Tensor &gamma = inputs[0], &beta = inputs[1];
    const at::Tensor residual = inputs[2].contiguous();
    const bool has_branch = inputs.size() == 4;
    const at::Tensor branch = has_branch ? inputs[3].contiguous() : at::Tensor();
    const auto of_type = [&](bool bf16) {
      return at::empty_like(residual, residual.options().dtype(bf16 ? at::kBFloat16 : at::kFloat));
    };
    const at::Tensor sum = has_branch ? of_type(norm.bf16_sum) : residual;
    const at::Tensor normed = of_type(norm.bf16_out);
    const at::Tensor statistics =
        at::empty({2, residual.size(0)}, residual.options().dtype(at::kFloat));
    AddNormForward args{.residual = residual.const_data_ptr(),
                        .residual_type = TypeOf(residual),
                        .gamma = gamma.const_data_ptr<float>(),
                        .beta = beta.const_data_ptr<float>(),
                        .normed = normed.data_ptr(),
                        .normed_type = TypeOf(normed),
                        .mean = statistics.data_ptr<float>(),
                        .rstd = statistics.data_ptr<float>() + residual.size(0),
                        .rows = residual.size(0),
                        .width = residual.size(1),
                        .eps = static_cast<float>(kNormEps)};
    if (has_branch) {
      args.branch = branch.const_data_ptr();
      args.branch_type = TypeOf(branch);
      args.sum = sum.data_ptr();
      args.sum_type = TypeOf(sum);
    }
    Forward(args, residual);
    context->save_for_backward({sum, statistics, gamma});
    context->saved_data["has_branch"] = has_branch;
    context->saved_data["residual_type"] = residual.scalar_type();
    if (has_branch) context->saved_data["branch_type"] = branch.scalar_type();
    if (norm.weight_grad.defined()) {
      context->saved_data["weight_grad"] = norm.weight_grad;
      context->saved_data["bias_grad"] = norm.bias_grad;
    }
    context->set_materialize_grads(false);
    return has_branch ? variable_list{sum, normed} : variable_list{normed};
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &sum = saved[0], &statistics = saved[1], &gamma = saved[2];
    const bool has_branch = context->saved_data["has_branch"].toBool();
    const at::Tensor grad_sum =
        has_branch && grads[0].defined() ? grads[0].contiguous() : at::Tensor();
    at::Tensor grad_normed = grads.back();
    grad_normed = grad_normed.defined() ? grad_normed.contiguous() : at::zeros_like(sum);
    const int64_t rows = sum.size(0), width = sum.size(1);
    const GradTarget grad_gamma(SavedTensor(context, "weight_grad"), gamma);
    const GradTarget grad_beta(SavedTensor(context, "bias_grad"), gamma);
    const at::Tensor grad_residual = at::empty_like(
        sum, sum.options().dtype(context->saved_data["residual_type"].toScalarType()));
    const at::Tensor partial = at::empty({AddNormPartials(rows, width), 2, width}, gamma.options());
    at::Tensor grad_branch = has_branch ? grad_residual : at::Tensor();
    AddNormBackward args{.grad_normed = grad_normed.const_data_ptr(),
                         .normed_type = TypeOf(grad_normed),
                         .grad_sum = grad_sum.defined() ? grad_sum.const_data_ptr() : nullptr,
                         .sum = sum.const_data_ptr(),
                         .sum_type = TypeOf(sum),
                         .mean = statistics.const_data_ptr<float>(),
                         .rstd = statistics.const_data_ptr<float>() + rows,
                         .gamma = gamma.const_data_ptr<float>(),
                         .grad_residual = grad_residual.data_ptr(),
                         .residual_type = TypeOf(grad_residual),
                         .partial = partial.data_ptr<float>(),
                         .grad_gamma = grad_gamma.tensor.data_ptr<float>(),
                         .grad_beta = grad_beta.tensor.data_ptr<float>(),
                         .accumulate = grad_gamma.accumulate,
                         .rows = rows,
                         .width = width};
    const c10::IValue& branch_type = context->saved_data["branch_type"];
    if (has_branch && branch_type.toScalarType() != grad_residual.scalar_type()) {
      grad_branch = at::empty_like(sum, sum.options().dtype(branch_type.toScalarType()));
      args.grad_branch = grad_branch.data_ptr();
      args.branch_type = TypeOf(grad_branch);
    }
    if (sum.is_cuda()) {
      CheckLaunch(LaunchAddNormBackward(args, StreamOf(sum)), "add_norm backward");
    } else {
      AddNormBackwardOnHost(args);
    }
    variable_list grad_inputs{grad_gamma.Returned(), grad_beta.Returned(), grad_residual};
    if (has_branch) grad_inputs.push_back(grad_branch);
    grad_inputs.emplace_back();  // Of the weights' struct.
    return grad_inputs;
  }
};

class BiasGeluFunction : public torch::autograd::Function<BiasGeluFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& product_in,
                            const at::Tensor& bias, const std::optional<at::Tensor>& bias_grad) {
    const at::Tensor product = product_in.contiguous();
    const at::Tensor out = at::empty_like(product);
    const BiasGeluForward args{.product = product.const_data_ptr(),
                               .bias = bias.const_data_ptr<float>(),
                               .out = out.data_ptr(),
                               .type = TypeOf(product),
                               .rows = product.size(0),
                               .width = product.size(1)};
    if (product.is_cuda()) {
      CheckLaunch(LaunchBiasGelu(args, StreamOf(product)), "bias_gelu");
    } else {
      BiasGeluOnHost(args);
    }
    context->save_for_backward({product, bias});
    if (bias_grad.has_value()) context->saved_data["bias_grad"] = *bias_grad;
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &product = saved[0], &bias = saved[1];
    const int64_t rows = product.size(0), width = product.size(1);
    const at::Tensor grad_out = grads[0].contiguous();
    const at::Tensor grad_product = at::empty_like(product);
    const at::Tensor partial =
        at::empty({BiasGeluPartials(rows, width), width}, product.options().dtype(at::kFloat));
    const GradTarget grad_bias(SavedTensor(context, "bias_grad"), bias);
    const BiasGeluBackward args{.grad_out = grad_out.const_data_ptr(),
                                .product = product.const_data_ptr(),
                                .bias = bias.const_data_ptr<float>(),
                                .grad_product = grad_product.data_ptr(),
                                .partial = partial.data_ptr<float>(),
                                .grad_bias = grad_bias.tensor.data_ptr<float>(),
                                .accumulate = grad_bias.accumulate,
                                .type = TypeOf(product),
                                .rows = rows,
                                .width = width};
    if (product.is_cuda()) {
      CheckLaunch(LaunchBiasGeluBackward(args, StreamOf(product)), "bias_gelu backward");
    } else {
      BiasGeluBackwardOnHost(args);
    }
    return {grad_product, grad_bias.Returned(), at::Tensor()};
  }
};

class TakeRowsFunction : public torch::autograd::Function<TakeRowsFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_in,
                            const RowChoice& choice) {
    const at::Tensor x = x_in.contiguous();
    const at::Tensor out = at::empty({choice.rows.size(0), x.size(1)}, x.options());
    const GatherRows args{.in = x.const_data_ptr(),
                          .rows = choice.rows.const_data_ptr<int32_t>(),
                          .out = out.data_ptr(),
                          .count = choice.rows.size(0),
                          .row_bytes = x.size(1) * static_cast<int64_t>(x.element_size())};
    if (x.is_cuda()) {
      CheckLaunch(LaunchGatherRows(args, StreamOf(x)), "gather_rows");
    } else {
      GatherRowsOnHost(args);
    }
    context->saved_data["starts"] = choice.starts;
    context->saved_data["order"] = choice.order;
    context->saved_data["in_rows"] = x.size(0);
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const at::Tensor grad_out = grads[0].contiguous();
    const at::Tensor starts = context->saved_data["starts"].toTensor();
    const at::Tensor order = context->saved_data["order"].toTensor();
    const int64_t in_rows = context->saved_data["in_rows"].toInt();
    TORCH_CHECK(starts.size(0) == in_rows + 1, "a choice of rows was inverted for ",
                starts.size(0) - 1, " rows; the tensor has ", in_rows);
    const at::Tensor grad_in = at::empty({in_rows, grad_out.size(1)}, grad_out.options());
    const GatherRowsBackward args{.grad_out = grad_out.const_data_ptr(),
                                  .starts = starts.const_data_ptr<int32_t>(),
                                  .order = order.const_data_ptr<int32_t>(),
                                  .grad_in = grad_in.data_ptr(),
                                  .type = TypeOf(grad_out),
                                  .in_rows = in_rows,
                                  .width = grad_out.size(1)};
    if (grad_out.is_cuda()) {
      CheckLaunch(LaunchGatherRowsBackward(args, StreamOf(grad_out)), "gather_rows backward");
    } else {
      GatherRowsBackwardOnHost(args);
    }
    return {grad_in, at::Tensor()};
  }
};

std::optional<at::Tensor> OptionalOf(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional<at::Tensor>(tensor) : std::nullopt;
}

}  // namespace

NormedRows FusedAddNorm(const NormWeights& norm, const Stream& stream) {
  std::vector<at::Tensor> inputs{norm.weight, norm.bias, stream.residual};
  const bool has_branch = stream.branch.defined();
  if (has_branch) inputs.push_back(stream.branch);
  const variable_list out = AddNormFunction::apply(at::TensorList(inputs), norm);
  return has_branch ? NormedRows{out[0], out[1]} : NormedRows{stream.residual, out[0]};
}

at::Tensor FusedBiasGelu(const at::Tensor& product_RH, const at::Tensor& bias,
                         const at::Tensor& bias_grad) {
  return BiasGeluFunction::apply(product_RH, bias, OptionalOf(bias_grad));
}

at::Tensor FusedTakeRows(const at::Tensor& x_RD, const RowChoice& choice) {
  return TakeRowsFunction::apply(x_RD, choice);
}

}  // namespace jepa
