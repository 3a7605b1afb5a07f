// Text from outside - names of files, lines of logs, messages of libraries - is bytes; a string of
// a protobuf message is UTF-8, and a message with anything else in it cannot be read by its
// receiver.
#ifndef IJEPA_COMMON_UTF8_H_
#define IJEPA_COMMON_UTF8_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace ijepa {

// Bytes of the valid sequence that the text, which is not empty, begins with; 0 if there is none.
// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
size_t Utf8SequenceBytes(absl::string_view text);

bool IsUtf8(absl::string_view text);

// The text with every byte that belongs to no valid sequence replaced by U+FFFD; valid text as it
// is.
std::string ToUtf8(absl::string_view text);

}  // namespace ijepa

#endif  // IJEPA_COMMON_UTF8_H_
