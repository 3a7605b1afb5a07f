// The CRC of an entry is known after its data, so the header is written first and once more.
#include "worker/jepa/exchange/zip_writer.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/jepa/exchange/byte_source.h"
#include "worker/jepa/exchange/zip_format.h"

namespace jepa {
namespace {

// 1 January 1980, the first day that the format knows.
constexpr uint64_t kDate = 0x0021;
// Names are UTF-8.
constexpr uint64_t kFlags = 1 << 11;

void Append16(uint64_t value, std::string* out) { AppendLittleEndian(value, 2, out); }
void Append32(uint64_t value, std::string* out) { AppendLittleEndian(value, 4, out); }
void Append64(uint64_t value, std::string* out) { AppendLittleEndian(value, 8, out); }

}  // namespace

absl::StatusOr<ZipWriter> ZipWriter::Create(const std::string& path,
                                            const ZipWriterOptions& options) {
  ZipWriter writer;
  writer.path_ = path;
  writer.options_ = options;
  writer.fd_.Reset(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!writer.fd_.valid()) return ijepa::ErrnoStatus(errno, "creating", path);
  return writer;
}

absl::Status ZipWriter::Write(absl::string_view bytes) {
  IJEPA_RETURN_IF_ERROR(ijepa::WriteAll(fd_.get(), bytes, path_));
  position_ += bytes.size();
  return absl::OkStatus();
}

std::string ZipWriter::LocalHeader(const Record& record) const {
  const bool wide = IsWide(record.bytes);
  std::string extra;
  if (wide) {
    Append16(zip::kExtra64, &extra);
    Append16(16, &extra);
    Append64(record.bytes, &extra);
    Append64(record.bytes, &extra);
  }
  // A padding field has a header of 4 bytes, so it is 4 to 67 bytes long.
  const uint64_t end =
      record.header_offset + zip::kLocalBytes + record.name.size() + extra.size() + 4;
  const uint64_t padding = (kZipAlignment - end % kZipAlignment) % kZipAlignment;
  Append16(zip::kExtraPadding, &extra);
  Append16(padding, &extra);
  extra.append(padding, 'Z');
  std::string header;
  Append32(zip::kLocalSignature, &header);
  Append16(zip::kVersion, &header);
  Append16(kFlags, &header);
  Append16(0, &header);  // Stored.
  Append16(0, &header);  // Time.
  Append16(kDate, &header);
  Append32(record.crc32, &header);
  Append32(wide ? zip::kSee64 : record.bytes, &header);
  Append32(wide ? zip::kSee64 : record.bytes, &header);
  Append16(record.name.size(), &header);
  Append16(extra.size(), &header);
  return header + record.name + extra;
}

std::string ZipWriter::CentralRecord(const Record& record) const {
  const bool wide_size = IsWide(record.bytes);
  const bool wide_offset = IsWide(record.header_offset);
  std::string fields;
  if (wide_size) Append64(record.bytes, &fields);
  if (wide_size) Append64(record.bytes, &fields);
  if (wide_offset) Append64(record.header_offset, &fields);
  std::string extra;
  if (!fields.empty()) {
    Append16(zip::kExtra64, &extra);
    Append16(fields.size(), &extra);
    extra += fields;
  }
  std::string text;
  Append32(zip::kCentralSignature, &text);
  Append16(zip::kVersion, &text);
  Append16(zip::kVersion, &text);
  Append16(kFlags, &text);
  Append16(0, &text);  // Stored.
  Append16(0, &text);  // Time.
  Append16(kDate, &text);
  Append32(record.crc32, &text);
  Append32(wide_size ? zip::kSee64 : record.bytes, &text);
  Append32(wide_size ? zip::kSee64 : record.bytes, &text);
  Append16(record.name.size(), &text);
  Append16(extra.size(), &text);
  Append16(0, &text);  // Comment.
  Append16(0, &text);  // Piece.
  Append16(0, &text);  // Internal attributes.
  Append32(0, &text);  // External attributes.
  Append32(wide_offset ? zip::kSee64 : record.header_offset, &text);
  return text + record.name + extra;
}

std::string ZipWriter::EndRecords(uint64_t directory_offset) const {
  const uint64_t bytes = position_ - directory_offset;
  const uint64_t count = records_.size();
  const bool wide = IsWide(directory_offset) || count >= zip::kCountSee64;
  std::string text;
  if (wide) {
    Append32(zip::kEnd64Signature, &text);
    Append64(zip::kEnd64Bytes - 12, &text);
    Append16(zip::kVersion, &text);
    Append16(zip::kVersion, &text);
    Append32(0, &text);
    Append32(0, &text);
    Append64(count, &text);
    Append64(count, &text);
    Append64(bytes, &text);
    Append64(directory_offset, &text);
    Append32(zip::kLocator64Signature, &text);
    Append32(0, &text);
    Append64(position_, &text);
    Append32(1, &text);
  }
  Append32(zip::kEndSignature, &text);
  Append16(0, &text);
  Append16(0, &text);
  Append16(wide ? zip::kCountSee64 : count, &text);
  Append16(wide ? zip::kCountSee64 : count, &text);
  Append32(wide ? zip::kSee64 : bytes, &text);
  Append32(wide ? zip::kSee64 : directory_offset, &text);
  Append16(0, &text);
  return text;
}

absl::Status ZipWriter::Begin(const std::string& name, uint64_t bytes) {
  records_.push_back({.name = name, .header_offset = position_, .bytes = bytes});
  return Write(LocalHeader(records_.back()));
}

absl::Status ZipWriter::Append(const void* data, size_t bytes) {
  Record& record = records_.back();
  if (bytes > record.bytes - record.written) {
    return absl::InternalError(absl::StrCat("zip entry ", record.name, " gets more than the ",
                                            record.bytes, " bytes it was begun with"));
  }
  record.crc32 =
      static_cast<uint32_t>(crc32_z(record.crc32, static_cast<const Bytef*>(data), bytes));
  record.written += bytes;
  return Write({static_cast<const char*>(data), bytes});
}

absl::Status ZipWriter::End() {
  const Record& record = records_.back();
  if (record.written != record.bytes) {
    return absl::InternalError(absl::StrCat("zip entry ", record.name, " has ", record.written,
                                            " of the ", record.bytes, " bytes it was begun with"));
  }
  const std::string header = LocalHeader(record);
  for (size_t done = 0; done < header.size();) {
    const ssize_t count = ::pwrite(fd_.get(), header.data() + done, header.size() - done,
                                   static_cast<off_t>(record.header_offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ijepa::ErrnoStatus(errno, "writing", path_);
    done += static_cast<size_t>(count);
  }
  return absl::OkStatus();
}

absl::Status ZipWriter::Add(const std::string& name, absl::string_view data) {
  IJEPA_RETURN_IF_ERROR(Begin(name, data.size()));
  IJEPA_RETURN_IF_ERROR(Append(data.data(), data.size()));
  return End();
}

absl::Status ZipWriter::Finish() {
  const uint64_t directory_offset = position_;
  std::string directory;
  for (const Record& record : records_) directory += CentralRecord(record);
  IJEPA_RETURN_IF_ERROR(Write(directory));
  IJEPA_RETURN_IF_ERROR(Write(EndRecords(directory_offset)));
  if (::fsync(fd_.get()) != 0) return ijepa::ErrnoStatus(errno, "syncing", path_);
  if (::close(fd_.Release()) != 0) return ijepa::ErrnoStatus(errno, "closing", path_);
  return absl::OkStatus();
}

}  // namespace jepa
