// What is said to slurmrestd, and what it answers: version v0.0.38 of its interface, that of SLURM
// 22.05. Pure; the calls themselves are in slurm_rest.cc (MakeSlurmRest).
#ifndef IJEPA_COORDINATOR_BACKENDS_SLURM_REST_H_
#define IJEPA_COORDINATOR_BACKENDS_SLURM_REST_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "coordinator/backends/backend.h"
#include "coordinator/backends/http_call.h"

namespace ijepa::coordinator {

// Claims of a JSON Web Token, as its text says. The signature is slurmctld's to judge.
struct SlurmToken {
  // As it is sent.
  std::string text;
  // The user that it speaks for (sun); empty: it does not say.
  std::string user;
  // InfiniteFuture: it does not say.
  absl::Time end = absl::InfiniteFuture();
};

// The text of a token file: the token alone, or as `scontrol token` prints it (SLURM_JWT=...).
// InvalidArgument for anything else; the text is not repeated.
absl::StatusOr<SlurmToken> ReadSlurmToken(absl::string_view text);

// The body of a submit. `options`: as of SbatchArguments; each becomes the property of its name,
// and slurmrestd refuses names that it does not know. `bin`: folder of srun on the nodes; empty: a
// usual one. Differs: the warning before the time limit (--signal=B:...) goes to the steps instead
// of the script, because this version refuses the other; the workers in them take it the same way.
std::string RestSubmission(const std::vector<std::string>& options, const std::string& script,
                           const std::string& bin);

// Number of the SLURM job that a submit has made.
absl::StatusOr<std::string> ParseRestSubmit(const std::string& body);

// SLURM jobs of `user` whose names begin with `prefix`, which is taken off.
absl::StatusOr<std::vector<ObservedAllocation>> ParseRestJobs(const std::string& body,
                                                              absl::string_view prefix,
                                                              absl::string_view user);

absl::StatusOr<std::vector<BackendNode>> ParseRestNodes(const std::string& body);

// OK for an answer without errors. Else slurmrestd's words and our advice, as of SlurmError;
// Unavailable where the token is to blame, which slurmrestd does not say but by its HTTP code 401:
// slurmctld hangs up, and it reports an empty answer. `file`: where the token is from.
absl::Status RestError(const HttpAnswer& answer, const SlurmToken& token, const std::string& file,
                       absl::Time now);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_BACKENDS_SLURM_REST_H_
