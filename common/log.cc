#include "common/log.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace ijepa {
namespace {

// Constant after InitLog, which main calls before any thread starts.
std::string& Program() {
  static std::string program = "ijepa";
  return program;
}

std::atomic<LogLevel> minimum_level{LogLevel::kInfo};

char Letter(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return 'D';
    case LogLevel::kInfo:
      return 'I';
    case LogLevel::kWarning:
      return 'W';
    case LogLevel::kError:
      return 'E';
  }
  return '?';
}

}  // namespace

void InitLog(absl::string_view program, LogLevel level) {
  Program() = std::string(program);
  minimum_level = level;
}

void Log(LogLevel level, absl::string_view text) {
  if (level < minimum_level.load(std::memory_order_relaxed)) return;
  const std::string time =
      absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone());
  std::string line =
      absl::StrCat(time, " ", std::string(1, Letter(level)), " ", Program(), "] ", text);
  std::replace(line.begin(), line.end(), '\n', ' ');
  line.push_back('\n');
  // One write per line: lines of several processes on one file do not mix. Nothing can be done
  // where stderr is gone.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace ijepa
