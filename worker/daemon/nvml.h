// What the NVIDIA driver says of the GPUs, by its management library, which is loaded at run time:
// no CUDA context, and no dependency of the worker.
#ifndef IJEPA_WORKER_DAEMON_NVML_H_
#define IJEPA_WORKER_DAEMON_NVML_H_

#include <string>

namespace ijepa::worker {

// The CUDA compute capability, "9.0", the lowest of all GPUs of the driver. Empty if `library`
// cannot be loaded or does not answer. Takes tens of milliseconds.
std::string ComputeCapability(const std::string& library);

}  // namespace ijepa::worker

#endif  // IJEPA_WORKER_DAEMON_NVML_H_
