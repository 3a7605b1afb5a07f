// One part of a checkpoint: sequential bytes with their CRC32C.
#ifndef IJEPA_WORKER_JEPA_CHECKPOINT_PART_FILE_H_
#define IJEPA_WORKER_JEPA_CHECKPOINT_PART_FILE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/file.h"

namespace jepa {

// Writes a part from its start to its end. Small pieces are gathered, large ones go straight from
// the caller's memory. Owned and called by one thread.
class PartWriter {
 public:
  // Creates the file and reserves `bytes`, so that a full disk is noticed before the first write.
  // Returns ResourceExhausted then.
  static absl::StatusOr<PartWriter> Create(const std::string& path, int64_t bytes);

  absl::Status Append(const void* data, size_t size);
  // Appends zeros up to `offset` bytes from the start.
  absl::Status PadTo(int64_t offset);
  // Writes what is gathered and starts its way to the disk. Returns the CRC32C of the whole.
  absl::StatusOr<uint32_t> Finish();
  // Waits until all is durable, and closes. After Finish, and apart from it so that the next part
  // is written meanwhile.
  absl::Status Sync();

 private:
  absl::Status Write(const char* data, size_t size);
  absl::Status Flush();
  void StartWriteBack();

  std::string path_;
  ijepa::UniqueFd fd_;
  std::vector<char> gathered_;
  int64_t appended_ = 0;       // Bytes given to Append.
  int64_t written_ = 0;        // Bytes given to the kernel.
  int64_t flushing_from_ = 0;  // Write-back has been started up to here.
  uint32_t crc_ = 0;
};

// CRC32C of a whole file. Returns DataLoss if it is missing or has not exactly `bytes` bytes.
absl::StatusOr<uint32_t> PartChecksum(const std::string& path, int64_t bytes);

// Copies `bytes` bytes from `offset` of the file into `out`. Returns DataLoss if it is shorter.
absl::Status ReadPart(const std::string& path, int64_t offset, int64_t bytes, void* out);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_CHECKPOINT_PART_FILE_H_
