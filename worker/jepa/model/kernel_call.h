// From tensors to the arguments of worker/jepa/kernels, and from their answers to exceptions.
#ifndef IJEPA_WORKER_JEPA_MODEL_KERNEL_CALL_H_
#define IJEPA_WORKER_JEPA_MODEL_KERNEL_CALL_H_

#include <ATen/core/Tensor.h>
#include <c10/cuda/CUDAStream.h>

#include "worker/jepa/kernels/element.h"

namespace jepa {

inline FloatType TypeOf(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kBFloat16 ? FloatType::kBfloat16 : FloatType::kFloat32;
}

// The stream that work on `tensor`'s device goes to.
inline void* StreamOf(const at::Tensor& tensor) {
  return c10::cuda::getCurrentCUDAStream(tensor.device().index()).stream();
}

// Throws c10::Error for the text of a failed launch.
inline void CheckLaunch(const char* error, const char* kernel) {
  TORCH_CHECK(error == nullptr, "launch of the kernel ", kernel, " failed: ", error);
}

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MODEL_KERNEL_CALL_H_
