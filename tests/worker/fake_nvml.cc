// The management library of a driver with three GPUs, one of which does not answer. Their errors
// are lines "INDEX XID" of the file that FAKE_NVML_ERRORS names, from its beginning.
#include <cstdint>
#include <cstdlib>
#include <fstream>

namespace {

struct Event {
  void* device;
  unsigned long long type;
  unsigned long long data;
  unsigned gpu_instance;
  unsigned compute_instance;
};

void* DeviceOf(uintptr_t index) { return reinterpret_cast<void*>(index + 1); }

std::streamoff read_until = 0;

}  // namespace

extern "C" {

int nvmlInit_v2() { return 0; }
int nvmlShutdown() { return 0; }

int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = 3;
  return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  *device = DeviceOf(index);
  return 0;
}

int nvmlDeviceGetHandleByUUID(const char* uuid, void** device) {
  *device = DeviceOf(2);
  return uuid[4] == 't' ? 0 : 6;  // Not found.
}

int nvmlEventSetCreate(void** events) {
  static int only;
  *events = &only;
  return 0;
}

int nvmlEventSetFree(void* /*events*/) { return 0; }

int nvmlDeviceRegisterEvents(void* device, unsigned long long types, void* /*events*/) {
  return device == DeviceOf(0) || types != 8 ? 3 : 0;
}

int nvmlEventSetWait_v2(void* /*events*/, Event* event, unsigned /*milliseconds*/) {
  const char* path = std::getenv("FAKE_NVML_ERRORS");
  if (path == nullptr) return 10;  // Timeout.
  std::ifstream file(path);
  file.seekg(read_until);
  uintptr_t index = 0;
  if (!(file >> index >> event->data)) return 10;
  event->device = DeviceOf(index);
  event->type = 8;
  read_until = file.tellg();
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
