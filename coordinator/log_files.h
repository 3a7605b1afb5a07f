// Lines out of the bytes of log files.
#ifndef IJEPA_COORDINATOR_LOG_FILES_H_
#define IJEPA_COORDINATOR_LOG_FILES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ijepa/v1/coordinator.pb.h"

namespace ijepa::coordinator {

struct LogFile {
  int64_t generation = 0;
  int rank = 0;
  std::string path;
};

std::string LogFileName(int64_t generation, int rank);

// The log files in a job's folder, by generation, then rank. Empty if there is no folder.
std::vector<LogFile> ListLogFiles(const std::string& folder);

// Appends the lines of `file` from `offset` on to `lines`, about `max_bytes` of them, and moves
// `offset` past them. A line without its end is left for later unless `complete`; one longer than
// `max_bytes` is cut. A line that begins with an RFC 3339 time has it as its time.
absl::Status ReadLines(const LogFile& file, int64_t max_bytes, bool complete, int64_t& offset,
                       v1::LogLines& lines);

// Where the last `count` lines of the file begin, and how many of them there are.
struct Tail {
  int64_t offset = 0;
  int lines = 0;
};
absl::StatusOr<Tail> FindTail(const LogFile& file, int count);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_LOG_FILES_H_
