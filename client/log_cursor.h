// Which log lines have been printed, so that a broken stream resumes with no line lost or repeated.
#ifndef IJEPA_CLIENT_LOG_CURSOR_H_
#define IJEPA_CLIENT_LOG_CURSOR_H_

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>

#include "ijepa/v1/coordinator.pb.h"

namespace ijepa::client {

// Lines of one rank and generation come in order, and a stream from the first line has the same
// ones every time: what was printed is skipped by count. When the first stream gave only the tail,
// its place is unknown: it is found by the last lines printed. Thread-compatible.
class LogCursor {
 public:
  explicit LogCursor(bool tail) : tail_(tail) {}
  // A new stream starts, from the first line of every rank.
  void Restart();
  // Whether `line`, the next of its stream, is to be printed; if so it counts as printed.
  bool Take(const v1::LogLine& line);

 private:
  struct Place {
    int64_t printed = 0;
    int64_t skip = 0;
    // Last lines printed, and those passed since Restart while their place is sought.
    std::deque<std::string> last;
    std::deque<std::string> passed;
    bool seeking = false;
  };

  bool tail_;
  std::map<std::pair<int64_t, int32_t>, Place> places_;
};

}  // namespace ijepa::client

#endif  // IJEPA_CLIENT_LOG_CURSOR_H_
