// See log_cursor.h.
#include "client/log_cursor.h"

namespace ijepa::client {
namespace {

// Lines that mark a place. More make a false match rarer: a rank's lines carry steps and figures.
constexpr size_t kMark = 8;

void Remember(const std::string& text, size_t most, std::deque<std::string>* lines) {
  lines->push_back(text);
  if (lines->size() > most) lines->pop_front();
}

}  // namespace

void LogCursor::Restart() {
  for (auto& [key, place] : places_) {
    place.skip = tail_ ? 0 : place.printed;
    place.seeking = tail_ && !place.last.empty();
    place.passed.clear();
  }
}

bool LogCursor::Take(const v1::LogLine& line) {
  Place& place = places_[{line.generation(), line.rank()}];
  if (place.skip > 0) {
    --place.skip;
    return false;
  }
  if (place.seeking) {
    Remember(line.text(), place.last.size(), &place.passed);
    place.seeking = place.passed != place.last;
    return false;
  }
  ++place.printed;
  if (tail_) Remember(line.text(), kMark, &place.last);
  return true;
}

}  // namespace ijepa::client
