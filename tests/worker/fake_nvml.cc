// The management library of a driver with three GPUs, one of which does not answer.
#include <cstdint>

extern "C" {

int nvmlInit_v2() { return 0; }
int nvmlShutdown() { return 0; }

int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = 3;
  return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  *device = reinterpret_cast<void*>(static_cast<uintptr_t>(index + 1));
  return 0;
}

int nvmlDeviceGetCudaComputeCapability(void* device, int* major, int* minor) {
  const auto index = reinterpret_cast<uintptr_t>(device) - 1;
  if (index == 0) return 15;  // The GPU is lost.
  *major = index == 1 ? 9 : 8;
  *minor = index == 1 ? 0 : 6;
  return 0;
}
}
