// What the stream that is written to can show: colour, UTF-8, width. Decided once per stream.
#ifndef IJEPA_CLIENT_RENDER_TERMINAL_H_
#define IJEPA_CLIENT_RENDER_TERMINAL_H_

#include <cstdio>
#include <string>

#include "absl/strings/string_view.h"

namespace ijepa::client {

// Meaning of a piece of text; colour only repeats what the text says.
enum class Tone { kPlain, kGood, kBad, kWarn, kDim, kBold };

// Plain value: tests make the one they want.
struct Terminal {
  bool tty = false;
  bool color = false;
  bool utf8 = true;
  // Columns; 0 means no limit, as for a pipe.
  int width = 0;

  // `text` wrapped in the escape codes of `tone`, or unchanged without colour.
  std::string Paint(Tone tone, absl::string_view text) const;
};

// Looks at `stream` and at NO_COLOR, TERM, COLUMNS, LC_ALL, LC_CTYPE and LANG.
Terminal DetectTerminal(FILE* stream, bool no_color);

// Text from outside on one line that no terminal acts upon: UTF-8 (common/utf8.h), newlines and
// tabs as blanks, other control characters as "\x1b".
std::string Printable(absl::string_view text);

// Columns that UTF-8 `text` takes: one per code point.
int DisplayWidth(absl::string_view text);

// The first `width` columns of `text`, the last of them an ellipsis if something was cut.
std::string Truncate(absl::string_view text, int width, bool utf8);

}  // namespace ijepa::client

#endif  // IJEPA_CLIENT_RENDER_TERMINAL_H_
