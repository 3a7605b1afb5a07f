// What leaves a rank or a worker is read by a program that refuses a message with invalid text
// whole, and would be sent it again for ever.
#ifndef IJEPA_WORKER_LINK_VALID_TEXT_H_
#define IJEPA_WORKER_LINK_VALID_TEXT_H_

#include <google/protobuf/message.h>

namespace ijepa::link {

// Makes every string field, at any depth, valid UTF-8 as ToUtf8 does. Fields of bytes stay as they
// are. A name of a file that is not UTF-8 then reads with U+FFFD in it: it is told, not opened.
void MakeTextValid(google::protobuf::Message& message);

}  // namespace ijepa::link

#endif  // IJEPA_WORKER_LINK_VALID_TEXT_H_
