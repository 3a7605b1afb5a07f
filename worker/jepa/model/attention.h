// Attention of packed QKV rows, with the kernel that suits device, type and size.
#ifndef IJEPA_WORKER_JEPA_MODEL_ATTENTION_H_
#define IJEPA_WORKER_JEPA_MODEL_ATTENTION_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace jepa {

// How the rows of a tensor form sequences.
struct Sequences {
  int64_t count = 0;   // S
  int64_t tokens = 0;  // n
  int heads = 0;
  // Every sequence is the whole grid, so that the shape is the same in every step.
  bool whole_images = false;
};

// Softmax attention of packed rows [S * n, 3D] (a row is [q of all heads | k | v]), scaled by the
// root of the head's width: [S * (n - first_query), D]. Tokens before `first_query` of each
// sequence are attended to but ask nothing. Differentiable.
at::Tensor Attend(const at::Tensor& qkv_R3D, const Sequences& shape, int64_t first_query = 0);

// Sets the order in which LibTorch tries its attention kernels on CUDA, for the whole process:
// cuDNN, flash, memory-efficient, math. LibTorch's own order has cuDNN last, though it is the only
// fast one on Hopper (performance.md 3, row 1). All take head dimensions that are multiples of 8:
// 80 and 88 of ViT-H and ViT-g, 24 of their predictor.
void SetCudaAttentionOrder();

// The same by LibTorch's scaled_dot_product_attention: any device, any type. cuDNN only for whole
// images: it builds a plan for every shape, and those of masks change from step to step.
at::Tensor AttendBySdpa(const at::Tensor& qkv_R3D, const Sequences& shape, int64_t first_query);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MODEL_ATTENTION_H_
