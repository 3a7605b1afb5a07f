// absl::Status to gRPC, the one place where it happens.
#ifndef IJEPA_COORDINATOR_SERVICES_GRPC_STATUS_H_
#define IJEPA_COORDINATOR_SERVICES_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "google/rpc/status.pb.h"

namespace ijepa::coordinator {

// The codes have the same numbers by design. Payloads become the details of a google.rpc.Status.
inline grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  google::rpc::Status details;
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    google::protobuf::Any& detail = *details.add_details();
    detail.set_type_url(std::string(url));
    detail.set_value(std::string(payload));
  });
  const auto code = static_cast<grpc::StatusCode>(status.code());
  if (details.details().empty()) return grpc::Status(code, std::string(status.message()));
  details.set_code(code);
  details.set_message(std::string(status.message()));
  return grpc::Status(code, std::string(status.message()), details.SerializeAsString());
}

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SERVICES_GRPC_STATUS_H_
