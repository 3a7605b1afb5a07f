// Saves a run without stopping it. Training waits for the copy of the state alone; every rank then
// writes its share of the parts from a thread of its own, and rank 0 publishes and commits.
//
//   Start     all ranks   copy own share; rank 0 makes the folder; threads begin to write
//   Advance   all ranks   after each step, until every rank has written: exchange checksums; the
//   thread
//                         of rank 0 writes the manifest, renames, commits, deletes what retention
//                         frees
//   Finish    all ranks   waits until the last one started is committed
//
// At most one save is under way: Start waits for the one before.
#ifndef IJEPA_WORKER_JEPA_CHECKPOINT_SAVER_H_
#define IJEPA_WORKER_JEPA_CHECKPOINT_SAVER_H_

#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "worker/jepa/checkpoint/checkpoint.h"
#include "worker/jepa/config.h"
#include "worker/jepa/dist/communicator.h"
#include "worker/jepa/host_state.h"
#include "worker/jepa/run_checkpoint.h"
#include "worker/jepa/run_host.h"

namespace jepa {

struct SaverOptions {
  // How long rank 0 waits for the coordinator's answer.
  absl::Duration commit_timeout = absl::Minutes(10);
  // How long a rank waits for its own parts. Storage that hangs ends the run.
  absl::Duration write_timeout = absl::Minutes(15);
  ijepa::Clock* clock = &ijepa::Clock::Real();
  // As CheckpointOptions::before_operation.
  std::function<absl::Status(absl::string_view)> before_operation;
  // Called on the thread of rank 0 with a checkpoint that is published and not yet offered; an
  // error ends the run.
  std::function<absl::Status(const CheckpointInfo&)> before_commit;
};

// Owned and called by the training thread. Every call with "all ranks" is collective: all ranks
// make it after the same step. An error is final: the run ends.
class CheckpointSaver {
 public:
  // The arguments must outlive it.
  CheckpointSaver(const TrainConfig& config, RunHost& host, Communicator& peers,
                  const SaverOptions& options);
  // Waits for this rank's thread; what is not published is removed.
  ~CheckpointSaver();
  CheckpointSaver(const CheckpointSaver&) = delete;
  CheckpointSaver& operator=(const CheckpointSaver&) = delete;

  // All ranks. Copies the state after `step` finished steps and begins to write it. Memory: this
  // rank's share of the state, kept for the next time. Errors as CheckpointWriter::Begin, and those
  // of the save before.
  absl::Status Start(const RunState& state, int64_t step);

  // 1 if a save is under way and this rank has written its parts, well or not; else 0. The sum over
  // ranks goes to Advance.
  float written() const;
  // All ranks, after a step with the sum of written() taken before it. Never waits for storage.
  absl::Status Advance(float written_ranks);

  // All ranks. Returns when the last save started is committed.
  absl::Status Finish();

  // Time that training has spent in Start and Finish.
  absl::Duration stalled() const { return stalled_; }

 private:
  // A rank's share of a save: its parts, and its tensors copied to the host.
  struct Share {
    std::vector<int> parts;
    std::vector<size_t> tensors;
    HostState state;
  };

  bool leads() const { return config_.rank == 0; }
  absl::Status Named(const absl::Status& status) const;  // With the step.
  absl::Status Plan(const RunState& state, int64_t step);
  absl::Status AgreeOn(const absl::Status& mine, absl::string_view doing);
  // Collects this rank's checksums, waiting for them, and gives all ranks' to all.
  absl::StatusOr<std::vector<uint32_t>> ExchangeChecksums();
  absl::Status ExchangeAndPublish();
  absl::Status PublishAndCommit(const std::vector<uint32_t>& checksums);
  absl::Status WaitForPublication();

  const TrainConfig& config_;
  RunHost& host_;
  Communicator& peers_;
  const SaverOptions options_;
  absl::Duration stalled_;

  // The save under way.
  CheckpointInfo info_;
  absl::Duration began_;
  absl::Duration copied_;
  std::optional<CheckpointWriter> writer_;
  Share share_;
  std::future<absl::StatusOr<std::vector<uint32_t>>>
      writing_;                           // Valid until checksums are exchanged.
  std::future<absl::Status> publishing_;  // Rank 0 only.
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_CHECKPOINT_SAVER_H_
