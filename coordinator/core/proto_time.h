// Times as messages hold them.
#ifndef IJEPA_COORDINATOR_CORE_PROTO_TIME_H_
#define IJEPA_COORDINATOR_CORE_PROTO_TIME_H_

#include <google/protobuf/timestamp.pb.h>

#include "absl/time/time.h"

namespace ijepa::coordinator {

// Nanoseconds are cut, not rounded.
google::protobuf::Timestamp ToProto(absl::Time time);
absl::Time FromProto(const google::protobuf::Timestamp& time);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_PROTO_TIME_H_
