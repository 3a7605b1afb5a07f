// From what a client sends to commands that make jobs: limits, defaults, rules.
#ifndef IJEPA_COORDINATOR_SERVICES_SUBMISSION_H_
#define IJEPA_COORDINATOR_SERVICES_SUBMISSION_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/core/command.h"
#include "ijepa/v1/coordinator.pb.h"
#include "ijepa/v1/storage.pb.h"

namespace ijepa::coordinator {

// Gives text of the given length, of digits and lower-case letters; thread-safe.
using RandomText = std::function<std::string(int length)>;

// Of a request that makes or lists jobs: kDefaultProject where it names none.
std::string ProjectAsked(const std::string& project);

// Each returns InvalidArgument with every rule that is broken (BadRequest); user is left empty.
absl::StatusOr<CreateJob> JobCommand(const v1::CreateJobRequest& request, const RandomText& random);
absl::StatusOr<CreateArray> ArrayCommand(const v1::CreateArrayRequest& request,
                                         const RandomText& random);
// A job as `parent`, but for request.settings, that starts from one of its checkpoints: the newest,
// or that of request.step. FailedPrecondition if there is none.
absl::StatusOr<CreateJob> ForkCommand(const v1::ForkJobRequest& request,
                                      const v1::SealedJob& parent, const RandomText& random);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SERVICES_SUBMISSION_H_
