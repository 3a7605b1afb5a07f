// The beginning of a run: its peers, and what it starts from if not from random weights
// (meta.load_checkpoint; what is found and how it is read is in exchange/start_state.h).
#ifndef IJEPA_WORKER_JEPA_START_RUN_H_
#define IJEPA_WORKER_JEPA_START_RUN_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "worker/jepa/config.h"
#include "worker/jepa/dist/communicator.h"
#include "worker/jepa/plan/schedules.h"
#include "worker/jepa/run_checkpoint.h"
#include "worker/jepa/run_host.h"

namespace jepa {

// Where a run starts.
struct RunStart {
  int64_t step = 0;  // Finished steps.
  std::string note;  // A sentence for the job's history.
};

// Puts the state that config.checkpoint.start_from names into `state`. A published state goes on at
// its finished epochs times this job's steps per epoch, with its moments; mask positions come from
// fresh streams, as in the published program. A checkpoint of a run goes on at its step, with its
// mask streams where seed and shards are the same. Weights alone begin at step 0 with fresh
// moments, and with the job's own predictor if they have none. Returns NotFound, FailedPrecondition
// (other sizes, past the end of this job) or what reading the state gives; `state` is then not to
// be used.
absl::StatusOr<RunStart> StartRun(const TrainConfig& config, const RunLength& length,
                                  const RunState& state);

// As NewCommunicator, and the network between the ranks is found good (dist/network_check.h).
absl::StatusOr<std::unique_ptr<Communicator>> MeetPeers(const TrainConfig& config, RunHost& host,
                                                        absl::Duration timeout,
                                                        ijepa::Clock& clock);

// FailedPrecondition unless every rank has as many images: ranks on nodes with different copies of
// the data would wait for one another at different steps.
absl::Status CheckSameImages(const TrainConfig& config, int64_t images, Communicator& peers);

// FailedPrecondition unless every rank starts at `step`.
absl::Status CheckSameStart(const TrainConfig& config, int64_t step, Communicator& peers);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_START_RUN_H_
