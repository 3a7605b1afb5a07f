// absl::Status to gRPC, the one place where it happens.
#ifndef IJEPA_COORDINATOR_SERVICES_GRPC_STATUS_H_
#define IJEPA_COORDINATOR_SERVICES_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include <string>

#include "absl/status/status.h"

namespace ijepa::coordinator {

// The codes have the same numbers by design.
inline grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SERVICES_GRPC_STATUS_H_
