// One line per state change on stderr: time, level, program, text with key=value pairs.
// Thread-safe.
#ifndef IJEPA_COMMON_LOG_H_
#define IJEPA_COMMON_LOG_H_

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace ijepa {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Names the program in every line and drops what is below `level`. Call once, first thing in main.
void InitLog(absl::string_view program, LogLevel level = LogLevel::kInfo);

// Writes one line. Newlines inside `text` are written as spaces, so that a line stays one event.
void Log(LogLevel level, absl::string_view text);

template <typename... Args>
void LogInfo(const Args&... args) {
  Log(LogLevel::kInfo, absl::StrCat(args...));
}
template <typename... Args>
void LogWarning(const Args&... args) {
  Log(LogLevel::kWarning, absl::StrCat(args...));
}
template <typename... Args>
void LogError(const Args&... args) {
  Log(LogLevel::kError, absl::StrCat(args...));
}

}  // namespace ijepa

#endif  // IJEPA_COMMON_LOG_H_
