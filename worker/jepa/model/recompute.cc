// Activation checkpointing; see recompute.h. The backward pass of the part runs inside that of the
// whole: LibTorch's engine allows it.
#include "worker/jepa/model/recompute.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "worker/jepa/model/autocast.h"

namespace jepa {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What the backward pass needs besides tensors.
struct PartHolder : torch::CustomClassHolder {
  NetworkPart part;
  bool has_second = false;
  Precision precision = Precision::kFp32;
};

at::Tensor AsLeaf(const at::Tensor& tensor) {
  return tensor.detach().set_requires_grad(tensor.requires_grad());
}

at::Tensor Run(const PartHolder& holder, const at::Tensor& first, const at::Tensor& second) {
  return holder.part(first, holder.has_second ? second : at::Tensor());
}

class RecomputedFunction : public torch::autograd::Function<RecomputedFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& first,
                            const at::Tensor& second,
                            const c10::intrusive_ptr<torch::CustomClassHolder>& holder) {
    context->save_for_backward({first, second});
    context->saved_data["part"] = c10::IValue::make_capsule(holder);
    const c10::AutoGradMode with_graph(true);
    return Run(static_cast<PartHolder&>(*holder), AsLeaf(first), AsLeaf(second)).detach();
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const variable_list saved = context->get_saved_variables();
    const auto capsule = context->saved_data["part"].toCapsule();
    const auto& holder = static_cast<PartHolder&>(*capsule);
    const at::Tensor first = AsLeaf(saved[0]);
    const at::Tensor second = AsLeaf(saved[1]);
    at::Tensor out;
    {
      const c10::AutoGradMode with_graph(true);
      const AutocastScope autocast(holder.precision, first.device());
      out = Run(holder, first, second);
    }
    torch::autograd::backward({out}, {grads[0]});
    return {first.grad(), second.grad(), at::Tensor()};
  }
};

}  // namespace

at::Tensor Recomputed(const NetworkPart& part, const at::Tensor& first, const at::Tensor& second) {
  if (!c10::GradMode::is_enabled()) return part(first, second);
  auto holder = c10::make_intrusive<PartHolder>();
  holder->part = part;
  holder->has_second = second.defined();
  if (at::autocast::is_autocast_enabled(first.device().type()))
    holder->precision = Precision::kBf16;
  // Stands for an input that is not there.
  const at::Tensor none = at::empty({0}, first.options());
  return RecomputedFunction::apply(first, second.defined() ? second : none,
                                   c10::intrusive_ptr<torch::CustomClassHolder>(holder));
}

}  // namespace jepa
