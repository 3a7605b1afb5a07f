// Order of the checks: end record, directory as a whole, each entry alone, all entries together.
#include "worker/jepa/exchange/zip_reader.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "common/status_macros.h"
#include "worker/jepa/exchange/zip_format.h"

namespace jepa {
namespace {

constexpr uint64_t kMaxCommentBytes = 0xffff;
constexpr size_t kPieceBytes = 1 << 20;
// Bits of the flags: encrypted, strongly encrypted, directory encrypted.
constexpr uint64_t kEncryptedFlags = 1 << 0 | 1 << 6 | 1 << 13;

absl::Status Broken(absl::string_view rule) {
  return absl::DataLossError(absl::StrCat("zip archive: ", rule));
}

absl::Status BrokenEntry(absl::string_view name, absl::string_view rule) {
  return absl::DataLossError(
      absl::StrCat("zip entry \"", absl::CEscape(name.substr(0, 80)), "\": ", rule));
}

// Where the directory is.
struct Directory {
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint64_t entries = 0;
};

// A record of the directory: an entry, and where its local header is.
struct CentralRecord {
  ZipEntry entry;
  uint64_t header_offset = 0;
};

absl::StatusOr<std::string> ReadText(const ByteSource& source, uint64_t offset, uint64_t bytes) {
  std::string text(bytes, '\0');
  IJEPA_RETURN_IF_ERROR(source.ReadAt(offset, text.data(), text.size()));
  return text;
}

// The 64-bit end record, or nothing when there is no locator right before `end_offset`.
absl::StatusOr<std::optional<Directory>> FindDirectory64(const ByteSource& source,
                                                         uint64_t end_offset) {
  if (end_offset < zip::kLocator64Bytes + zip::kEnd64Bytes) return std::nullopt;
  const uint64_t locator_offset = end_offset - zip::kLocator64Bytes;
  IJEPA_ASSIGN_OR_RETURN(const std::string locator,
                         ReadText(source, locator_offset, zip::kLocator64Bytes));
  if (LittleEndian(locator.data(), 4) != zip::kLocator64Signature) return std::nullopt;
  const uint64_t offset = LittleEndian(locator.data() + 8, 8);
  // The record has no variable part here, so it ends where the locator begins.
  if (offset != locator_offset - zip::kEnd64Bytes) {
    return Broken("the 64-bit end record is not right before its locator");
  }
  IJEPA_ASSIGN_OR_RETURN(const std::string record, ReadText(source, offset, zip::kEnd64Bytes));
  if (LittleEndian(record.data(), 4) != zip::kEnd64Signature) {
    return Broken("the 64-bit end record has another signature");
  }
  Directory directory{.offset = LittleEndian(record.data() + 48, 8),
                      .bytes = LittleEndian(record.data() + 40, 8),
                      .entries = LittleEndian(record.data() + 32, 8)};
  if (directory.offset > offset || directory.bytes != offset - directory.offset) {
    return Broken("the directory does not end where its end record begins");
  }
  return directory;
}

// Finds the last end record whose comment ends with the file.
absl::StatusOr<uint64_t> FindEnd(const ByteSource& source) {
  if (source.size() < zip::kEndBytes) return Broken("too short to be one");
  const uint64_t tail = std::min<uint64_t>(source.size(), zip::kEndBytes + kMaxCommentBytes);
  IJEPA_ASSIGN_OR_RETURN(const std::string text, ReadText(source, source.size() - tail, tail));
  for (size_t at = text.size() - zip::kEndBytes + 1; at-- > 0;) {
    if (LittleEndian(text.data() + at, 4) != zip::kEndSignature) continue;
    if (LittleEndian(text.data() + at + 20, 2) == text.size() - at - zip::kEndBytes) {
      return source.size() - tail + at;
    }
  }
  return Broken("has no end record; the file is cut short, or not a zip archive");
}

absl::StatusOr<Directory> FindDirectory(const ByteSource& source) {
  IJEPA_ASSIGN_OR_RETURN(const uint64_t end_offset, FindEnd(source));
  IJEPA_ASSIGN_OR_RETURN(const std::string end, ReadText(source, end_offset, zip::kEndBytes));
  IJEPA_ASSIGN_OR_RETURN(const std::optional<Directory> wide, FindDirectory64(source, end_offset));
  if (LittleEndian(end.data() + 4, 2) != 0 || LittleEndian(end.data() + 6, 2) != 0) {
    return absl::UnimplementedError("zip archive: is one of several pieces; join them first");
  }
  Directory directory{.offset = LittleEndian(end.data() + 16, 4),
                      .bytes = LittleEndian(end.data() + 12, 4),
                      .entries = LittleEndian(end.data() + 10, 2)};
  if (wide.has_value()) {
    directory = *wide;
  } else if (directory.offset > end_offset || directory.bytes != end_offset - directory.offset) {
    return Broken("the directory does not end where its end record begins");
  }
  if (directory.entries > kMaxZipEntries || directory.bytes > kMaxZipDirectoryBytes) {
    return Broken(absl::StrCat("has ", directory.entries, " entries in ", directory.bytes,
                               " bytes of directory; at most ", kMaxZipEntries, " in ",
                               kMaxZipDirectoryBytes, " are read"));
  }
  return directory;
}

absl::Status CheckName(absl::string_view name) {
  if (name.empty() || name.size() > kMaxZipNameBytes) {
    return BrokenEntry(name, absl::StrCat("its name has ", name.size(), " bytes; must be 1 to ",
                                          kMaxZipNameBytes));
  }
  if (name.find('\0') != absl::string_view::npos || name.find('\\') != absl::string_view::npos) {
    return BrokenEntry(name, "its name has a zero byte or a backslash");
  }
  for (const absl::string_view part : absl::StrSplit(name, '/')) {
    if (part.empty() || part == "." || part == "..") {
      return BrokenEntry(name, "its name must be a relative path without empty, . and .. parts");
    }
  }
  return absl::OkStatus();
}

// Fills what the 32-bit fields refer to the 64-bit ones, in their fixed order.
absl::Status ApplyExtra64(absl::string_view extra, CentralRecord& record, uint64_t& stored) {
  std::array<uint64_t*, 3> wide = {&record.entry.bytes, &stored, &record.header_offset};
  while (extra.size() >= 4) {
    const auto id = LittleEndian(extra.data(), 2);
    const auto size = LittleEndian(extra.data() + 2, 2);
    extra.remove_prefix(4);
    if (size > extra.size()) return BrokenEntry(record.entry.name, "an extra field is cut short");
    absl::string_view field = extra.substr(0, size);
    extra.remove_prefix(size);
    if (id != zip::kExtra64) continue;
    for (uint64_t*& value : wide) {
      if (value == nullptr || *value != zip::kSee64) continue;
      if (field.size() < 8) return BrokenEntry(record.entry.name, "a 64-bit size is missing");
      *value = LittleEndian(field.data(), 8);
      field.remove_prefix(8);
      value = nullptr;
    }
  }
  return absl::OkStatus();
}

// Takes one record from the front of `directory`.
absl::StatusOr<CentralRecord> ParseCentral(absl::string_view& directory) {
  if (directory.size() < zip::kCentralBytes ||
      LittleEndian(directory.data(), 4) != zip::kCentralSignature) {
    return Broken("the directory has fewer entries than its end record says");
  }
  const char* fixed = directory.data();
  const uint64_t name_bytes = LittleEndian(fixed + 28, 2);
  const uint64_t extra_bytes = LittleEndian(fixed + 30, 2);
  const uint64_t comment_bytes = LittleEndian(fixed + 32, 2);
  directory.remove_prefix(zip::kCentralBytes);
  if (name_bytes + extra_bytes + comment_bytes > directory.size()) {
    return Broken("the directory is cut short");
  }
  CentralRecord record;
  record.entry.name = std::string(directory.substr(0, name_bytes));
  const absl::string_view extra = directory.substr(name_bytes, extra_bytes);
  directory.remove_prefix(name_bytes + extra_bytes + comment_bytes);
  IJEPA_RETURN_IF_ERROR(CheckName(record.entry.name));
  record.entry.crc32 = static_cast<uint32_t>(LittleEndian(fixed + 16, 4));
  record.entry.bytes = LittleEndian(fixed + 24, 4);
  record.header_offset = LittleEndian(fixed + 42, 4);
  uint64_t stored = LittleEndian(fixed + 20, 4);
  IJEPA_RETURN_IF_ERROR(ApplyExtra64(extra, record, stored));
  if ((LittleEndian(fixed + 8, 2) & kEncryptedFlags) != 0) {
    return absl::UnimplementedError(
        absl::StrCat("zip entry \"", absl::CEscape(record.entry.name), "\": is encrypted"));
  }
  if (LittleEndian(fixed + 10, 2) != 0) {
    return absl::UnimplementedError(
        absl::StrCat("zip entry \"", absl::CEscape(record.entry.name),
                     "\": is compressed; only stored entries are read, as torch.save writes them"));
  }
  if (stored != record.entry.bytes) {
    return BrokenEntry(record.entry.name, "is stored, but its two sizes differ");
  }
  return record;
}

}  // namespace

// Sets entry.offset from the local header, which must agree with the directory. `limit` is the
// first byte that belongs to something else.
absl::Status ZipReader::LocateData(uint64_t header_offset, uint64_t limit, ZipEntry& entry) const {
  if (header_offset > limit || limit - header_offset < zip::kLocalBytes) {
    return BrokenEntry(entry.name, "begins outside the archive or on another entry");
  }
  std::array<char, zip::kLocalBytes> fixed{};
  IJEPA_RETURN_IF_ERROR(source_->ReadAt(header_offset, fixed.data(), fixed.size()));
  const uint64_t name_bytes = LittleEndian(fixed.data() + 26, 2);
  const uint64_t extra_bytes = LittleEndian(fixed.data() + 28, 2);
  if (LittleEndian(fixed.data(), 4) != zip::kLocalSignature ||
      LittleEndian(fixed.data() + 8, 2) != 0 || name_bytes != entry.name.size()) {
    return BrokenEntry(entry.name, "its own header differs from the directory's");
  }
  const uint64_t room = limit - header_offset - zip::kLocalBytes;
  if (name_bytes + extra_bytes > room || entry.bytes > room - name_bytes - extra_bytes) {
    return BrokenEntry(entry.name, absl::StrCat("has ", entry.bytes,
                                                " bytes; they reach into another entry or past "
                                                "the end"));
  }
  IJEPA_ASSIGN_OR_RETURN(const std::string name,
                         ReadText(*source_, header_offset + zip::kLocalBytes, name_bytes));
  if (name != entry.name) {
    return BrokenEntry(entry.name, "its own header differs from the directory's");
  }
  entry.offset = header_offset + zip::kLocalBytes + name_bytes + extra_bytes;
  return absl::OkStatus();
}

absl::StatusOr<ZipReader> ZipReader::Open(const ByteSource& source) {
  IJEPA_ASSIGN_OR_RETURN(const Directory place, FindDirectory(source));
  IJEPA_ASSIGN_OR_RETURN(const std::string text, ReadText(source, place.offset, place.bytes));
  absl::string_view directory = text;
  std::vector<CentralRecord> records;
  for (uint64_t i = 0; i < place.entries; ++i) {
    IJEPA_ASSIGN_OR_RETURN(CentralRecord record, ParseCentral(directory));
    records.push_back(std::move(record));
  }
  if (!directory.empty()) return Broken("the directory has bytes after its last entry");
  std::sort(records.begin(), records.end(), [](const CentralRecord& a, const CentralRecord& b) {
    return a.header_offset < b.header_offset;
  });
  ZipReader reader(&source);
  for (size_t i = 0; i < records.size(); ++i) {
    const uint64_t limit = i + 1 < records.size() ? records[i + 1].header_offset : place.offset;
    ZipEntry& entry = records[i].entry;
    IJEPA_RETURN_IF_ERROR(reader.LocateData(records[i].header_offset, limit, entry));
    if (!reader.by_name_.emplace(entry.name, i).second) {
      return BrokenEntry(entry.name, "is there twice");
    }
    reader.entries_.push_back(std::move(entry));
  }
  return reader;
}

const ZipEntry* ZipReader::Find(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &entries_[found->second];
}

absl::Status ZipReader::Read(const ZipEntry& entry, void* out) const {
  IJEPA_RETURN_IF_ERROR(source_->ReadAt(entry.offset, out, entry.bytes));
  const auto crc = static_cast<uint32_t>(
      crc32_z(0, static_cast<const Bytef*>(out), static_cast<z_size_t>(entry.bytes)));
  if (crc == entry.crc32) return absl::OkStatus();
  return BrokenEntry(entry.name, absl::StrFormat("is altered: CRC32 %08x, the directory says %08x",
                                                 crc, entry.crc32));
}

absl::Status ZipReader::Verify(const ZipEntry& entry) const {
  std::vector<char> piece(std::min<uint64_t>(kPieceBytes, entry.bytes));
  uLong crc = 0;
  for (uint64_t offset = 0; offset < entry.bytes;) {
    const size_t count = std::min<uint64_t>(piece.size(), entry.bytes - offset);
    IJEPA_RETURN_IF_ERROR(source_->ReadAt(entry.offset + offset, piece.data(), count));
    crc = crc32_z(crc, reinterpret_cast<const Bytef*>(piece.data()), count);
    offset += count;
  }
  if (crc == entry.crc32) return absl::OkStatus();
  return BrokenEntry(entry.name, absl::StrFormat("is altered: CRC32 %08x, the directory says %08x",
                                                 crc, entry.crc32));
}

absl::Status ZipReader::ReadRange(const ZipEntry& entry, uint64_t offset, void* out,
                                  size_t bytes) const {
  if (offset > entry.bytes || bytes > entry.bytes - offset) {
    return BrokenEntry(entry.name, "is shorter than what is asked of it");
  }
  return source_->ReadAt(entry.offset + offset, out, bytes);
}

}  // namespace jepa
