// A receiver refuses a message with text that is not UTF-8 whole, and would be sent it again for
// ever; protobuf's JSON writer complains.
#ifndef IJEPA_COMMON_VALID_TEXT_H_
#define IJEPA_COMMON_VALID_TEXT_H_

#include <google/protobuf/message.h>

namespace ijepa {

// Makes every string field, at any depth, valid UTF-8 as ToUtf8 does. Fields of bytes stay as they
// are. A name of a file that is not UTF-8 then reads with U+FFFD in it: it is told, not opened.
void MakeTextValid(google::protobuf::Message& message);

}  // namespace ijepa

#endif  // IJEPA_COMMON_VALID_TEXT_H_
