// See log_cursor.h.
#include "client/log_cursor.h"

#include "client/render/format.h"

namespace ijepa::client {

void LogCursor::Restart() {
  restarted_ = true;
  for (auto& [key, place] : places_) {
    place.skip = tail_ ? 0 : place.printed;
  }
}

bool LogCursor::Take(const v1::LogLine& line) {
  Place& place = places_[{line.generation(), line.rank()}];
  if (place.skip > 0) {
    --place.skip;
    return false;
  }
  absl::Time time = IsSet(line.time()) ? ToTime(line.time()) : absl::InfinitePast();
  if (tail_ && restarted_ && time <= place.last) return false;
  place.last = std::max(place.last, time);
  ++place.printed;
  return true;
}

}  // namespace ijepa::client
