// What a run needs from, and tells to, the outside. worker/rank implements it over the link to the
// worker; tests implement it in memory. The trainer knows nothing of processes, sockets or
// schedulers.
#ifndef IJEPA_WORKER_JEPA_RUN_HOST_H_
#define IJEPA_WORKER_JEPA_RUN_HOST_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "worker/jepa/data/bad_image.h"

namespace jepa {

// Health of the representation after one step. Fields as ijepa.v1.Telemetry; formulas:
// worker/jepa/model/telemetry.h and docs/TELEMETRY.md.
struct Telemetry {
  int64_t step = 0;
  double effective_rank = 0;
  double pooled_effective_rank = 0;
  int max_effective_rank = 0;
  double std_mean = 0;
  double std_min = 0;
  double off_diagonal_covariance = 0;
  double variance_over_patches = 0;
  double variance_over_batch = 0;
  double prediction_cosine = 0;
  double target_distance = 0;
  double update_ratio = 0;
  double patch_embed_gradient_norm = 0;
  std::vector<double> encoder_block_gradient_norms;
  std::vector<double> predictor_block_gradient_norms;
  double other_gradient_norm = 0;
  bool collapse_suspected = false;
};

// How the data pipeline of this rank does. Fields as ijepa.v1.DataReport.
struct DataReport {
  BadCounts bad_reasons{};  // This attempt.
  int ready_batches = 0;
  int max_batches = 0;
  double seconds_per_image = 0;         // Of one thread, reading included; this attempt.
  double decode_seconds_per_image = 0;  // Of these, without reading.
  double read_bytes_per_second = 0;     // In this step.
  double wait_seconds = 0;              // Of the trainer for batches; this attempt.
};

// Figures of one finished step. Fields as ijepa.v1.StepReport.
struct StepReport {
  int64_t step = 0;  // Finished steps, from 1.
  int64_t total_steps = 0;
  int64_t steps_per_epoch = 0;
  int64_t images_seen = 0;
  double loss = 0;  // Mean over ranks and shards.
  double lr = 0;
  double weight_decay = 0;
  double ema_momentum = 0;
  double images_per_second = 0;  // Whole job, smoothed.
  int context_patches = 0;
  int target_patches = 0;
  double data_wait_share = 0;  // [0, 1]
  int64_t bad_images = 0;      // This rank, this attempt.
  double gradient_norm = 0;
  std::optional<Telemetry> telemetry;  // Newest of the attempt.
  int64_t non_finite_steps = 0;        // This attempt, as below.
  int64_t non_finite_rollbacks = 0;
  DataReport data;
  // Of this attempt: this rank's own work in steps, and its waiting for peers in them: from the end
  // of its backward pass until all is summed, and in collectives of the update (ZeRO-1). Sums that
  // run beside the backward pass cost no wait, and none is counted for them.
  double compute_seconds = 0;
  double peer_wait_seconds = 0;
};

struct ProbeScore {
  std::string target;   // Label column.
  std::string method;   // "knn" or "linear".
  double accuracy = 0;  // [0, 1], with its Wilson 95 % interval.
  double low = 0;
  double high = 0;
  int classes = 0;
  int images = 0;
};

struct ProbeReport {
  int64_t step = 0;
  int64_t images_seen = 0;
  std::vector<ProbeScore> scores;
  double effective_rank = 0;
};

// What a rank receives from another. Fields as ijepa.v1.NetworkLink.
struct NetworkLink {
  int from_rank = 0;
  std::string from_node;
  int to_rank = 0;
  std::string to_node;
  double gbps = 0;
};

// Status payload of the error of a rank whose node is the likely cause of a link that is too slow;
// its value says nothing.
inline constexpr char kSlowLinkPayload[] = "ijepa/slow_link";

// The network of an attempt before it trains (dist/network_check.h). Fields as
// ijepa.v1.NetworkCheck.
struct NetworkReport {
  double bus_gigabytes_per_second = 0;
  int64_t bytes = 0;
  double seconds = 0;
  NetworkLink slowest;
  std::vector<NetworkLink> slow;
};

// A checkpoint that is complete on storage and waits to be committed.
struct CheckpointInfo {
  int64_t step = 0;
  int64_t images_seen = 0;
  std::string path;
  int64_t bytes = 0;
  double stall_seconds = 0;  // Training waited this long for the copy.
  double write_seconds = 0;  // From the copy until it was complete on storage.
  int64_t steps_per_epoch = 0;
};

// What a rank does. Fields as ijepa.v1.RunPhase.
enum class RunPhase { kStarting, kTraining, kProbing, kSaving };

// Key-value exchange among the ranks of one attempt, scoped and fenced by (job, generation).
class Rendezvous {
 public:
  virtual ~Rendezvous() = default;
  // A key is written once; the same value again is OK.
  virtual absl::Status Put(absl::string_view key, absl::string_view value) = 0;
  // Blocks until the key is there. Returns DeadlineExceeded, or Aborted if the attempt is over.
  virtual absl::StatusOr<std::string> Get(absl::string_view key, absl::Duration timeout) = 0;
};

// Called from the training thread only, unless said otherwise. Implementations must not throw.
class RunHost : public Rendezvous {
 public:
  // Never blocks; the newest report wins when the other side is slow.
  virtual void ReportStep(const StepReport& report) = 0;
  // From now on the rank does this; it begins in kStarting. Never blocks.
  virtual void EnterPhase(RunPhase phase) = 0;
  // Kept until acknowledged; survives a restart of the worker.
  virtual void ReportProbe(const ProbeReport& report) = 0;
  // Kept until acknowledged.
  virtual void ReportNetwork(const NetworkReport& report) = 0;
  // A line of the job's history; `code` is of a closed list (RESUMED, CHECKPOINT_UNUSABLE,
  // BAD_IMAGE, ...). Thread-safe.
  virtual void Note(absl::string_view code, absl::string_view message, int64_t step) = 0;
  // Thread-safe. Offers a checkpoint for commit. Returns the folders that may be deleted now.
  // Blocks until the coordinator has answered, through its restarts, at most `timeout`.
  // FailedPrecondition or Aborted: refused, a newer generation exists, stop.
  virtual absl::StatusOr<std::vector<std::string>> Commit(const CheckpointInfo& checkpoint,
                                                          absl::Duration timeout) = 0;
  // True once the gang was asked to save and stop. Never blocks.
  virtual bool DrainRequested() = 0;
  // OK, or why this rank must stop at once (superseded generation, reattach window over). Never
  // blocks.
  virtual absl::Status Alive() = 0;
  // Ends the process with `why` as the reason of the attempt's failure, for a run that cannot be
  // unwound: a thread of it sits in a system call that does not return. Returns only where there
  // is no process to end (in tests).
  virtual void Leave(const absl::Status& why) = 0;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_RUN_HOST_H_
