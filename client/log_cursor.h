// Which log lines have been printed, so that a broken stream resumes with no line lost or repeated.
#ifndef IJEPA_CLIENT_LOG_CURSOR_H_
#define IJEPA_CLIENT_LOG_CURSOR_H_

#include <cstdint>
#include <map>
#include <utility>

#include "absl/time/time.h"
#include "ijepa/v1/coordinator.pb.h"

namespace ijepa::client {

// Lines of one rank and generation come in order, from the same place in every stream unless only
// the tail was asked for: then the first stream starts anywhere, and lines are told apart by time.
// Thread-compatible.
class LogCursor {
 public:
  explicit LogCursor(bool tail) : tail_(tail) {}
  // A new stream starts, from the first line.
  void Restart();
  // Whether `line`, the next of its stream, is to be printed; if so it counts as printed.
  bool Take(const v1::LogLine& line);

 private:
  struct Place {
    int64_t printed = 0;
    int64_t skip = 0;
    absl::Time last = absl::InfinitePast();
  };

  bool tail_;
  bool restarted_ = false;
  std::map<std::pair<int64_t, int32_t>, Place> places_;
};

}  // namespace ijepa::client

#endif  // IJEPA_CLIENT_LOG_CURSOR_H_
