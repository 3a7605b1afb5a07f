// From tensors to the arguments of worker/jepa/kernels, and from their answers to exceptions.
#ifndef IJEPA_WORKER_JEPA_MODEL_KERNEL_CALL_H_
#define IJEPA_WORKER_JEPA_MODEL_KERNEL_CALL_H_

#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "worker/jepa/kernels/element.h"

namespace jepa {

inline FloatType TypeOf(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kBFloat16 ? FloatType::kBfloat16 : FloatType::kFloat32;
}

// The stream that work on `tensor`'s device goes to. While it lives that device is the current one,
// as a launch needs: on a node with several GPUs the thread may stand on another.
class LaunchStream {
 public:
  explicit LaunchStream(const at::Tensor& tensor)
      : guard_(tensor.device()),
        stream_(c10::cuda::getCurrentCUDAStream(tensor.device().index()).stream()) {}
  operator void*() const { return stream_; }

 private:
  c10::DeviceGuard guard_;
  void* stream_;
};

// As an argument of a launch: it lives until the launch is made.
inline LaunchStream StreamOf(const at::Tensor& tensor) { return LaunchStream(tensor); }

// Throws c10::Error for the text of a failed launch.
inline void CheckLaunch(const char* error, const char* kernel) {
  TORCH_CHECK(error == nullptr, "launch of the kernel ", kernel, " failed: ", error);
}

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MODEL_KERNEL_CALL_H_
