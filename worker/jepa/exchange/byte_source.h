// Bytes that are read at any place, from a file or from memory, and little-endian numbers in them.
#ifndef IJEPA_WORKER_JEPA_EXCHANGE_BYTE_SOURCE_H_
#define IJEPA_WORKER_JEPA_EXCHANGE_BYTE_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace jepa {

// Reads are thread-safe.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual uint64_t size() const = 0;
  // Copies `bytes` bytes from `offset` on into `out`. Returns DataLoss if they are not all there.
  virtual absl::Status ReadAt(uint64_t offset, void* out, size_t bytes) const = 0;
};

// Opens a regular file. Returns NotFound, or InvalidArgument for what is not a file.
absl::StatusOr<std::unique_ptr<ByteSource>> OpenBytes(const std::string& path);

std::unique_ptr<ByteSource> BytesInMemory(std::string bytes);

// The unsigned number in `bytes` bytes from `data` on, lowest first; bytes <= 8.
inline uint64_t LittleEndian(const char* data, int bytes) {
  uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) {
    value |= static_cast<uint64_t>(static_cast<unsigned char>(data[i])) << (8 * i);
  }
  return value;
}

inline void AppendLittleEndian(uint64_t value, int bytes, std::string* out) {
  for (int i = 0; i < bytes; ++i) out->push_back(static_cast<char>((value >> (8 * i)) & 0xff));
}

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_EXCHANGE_BYTE_SOURCE_H_
