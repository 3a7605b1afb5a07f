// Reads safetensors files, which come from outside: every length, offset and shape is checked
// before it is used. Format: 8 bytes little-endian header length, JSON header, data.
#ifndef IJEPA_WORKER_JEPA_CHECKPOINT_SAFETENSORS_H_
#define IJEPA_WORKER_JEPA_CHECKPOINT_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/file.h"

namespace jepa {

enum class SafetensorsType { kFloat32, kFloat64, kInt64, kInt32, kUint8, kBool };

// Bytes of one element.
int64_t ElementBytes(SafetensorsType type);

struct SafetensorsEntry {
  std::string name;
  SafetensorsType type = SafetensorsType::kFloat32;
  std::vector<int64_t> shape;
  uint64_t offset = 0;  // From the start of the data.
  uint64_t bytes = 0;   // Product of shape and element size.
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> tensors;        // By name.
  std::map<std::string, std::string> metadata;  // "__metadata__"
};

// The longest header that is read, as in the format's own library.
inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;

// Parses the JSON header of a file whose data part has `data_bytes` bytes. Ranges must be as long
// as their shapes say and tile the data without overlap or hole. Returns DataLoss naming the tensor
// and the broken rule, Unimplemented for a dtype that is none of SafetensorsType.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(absl::string_view json,
                                                         uint64_t data_bytes);

// An open file. Movable; reads are thread-safe.
class SafetensorsFile {
 public:
  // Reads and checks the header; data is read on demand. Returns NotFound, or as
  // ParseSafetensorsHeader.
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);

  const std::vector<SafetensorsEntry>& tensors() const { return header_.tensors; }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  // Null if there is none of that name.
  const SafetensorsEntry* Find(const std::string& name) const;
  // Copies entry.bytes bytes of `entry`, one of tensors(), into `out`. Returns DataLoss if the file
  // became shorter.
  absl::Status Read(const SafetensorsEntry& entry, void* out) const;

 private:
  std::string path_;
  ijepa::UniqueFd fd_;
  uint64_t data_start_ = 0;
  SafetensorsHeader header_;
  std::map<std::string, size_t> by_name_;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_CHECKPOINT_SAFETENSORS_H_
