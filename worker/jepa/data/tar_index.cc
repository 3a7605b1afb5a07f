// Tar headers: POSIX.1-1988 ustar, POSIX.1-2001 pax, and GNU tar's extensions. A tar is input from
// outside: no field is believed before it is checked.
#include "worker/jepa/data/tar_index.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace jepa {
namespace {

constexpr uint64_t kBlock = 512;
constexpr uint64_t kMaxExtension = 1 << 20;  // Of a long name or of pax records.
constexpr uint64_t kMinWindow = 4 << 10;
constexpr uint64_t kMaxWindow = 256 << 10;

// Where the fields are in a header block.
struct Field {
  size_t begin;
  size_t size;
};
constexpr Field kName{0, 100};
constexpr Field kSize{124, 12};
constexpr Field kChecksum{148, 8};
constexpr size_t kType = 156;
constexpr Field kMagic{257, 6};
constexpr Field kPrefix{345, 155};

using Header = std::array<char, kBlock>;

absl::string_view Raw(const Header& header, Field field) {
  return absl::string_view(header.data() + field.begin, field.size);
}

// Up to the first NUL.
absl::string_view Text(absl::string_view raw) { return raw.substr(0, raw.find('\0')); }

// Octal digits between blanks, or GNU's base 256 with the top bit set. Nullopt: neither, or too
// big.
std::optional<uint64_t> Number(absl::string_view raw) {
  constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();
  uint64_t value = 0;
  if ((static_cast<uint8_t>(raw[0]) & 0x80) != 0) {
    if (static_cast<uint8_t>(raw[0]) != 0x80) return std::nullopt;  // Negative or beyond 2^88.
    for (char c : raw.substr(1)) {
      if (value > (kMax >> 8)) return std::nullopt;
      value = (value << 8) | static_cast<uint8_t>(c);
    }
    return value;
  }
  raw = Text(raw);
  while (!raw.empty() && raw.front() == ' ') raw.remove_prefix(1);
  while (!raw.empty() && raw.back() == ' ') raw.remove_suffix(1);
  for (char c : raw) {
    if (c < '0' || c > '7') return std::nullopt;
    value = value * 8 + static_cast<uint64_t>(c - '0');  // 12 digits fit.
  }
  return value;
}

// The sum of the bytes with blanks for the sum itself; some old programs added signed bytes.
bool ChecksumIsRight(const Header& header) {
  const std::optional<uint64_t> stored = Number(Raw(header, kChecksum));
  uint64_t plain = 0;
  int64_t with_sign = 0;
  for (size_t i = 0; i < header.size(); ++i) {
    const bool blank = i >= kChecksum.begin && i < kChecksum.begin + kChecksum.size;
    const char c = blank ? ' ' : header[i];
    plain += static_cast<uint8_t>(c);
    with_sign += static_cast<signed char>(c);
  }
  return stored.has_value() && (*stored == plain || static_cast<int64_t>(*stored) == with_sign);
}

bool IsZero(const Header& header) {
  return std::all_of(header.begin(), header.end(), [](char c) { return c == '\0'; });
}

// Compressed files by their first bytes; empty for others.
absl::string_view Compression(absl::string_view head) {
  if (absl::StartsWith(head, "\x1f\x8b")) return "gzip";
  if (absl::StartsWith(head, "BZh")) return "bzip2";
  if (absl::StartsWith(head, absl::string_view("\xfd\x37zXZ", 5))) return "xz";
  if (absl::StartsWith(head, "\x28\xb5\x2f\xfd")) return "zstd";
  return "";
}

// What an extension header says of the next member.
struct Extension {
  std::string name;
  std::optional<uint64_t> bytes;
  bool sparse = false;
};

// Records "LENGTH KEY=VALUE\n"; false if one is malformed.
bool ReadPaxRecords(absl::string_view text, Extension& next) {
  text = text.substr(0, text.find_last_not_of('\0') + 1);
  while (!text.empty()) {
    const size_t blank = text.find(' ');
    uint64_t length = 0;
    if (blank == absl::string_view::npos || !absl::SimpleAtoi(text.substr(0, blank), &length) ||
        length <= blank + 1 || length > text.size() || text[length - 1] != '\n') {
      return false;
    }
    const absl::string_view record = text.substr(blank + 1, length - blank - 2);
    text.remove_prefix(length);
    const size_t equals = record.find('=');
    if (equals == absl::string_view::npos) return false;
    const absl::string_view key = record.substr(0, equals);
    const absl::string_view value = record.substr(equals + 1);
    if (key == "path") next.name = std::string(value);
    if (absl::StartsWith(key, "GNU.sparse.")) next.sparse = true;
    uint64_t bytes = 0;
    if (key == "size") {
      if (!absl::SimpleAtoi(value, &bytes)) return false;
      next.bytes = bytes;
    }
  }
  return true;
}

class Scanner {
 public:
  Scanner(int fd, absl::string_view path, const std::function<void(const TarMember&)>& visit)
      : fd_(fd), path_(path), visit_(visit) {}

  absl::Status Run() {
    struct stat info;
    if (fstat(fd_, &info) != 0) return ijepa::ErrnoStatus(errno, "reading", path_);
    file_bytes_ = static_cast<uint64_t>(info.st_size);
    bool zero_before = false;
    while (file_bytes_ - at_ >= kBlock) {
      IJEPA_RETURN_IF_ERROR(ReadHeader());
      const bool zero = IsZero(header_);
      if (zero && zero_before) return absl::OkStatus();
      zero_before = zero;
      if (zero) {
        at_ += kBlock;
        continue;
      }
      IJEPA_RETURN_IF_ERROR(Step());
    }
    if (at_ == 0) return NotATar();
    if (at_ < file_bytes_) return Broken("less than a block");
    // Of the mark one block is enough: the members before it are all there.
    return zero_before ? absl::OkStatus() : NoEndMark();
  }

