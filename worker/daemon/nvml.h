// What the NVIDIA driver says of the GPUs, by its management library, which is loaded at run time:
// no CUDA context, and no dependency of the worker.
#ifndef IJEPA_WORKER_DAEMON_NVML_H_
#define IJEPA_WORKER_DAEMON_NVML_H_

#include <memory>
#include <string>
#include <vector>

namespace ijepa::worker {

// The CUDA compute capability, "9.0", the lowest of all GPUs of the driver. Empty if `library`
// cannot be loaded or does not answer. Takes tens of milliseconds.
std::string ComputeCapability(const std::string& library);

// Errors of GPUs as the driver reports them, by NVIDIA's numbers (Xid). Thread-compatible.
class GpuErrors {
 public:
  struct Error {
    int slot = 0;
    int xid = 0;
  };

  // Listens to the GPUs of `devices`, slot by slot, named as in CUDA_VISIBLE_DEVICES by number (in
  // the order of the PCI bus) or by "GPU-..."; parts of a GPU ("MIG-...") are not listened to. Null
  // if `library` cannot be loaded, or no GPU of them can be listened to.
  static std::unique_ptr<GpuErrors> Listen(const std::string& library,
                                           const std::vector<std::string>& devices);
  ~GpuErrors();

  // Those since the last call, oldest first, at most 64. Never blocks.
  std::vector<Error> Poll();

 private:
  struct Driver;
  explicit GpuErrors(std::unique_ptr<Driver> driver);

  const std::unique_ptr<Driver> driver_;
};

}  // namespace ijepa::worker

#endif  // IJEPA_WORKER_DAEMON_NVML_H_
