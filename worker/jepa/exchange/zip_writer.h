// Writes zip archives of stored entries whose data begins at multiples of 64, as torch.save does.
#ifndef IJEPA_WORKER_JEPA_EXCHANGE_ZIP_WRITER_H_
#define IJEPA_WORKER_JEPA_EXCHANGE_ZIP_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/file.h"

namespace jepa {

inline constexpr uint64_t kZipAlignment = 64;

struct ZipWriterOptions {
  // Sizes and offsets from here on are written in 64-bit fields. Lower: for tests only.
  uint64_t zip64_from = 0xffffffff;
};

// Begin, Append, End for each entry, then Finish. Movable; owned and called by one thread. Without
// Finish the file is no archive. Errors: those of the file system.
class ZipWriter {
 public:
  // Creates or empties the file.
  static absl::StatusOr<ZipWriter> Create(const std::string& path,
                                          const ZipWriterOptions& options = {});

  // Starts an entry of `bytes` bytes.
  absl::Status Begin(const std::string& name, uint64_t bytes);
  // Returns Internal if the entry gets longer than Begin said.
  absl::Status Append(const void* data, size_t bytes);
  // Returns Internal if the entry is shorter than Begin said.
  absl::Status End();
  // All three.
  absl::Status Add(const std::string& name, absl::string_view data);
  // Writes the directory and makes the file durable.
  absl::Status Finish();

 private:
  struct Record {
    std::string name;
    uint64_t header_offset = 0;
    uint64_t bytes = 0;
    uint64_t written = 0;
    uint32_t crc32 = 0;
  };

  absl::Status Write(absl::string_view bytes);
  bool IsWide(uint64_t value) const { return value >= options_.zip64_from; }
  std::string LocalHeader(const Record& record) const;
  std::string CentralRecord(const Record& record) const;
  std::string EndRecords(uint64_t directory_offset) const;

  std::string path_;
  ijepa::UniqueFd fd_;
  ZipWriterOptions options_;
  uint64_t position_ = 0;
  std::vector<Record> records_;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_EXCHANGE_ZIP_WRITER_H_
