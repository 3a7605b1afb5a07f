// See terminal.h.
#include "client/render/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/utf8.h"

namespace ijepa::client {
namespace {

constexpr int kDefaultWidth = 80;

absl::string_view Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool LocaleIsUtf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    absl::string_view value = Environment(name);
    if (value.empty()) continue;
    std::string lower = absl::AsciiStrToLower(value);
    return absl::StrContains(lower, "utf-8") || absl::StrContains(lower, "utf8");
  }
  return false;
}

int TerminalWidth(int fd) {
  int columns = 0;
  if (absl::SimpleAtoi(Environment("COLUMNS"), &columns) && columns > 0) return columns;
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return kDefaultWidth;
}

bool StartsCodePoint(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

}  // namespace

std::string Terminal::Paint(Tone tone, absl::string_view text) const {
  if (!color || tone == Tone::kPlain || text.empty()) return std::string(text);
  const char* code = "0";
  switch (tone) {
    case Tone::kGood:
      code = "32";
      break;
    case Tone::kBad:
      code = "31";
      break;
    case Tone::kWarn:
      code = "33";
      break;
    case Tone::kDim:
      code = "2";
      break;
    case Tone::kBold:
      code = "1";
      break;
    case Tone::kPlain:
      break;
  }
  return absl::StrCat("\x1b[", code, "m", text, "\x1b[0m");
}

Terminal DetectTerminal(FILE* stream, bool no_color) {
  Terminal terminal;
  int fd = fileno(stream);
  terminal.tty = isatty(fd) == 1 && Environment("TERM") != "dumb";
  terminal.color = terminal.tty && !no_color && Environment("NO_COLOR").empty();
  terminal.utf8 = LocaleIsUtf8();
  terminal.width = terminal.tty ? TerminalWidth(fd) : 0;
  return terminal;
}

std::string Printable(absl::string_view text) {
  const std::string valid = ToUtf8(text);
  std::string shown;
  shown.reserve(valid.size());
  for (size_t i = 0; i < valid.size(); ++i) {
    // U+0080 to U+009F are control characters too, of two bytes.
    const bool wide = valid[i] == '\xc2' && static_cast<unsigned char>(valid[i + 1]) < 0xa0;
    if (wide) ++i;
    const auto code = static_cast<unsigned char>(valid[i]);
    if (code == '\n' || code == '\t') {
      shown.push_back(' ');
    } else if (wide || code < 0x20 || code == 0x7f) {
      absl::StrAppendFormat(&shown, "\\x%02x", code);
    } else {
      shown.push_back(valid[i]);
    }
  }
  return shown;
}

int DisplayWidth(absl::string_view text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), StartsCodePoint));
}

std::string Truncate(absl::string_view text, int width, bool utf8) {
  if (DisplayWidth(text) <= width) return std::string(text);
  absl::string_view ellipsis = utf8 ? "\xE2\x80\xA6" : "...";
  int keep = std::max(0, width - DisplayWidth(ellipsis));
  size_t end = 0;
  for (int points = 0; end < text.size(); ++end) {
    if (StartsCodePoint(text[end]) && points++ == keep) break;
  }
  return absl::StrCat(text.substr(0, end), width >= DisplayWidth(ellipsis) ? ellipsis : "");
}

}  // namespace ijepa::client