 private:
  absl::Status NotATar() const {
    const absl::string_view packed = Compression(absl::string_view(header_.data(), header_.size()));
    if (!packed.empty()) {
      return absl::FailedPreconditionError(absl::StrCat(path_, " is compressed with ", packed,
                                                        "; unpack it to a plain .tar or a folder"));
    }
    return absl::FailedPreconditionError(
        absl::StrCat(path_, " is neither a folder nor a tar file; name one of these"));
  }

  // A tar that is cut between two members looks like one whose writer left the mark out.
  absl::Status NoEndMark() const {
    return absl::DataLossError(absl::StrCat(
        path_, " ends at byte ", file_bytes_, " without tar's end mark (two blocks of zeros); ",
        "copy it again, or, if it was written so and is whole, add the mark: ",
        "head -c 1024 /dev/zero >> FILE"));
  }

  absl::Status Broken(absl::string_view what) const {
    return absl::DataLossError(
        absl::StrCat(path_, ": ", what, " at byte ", at_, " of ", file_bytes_, "; copy it again"));
  }

  absl::Status Fetch(uint64_t offset, uint64_t bytes, char* target) const {
    uint64_t done = 0;
    while (done < bytes) {
      const ssize_t got =
          pread(fd_, target + done, bytes - done, static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return ijepa::ErrnoStatus(errno, "reading", path_);
      if (got == 0) return Broken("the file became shorter");
      done += static_cast<uint64_t>(got);
    }
    return absl::OkStatus();
  }

  // Reads ahead while members are small, and only the header where they are large.
  absl::Status ReadHeader() {
    const bool inside = at_ >= window_at_ && at_ + kBlock <= window_at_ + window_.size();
    if (!inside) {
      window_bytes_ = hits_ > 0 ? std::min(window_bytes_ * 2, kMaxWindow) : kMinWindow;
      hits_ = 0;
      window_.resize(std::min(window_bytes_, file_bytes_ - at_));
      window_at_ = at_;
      IJEPA_RETURN_IF_ERROR(Fetch(at_, window_.size(), window_.data()));
    } else {
      ++hits_;
    }
    std::memcpy(header_.data(), window_.data() + (at_ - window_at_), kBlock);
    return absl::OkStatus();
  }

  // Takes one header and passes over its data.
  absl::Status Step() {
    if (!ChecksumIsRight(header_)) {
      return at_ == 0 ? NotATar() : Broken("a header with a wrong checksum");
    }
    const char type = header_[kType];
    const bool extension = type == 'L' || type == 'K' || type == 'x' || type == 'g';
    std::optional<uint64_t> bytes = Number(Raw(header_, kSize));
    if (!extension && next_.bytes.has_value()) bytes = next_.bytes;
    if (!bytes.has_value()) return Broken("a header with a size that is no number");
    // Links, devices and folders carry no data, whatever their size field says.
    if (type >= '1' && type <= '6') bytes = 0;
    const uint64_t data_at = at_ + kBlock;
    if (*bytes > file_bytes_ - data_at) return Broken("a member that ends beyond the file");
    const uint64_t padded = (*bytes + kBlock - 1) / kBlock * kBlock;
    if (padded > file_bytes_ - data_at) return Broken("a member whose last block is cut");
    if (extension) {
      IJEPA_RETURN_IF_ERROR(TakeExtension(type, data_at, *bytes));
    } else {
      if ((type == '0' || type == '\0' || type == '7') && !next_.sparse) Visit(data_at, *bytes);
      next_ = Extension();
    }
    at_ = data_at + padded;
    return absl::OkStatus();
  }

  absl::Status TakeExtension(char type, uint64_t data_at, uint64_t bytes) {
    if (type == 'K' || type == 'g') return absl::OkStatus();
    if (bytes > kMaxExtension) return Broken("a name of more than 1 MiB");
    std::string data(bytes, '\0');
    IJEPA_RETURN_IF_ERROR(Fetch(data_at, bytes, data.data()));
    if (type == 'L') {
      next_.name = std::string(Text(data));
    } else if (!ReadPaxRecords(data, next_)) {
      return Broken("malformed pax records");
    }
    return absl::OkStatus();
  }

  void Visit(uint64_t offset, uint64_t bytes) const {
    std::string name = next_.name;
    if (name.empty()) {
      name = std::string(Text(Raw(header_, kName)));
      // GNU's own format ("ustar  ") keeps other things where ustar has the prefix.
      const absl::string_view prefix = Text(Raw(header_, kPrefix));
      if (Raw(header_, kMagic) == absl::string_view("ustar\0", 6) && !prefix.empty()) {
        name = absl::StrCat(prefix, "/", name);
      }
    }
    while (absl::StartsWith(name, "./")) name.erase(0, 2);
    if (name.empty() || name.back() == '/') return;  // A folder in the oldest format.
    visit_({std::move(name), offset, bytes});
  }

  const int fd_;
  const absl::string_view path_;
  const std::function<void(const TarMember&)>& visit_;
  uint64_t file_bytes_ = 0;
  uint64_t at_ = 0;  // Of the current header; never beyond file_bytes_.
  Header header_{};
  Extension next_;
  std::string window_;
  uint64_t window_at_ = 0;
  uint64_t window_bytes_ = kMinWindow;
  int hits_ = 0;
};

}  // namespace

absl::Status ScanTar(int fd, absl::string_view path,
                     const std::function<void(const TarMember&)>& visit) {
  return Scanner(fd, path, visit).Run();
}

}  // namespace jepa
