// Activation checkpointing: a part of a network that keeps its inputs alone for the backward pass.
#ifndef IJEPA_WORKER_JEPA_MODEL_RECOMPUTE_H_
#define IJEPA_WORKER_JEPA_MODEL_RECOMPUTE_H_

#include <ATen/core/Tensor.h>

#include <functional>

namespace jepa {

// A part of a network: one or two inputs (`second` may be undefined) to one output. Parameters are
// what it captures; their gradients must be allocated, as those of FlatStorage are.
using NetworkPart = std::function<at::Tensor(const at::Tensor& first, const at::Tensor& second)>;

// part(first, second). Its backward pass runs `part` once more and goes back through that, with the
// autocast of the first time, so what the part keeps inside lives only then. Both runs build a
// graph, so they and a plain call take the same kernels and give the same bits. `first` must
// require a gradient, or no parameter of the part gets one; without gradients just calls it.
at::Tensor Recomputed(const NetworkPart& part, const at::Tensor& first,
                      const at::Tensor& second = {});

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MODEL_RECOMPUTE_H_
