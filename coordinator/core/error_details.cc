// See error_details.h.
#include "coordinator/core/error_details.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "google/rpc/error_details.pb.h"

namespace ijepa::coordinator {
namespace {

constexpr char kDomain[] = "ijepa";

absl::Status Attach(absl::Status status, const google::protobuf::Message& detail) {
  status.SetPayload(absl::StrCat("type.googleapis.com/", detail.GetDescriptor()->full_name()),
                    absl::Cord(detail.SerializeAsString()));
  return status;
}

}  // namespace

absl::Status WithReason(absl::Status status, absl::string_view reason, absl::string_view subject) {
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(reason));
  info.set_domain(kDomain);
  if (!subject.empty()) (*info.mutable_metadata())["subject"] = std::string(subject);
  return Attach(std::move(status), info);
}

absl::Status WithRetry(absl::Status status, absl::Duration delay) {
  google::rpc::RetryInfo info;
  absl::Duration rest;
  info.mutable_retry_delay()->set_seconds(absl::IDivDuration(delay, absl::Seconds(1), &rest));
  info.mutable_retry_delay()->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  return Attach(std::move(status), info);
}

absl::Status Overloaded(absl::string_view what) {
  return WithRetry(WithReason(absl::ResourceExhaustedError(
                                  absl::StrCat(what, ", the limit; try again in a second")),
                              "OVERLOADED"),
                   absl::Seconds(1));
}

absl::Status WithViolations(absl::Status status) {
  google::rpc::BadRequest request;
  for (absl::string_view line : absl::StrSplit(status.message(), '\n', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits(' ', 1));
    auto& violation = *request.add_field_violations();
    violation.set_field(std::string(parts.first));
    violation.set_description(std::string(line));
  }
  return Attach(WithReason(std::move(status), "INVALID_SPEC"), request);
}

}  // namespace ijepa::coordinator
