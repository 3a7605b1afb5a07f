// Any bytes as a tar: every member must lie inside the file.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "worker/jepa/data/tar_index.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int fd = memfd_create("tar", MFD_CLOEXEC);
  if (ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != static_cast<ssize_t>(size)) return 0;
  (void)jepa::ScanTar(fd, "tar", [size](const jepa::TarMember& member) {
    if (member.offset > size || member.bytes > size - member.offset) std::abort();
  });
  return 0;
}
