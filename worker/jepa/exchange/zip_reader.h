// Reads zip archives that come from outside, as torch.save writes them: stored entries, nothing
// compressed, nothing encrypted. Format: PKWARE APPNOTE 6.3.
#ifndef IJEPA_WORKER_JEPA_EXCHANGE_ZIP_READER_H_
#define IJEPA_WORKER_JEPA_EXCHANGE_ZIP_READER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/jepa/exchange/byte_source.h"

namespace jepa {

struct ZipEntry {
  std::string name;
  uint64_t offset = 0;  // Of the data in the archive.
  uint64_t bytes = 0;
  uint32_t crc32 = 0;
};

// Bounds of what is read; ViT-g with its optimizer has about 3,500 entries.
inline constexpr uint64_t kMaxZipEntries = 100'000;
inline constexpr uint64_t kMaxZipDirectoryBytes = 64 << 20;
inline constexpr size_t kMaxZipNameBytes = 512;

// The directory of an archive. Movable; reads are thread-safe. Every error is DataLoss that names
// the entry and the rule, or Unimplemented for compression, encryption and archives in pieces.
class ZipReader {
 public:
  // Reads and checks the whole directory: each entry lies inside the archive and on no other, its
  // two headers agree, names are relative, without "..", and unique. `source` is borrowed.
  static absl::StatusOr<ZipReader> Open(const ByteSource& source);

  // In the order of their data.
  const std::vector<ZipEntry>& entries() const { return entries_; }
  // Null if there is none of that name.
  const ZipEntry* Find(const std::string& name) const;

  // Copies all entry.bytes bytes into `out` and checks their CRC.
  absl::Status Read(const ZipEntry& entry, void* out) const;
  // Checks the CRC alone, with little memory.
  absl::Status Verify(const ZipEntry& entry) const;
  // Copies a range inside the entry without a check; for entries that Verify has passed.
  absl::Status ReadRange(const ZipEntry& entry, uint64_t offset, void* out, size_t bytes) const;

 private:
  explicit ZipReader(const ByteSource* source) : source_(source) {}
  absl::Status LocateData(uint64_t header_offset, uint64_t limit, ZipEntry& entry) const;

  const ByteSource* source_;
  std::vector<ZipEntry> entries_;
  std::map<std::string, size_t> by_name_;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_EXCHANGE_ZIP_READER_H_
