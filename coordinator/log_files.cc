// See log_files.h.
#include "coordinator/log_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/utf8.h"
#include "coordinator/core/state.h"

namespace ijepa::coordinator {
namespace {

constexpr int64_t kBlockBytes = 65536;
// Longest RFC 3339 time with nanoseconds and offset.
constexpr size_t kLongestTime = 35;

absl::StatusOr<UniqueFd> OpenFile(const LogFile& file) {
  UniqueFd fd(open(file.path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "open", file.path);
  return fd;
}

absl::StatusOr<std::string> ReadAt(const UniqueFd& fd, const LogFile& file, int64_t offset,
                                   int64_t bytes) {
  std::string data(bytes, '\0');
  const ssize_t count = pread(fd.get(), data.data(), data.size(), offset);
  if (count < 0) return ErrnoStatus(errno, "read", file.path);
  data.resize(count);
  return data;
}

void AddLine(const LogFile& file, absl::string_view text, v1::LogLines& lines) {
  v1::LogLine& line = *lines.add_lines();
  line.set_generation(file.generation);
  line.set_rank(file.rank);
  line.set_text(ToUtf8(text));
  const size_t space = text.find(' ');
  absl::Time time;
  if (space != absl::string_view::npos && space <= kLongestTime && text[0] >= '0' &&
      text[0] <= '9' &&
      absl::ParseTime(absl::RFC3339_full, text.substr(0, space), &time, nullptr)) {
    *line.mutable_time() = ToProto(time);
  }
}

}  // namespace

std::string LogFileName(int64_t generation, int rank) {
  return absl::StrCat("g", generation, "-r", rank, ".log");
}

std::vector<LogFile> ListLogFiles(const std::string& folder) {
  std::vector<LogFile> files;
  std::error_code error;
  for (auto it = std::filesystem::directory_iterator(folder, error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    LogFile file;
    file.path = it->path().string();
    const std::string name = it->path().filename().string();
    long long generation = 0;
    if (std::sscanf(name.c_str(), "g%lld-r%d.log", &generation, &file.rank) != 2) continue;
    file.generation = generation;
    if (name == LogFileName(file.generation, file.rank)) files.push_back(std::move(file));
  }
  std::sort(files.begin(), files.end(), [](const LogFile& a, const LogFile& b) {
    return std::tie(a.generation, a.rank) < std::tie(b.generation, b.rank);
  });
  return files;
}

absl::Status ReadLines(const LogFile& file, int64_t max_bytes, bool complete, int64_t& offset,
                       v1::LogLines& lines) {
  IJEPA_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(file));
  IJEPA_ASSIGN_OR_RETURN(const std::string data, ReadAt(fd, file, offset, max_bytes));
  absl::string_view rest = data;
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    if (end == absl::string_view::npos) {
      const bool full = static_cast<int64_t>(data.size()) == max_bytes;
      const bool whole_block = rest.size() == data.size();
      if (!(full ? whole_block : complete)) break;
      AddLine(file, rest, lines);
      rest = {};
      break;
    }
    AddLine(file, rest.substr(0, end), lines);
    rest.remove_prefix(end + 1);
  }
  offset += static_cast<int64_t>(data.size() - rest.size());
  return absl::OkStatus();
}

absl::StatusOr<Tail> FindTail(const LogFile& file, int count) {
  IJEPA_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(file));
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, "stat", file.path);
  Tail tail;
  int64_t end = info.st_size;
  bool last_byte = true;
  while (end > 0) {
    const int64_t begin = std::max<int64_t>(0, end - kBlockBytes);
    IJEPA_ASSIGN_OR_RETURN(const std::string data, ReadAt(fd, file, begin, end - begin));
    for (int64_t i = static_cast<int64_t>(data.size()) - 1; i >= 0; --i) {
      const bool newline = data[i] == '\n';
      // The newline that ends the file ends its last line; every other one ends the line before.
      if (newline && !last_byte && ++tail.lines == count) {
        tail.offset = begin + i + 1;
        return tail;
      }
      last_byte = false;
    }
    end = begin;
  }
  if (info.st_size > 0) ++tail.lines;
  return tail;
}

}  // namespace ijepa::coordinator
