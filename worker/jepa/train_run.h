// The training loop, with the parts that differ between programs and tests passed in.
#ifndef IJEPA_WORKER_JEPA_TRAIN_RUN_H_
#define IJEPA_WORKER_JEPA_TRAIN_RUN_H_

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "worker/jepa/config.h"
#include "worker/jepa/dist/communicator.h"
#include "worker/jepa/model/learner.h"
#include "worker/jepa/run_host.h"
#include "worker/jepa/trainer.h"

namespace jepa {

struct TrainParts {
  std::function<absl::StatusOr<std::unique_ptr<Learner>>(const TrainConfig&)> make_learner;
  ijepa::Clock* clock = &ijepa::Clock::Real();
  // How long a rank waits for its peers to appear and in each collective. Above commit_timeout,
  // because peers wait while rank 0 commits. Raising it delays the notice of a peer that hangs
  // (one that died is noticed at once).
  absl::Duration peer_timeout = absl::Minutes(15);
  // How long rank 0 waits for the coordinator's answer, through its restarts.
  absl::Duration commit_timeout = absl::Minutes(10);
  // As CheckpointOptions::before_operation; on the writing thread.
  std::function<absl::Status(absl::string_view)> before_checkpoint_operation;
  // What takes the communicator's place; of tests.
  std::function<std::unique_ptr<Communicator>(std::unique_ptr<Communicator>)> around_peers;
};

// As Train (trainer.h). The arguments must outlive the call.
absl::StatusOr<TrainOutcome> RunTraining(const TrainConfig& config, RunHost& host,
                                         const TrainParts& parts);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_TRAIN_RUN_H_
