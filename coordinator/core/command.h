// What goes into the core and what comes out of it.
#ifndef IJEPA_COORDINATOR_CORE_COMMAND_H_
#define IJEPA_COORDINATOR_CORE_COMMAND_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/core/allocation.h"
#include "coordinator/core/names.h"
#include "coordinator/store/store.h"
#include "ijepa/v1/job.pb.h"
#include "ijepa/v1/storage.pb.h"
#include "ijepa/v1/worker.pb.h"

namespace ijepa::coordinator {

// `token` of a command names its reply. Randomness (uid) is drawn outside.
struct CreateJob {
  uint64_t token = 0;
  // Resolved and valid.
  v1::JobSpec spec;
  // Empty: made of the spec's name and the job's number, so that no other job ever has it.
  std::string id;
  std::string uid;
  std::string request_id;
  // Of the request as sent; tells a repeated request from another with the same id.
  uint64_t digest = 0;
  bool validate_only = false;
  bool queue_anyway = false;
  // HELD until it is released.
  bool hold = false;
  // Of a fork: the job it comes from, and the folder of that job's checkpoint that the spec starts
  // from, which must still be committed.
  std::string parent;
  std::string start_path;
  std::optional<v1::ArrayPlace> array;
  // Who submits it; empty where nobody is asked.
  std::string user;
  // That it belongs to; of a fork that of its parent.
  std::string project = kDefaultProject;
};

// All of them, or none. Answered with the first.
struct CreateArray {
  uint64_t token = 0;
  // Without token, id and request_id of their own; `array` has index and settings.
  std::vector<CreateJob> jobs;
  std::string request_id;
  uint64_t digest = 0;
  bool validate_only = false;
};

// All that have not ended, in one step. Answered with an empty job.
struct CancelArray {
  uint64_t token = 0;
  // Whole, or the id alone.
  std::string name;
  std::string request_id;
  uint64_t digest = 0;
};

// `etag`: empty, or the job's as the caller saw it. `digest`: as of CreateJob.
struct CancelJob {
  uint64_t token = 0;
  std::string name;
  std::string etag;
  std::string request_id;
  uint64_t digest = 0;
};

enum class Steering { kHold, kRelease, kPause, kResume };

struct SteerJob {
  uint64_t token = 0;
  std::string name;
  Steering steering = Steering::kHold;
  std::string etag;
  std::string request_id;
  uint64_t digest = 0;
};

struct AddToken {
  uint64_t token = 0;
  v1::StoredToken stored;
};

struct RevokeToken {
  uint64_t token = 0;
  // tokens/ID, or ID alone.
  std::string name;
};

struct ReleaseNode {
  uint64_t token = 0;
  std::string name;
};

struct CordonNode {
  uint64_t token = 0;
  std::string name;
  // Else uncordon.
  bool cordoned = true;
  std::string reason;
};

// Replaces the maintenance windows of a node.
struct SetMaintenance {
  uint64_t token = 0;
  std::string name;
  std::vector<v1::MaintenanceWindow> windows;
};

struct PinCheckpoint {
  uint64_t token = 0;
  // {job name or id}/checkpoints/{step}-{generation}, or without the generation.
  std::string name;
  // Else unpin.
  bool pinned = true;
  // Of the job.
  std::string etag;
  std::string request_id;
  uint64_t digest = 0;
};

// `stream` is new with every connection of a worker, and never used again.
struct WorkerHello {
  uint64_t stream = 0;
  v1::Hello hello;
};

struct WorkerReport {
  uint64_t stream = 0;
  v1::NodeReport report;
};

struct FromRankOn {
  uint64_t stream = 0;
  v1::RankMessage message;
};

struct StreamClosed {
  uint64_t stream = 0;
};

// What a backend says of an allocation. Passed over unless it is the one that the job has. `state`,
// `reason` and `message` are the backend's own words; `advice` is ours, and may be empty.
struct AllocationWaits {
  std::string uid;
  int64_t generation = 0;
  std::string handle;
  std::string state;
  std::string reason;
  std::string advice;
};

// Workers are being started in it.
struct AllocationGranted {
  std::string uid;
  int64_t generation = 0;
  std::string handle;
  std::string state;
};

// Its slots are the backend's again.
struct AllocationEnded {
  std::string uid;
  int64_t generation = 0;
  std::string handle;
  AllocationEnd end = AllocationEnd::kCompleted;
  std::string message;
  std::string advice;
  // Machine that failed, where it is known.
  std::string host;
};

// Places queued jobs. Given after other commands, once for all of them, when state.schedule_needed.
struct RunScheduler {};

// Given at least every half second.
struct Tick {};

// Seals jobs that have ended. Given now and then, where there is a history.
struct SealEnded {};

using Command =
    std::variant<CreateJob, CreateArray, CancelArray, CancelJob, SteerJob, PinCheckpoint, AddToken,
                 RevokeToken, ReleaseNode, CordonNode, SetMaintenance, WorkerHello, WorkerReport,
                 FromRankOn, StreamClosed, AllocationWaits, AllocationGranted, AllocationEnded,
                 RunScheduler, Tick, SealEnded>;

struct Reply {
  uint64_t token = 0;
  // Of commands that are about no job: an empty one.
  absl::StatusOr<v1::Job> job;
};

struct SendToWorker {
  uint64_t stream = 0;
  v1::CoordinatorMessage message;
};

struct CloseStream {
  uint64_t stream = 0;
  absl::Status why;
};

// Watchers of the job are to be told.
struct JobChanged {
  std::string id;
};

// What opens the API is another.
struct TokensChanged {};

// What a backend is to give the job, JobStatus.allocation, is another, or nothing any more.
struct AllocationChanged {
  // Of the job.
  std::string id;
  std::string uid;
};

using Effect =
    std::variant<SendToWorker, CloseStream, JobChanged, TokensChanged, AllocationChanged>;

// Replies and effects may leave only after the writes are durable.
struct Outcome {
  std::vector<Write> writes;
  // Durable in the same step.
  std::vector<SealedRow> sealed;
  std::optional<Batch::Prune> prune;
  std::vector<Reply> replies;
  std::vector<Effect> effects;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_COMMAND_H_
