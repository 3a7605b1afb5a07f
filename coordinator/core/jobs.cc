// See jobs.h.
#include "coordinator/core/jobs.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/core/gang.h"
#include "coordinator/core/keys.h"
#include "coordinator/core/lifecycle.h"
#include "coordinator/core/scheduler.h"
#include "coordinator/core/sealing.h"

namespace ijepa::coordinator {
namespace {

bool CpuHasBf16(const v1::NodeInfo& info) {
  const auto& features = info.cpu_features();
  return std::any_of(features.begin(), features.end(), [](const std::string& feature) {
    return feature == "avx512_bf16" || feature == "amx_bf16";
  });
}

// "demo-k3q7xa". Six letters and digits that no other number gives, more of them past 2^30 jobs;
// neighbours do not look alike.
std::string IdFor(const std::string& name, int64_t number) {
  constexpr char kDigits[] = "abcdefghijklmnopqrstuvwxyz234567";
  constexpr int kBits = 30;
  constexpr uint64_t kMask = (uint64_t{1} << kBits) - 1;
  // Each step can be undone within 30 bits: an odd factor, and a shift that is xored in.
  uint64_t mixed = (static_cast<uint64_t>(number) * 0x2545f491u) & kMask;
  mixed ^= mixed >> 15;
  mixed = (mixed * 0x1b873593u) & kMask;
  std::string suffix;
  for (int shift = 0; shift < kBits; shift += 5) suffix += kDigits[(mixed >> shift) & 31];
  for (uint64_t high = static_cast<uint64_t>(number) >> kBits; high > 0; high >>= 5) {
    suffix += kDigits[high & 31];
  }
  return absl::StrCat(name, "-", suffix);
}

Job NewJob(const Turn& turn, const CreateJob& command) {
  Job job;
  job.id = command.id.empty() ? IdFor(command.spec.name(), turn.state.last_number + 1) : command.id;
  job.proto.set_name(JobName(job.id));
  job.proto.set_uid(command.uid);
  *job.proto.mutable_spec() = command.spec;
  *job.proto.mutable_status()->mutable_submit_time() = ToProto(turn.now.wall);
  return job;
}

// Answers a repeated request. True if it was one.
bool AnswerRepeated(Turn& turn, const CreateJob& command) {
  const auto found = turn.state.requests.find(command.request_id);
  if (command.request_id.empty() || found == turn.state.requests.end()) return false;
  if (found->second.digest() != command.digest) {
    turn.Reply(command.token, absl::InvalidArgumentError(absl::StrCat(
                                  "request_id ", command.request_id, " was used for job ",
                                  found->second.job_id(), " with another spec; use a new one")));
    return true;
  }
  if (const v1::SealedJob* past = FindLent(turn.state, found->second.job_id())) {
    turn.Reply(command.token, past->job());
    return true;
  }
  const Job* job = FindJob(turn.state, found->second.job_id());
  turn.Reply(command.token, job == nullptr ? absl::StatusOr<v1::Job>(absl::NotFoundError(
                                                 "the job of this request_id is gone"))
                                           : absl::StatusOr<v1::Job>(job->proto));
  return true;
}

// Why the job is refused, or OK.
absl::Status CheckAdmission(const Turn& turn, const CreateJob& command, const Job& job,
                            const std::optional<v1::Reason>& never) {
  if (const int faults = command.spec.faults().inject_size();
      faults > 0 && !turn.options.allow_fault_injection) {
    return absl::FailedPreconditionError(absl::StrCat(
        "faults.inject has ", faults, faults == 1 ? " entry" : " entries",
        ", and this coordinator allows no fault injection; remove it, or start the coordinator "
        "with --allow-fault-injection"));
  }
  if (never.has_value() && !command.queue_anyway) {
    const char* const next_step =
        never->code() == kNoBf16
            ? "; set meta.precision to fp32, or pass --queue-anyway to wait for such a node"
            : "; ask for fewer ranks, or pass --queue-anyway to wait for more nodes";
    return absl::FailedPreconditionError(
        absl::StrCat("job ", command.spec.name(), " ", never->message(), next_step));
  }
  const size_t alive = turn.state.jobs.size() - turn.state.ended.size();
  if (alive >= static_cast<size_t>(turn.options.max_active_jobs)) {
    return absl::ResourceExhaustedError(absl::StrCat(
        alive, " jobs are queued or active, the limit; try again when some have ended"));
  }
  if (turn.state.jobs.count(job.id) > 0) {
    return absl::AlreadyExistsError(absl::StrCat("job id ", job.id, " is taken"));
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<NodeView> ViewNodes(const State& state) {
  std::vector<NodeView> views;
  for (const auto& [name, node] : state.nodes) {
    if (node.state == v1::NODE_STATE_LOST) continue;
    NodeView view;
    view.name = name;
    view.slots = node.info.slots();
    view.free = node.info.slots() - SlotsUsed(state, node);
    view.gpu = !node.info.gpu_model().empty();
    view.usable = MayStart(node);
    view.cpu_bf16 = CpuHasBf16(node.info);
    views.push_back(std::move(view));
  }
  return views;
}

QueuedJob ViewJob(const Job& job) {
  QueuedJob view;
  view.id = job.id;
  view.priority = job.proto.spec().priority();
  view.number = job.number;
  view.sizes = GangSizes(job.proto.spec());
  view.device = job.proto.spec().device();
  view.bf16 = job.proto.spec().meta().precision() == v1::PRECISION_BF16;
  view.not_before = job.not_before;
  return view;
}

void HandleCreateJob(Turn& turn, const CreateJob& command) {
  if (AnswerRepeated(turn, command)) return;
  Job job = NewJob(turn, command);
  std::optional<v1::Reason> never = NeverFits(ViewJob(job), ViewNodes(turn.state));
  if (absl::Status status = CheckAdmission(turn, command, job, never); !status.ok()) {
    turn.Reply(command.token, std::move(status));
    return;
  }
  v1::Reason reason =
      never.has_value() ? *std::move(never) : MakeReason("PENDING", "waits for the next placement");
  if (command.validate_only) {
    job.proto.mutable_status()->set_state(v1::JOB_STATE_QUEUED);
    *job.proto.mutable_status()->mutable_reason() = std::move(reason);
    turn.Reply(command.token, std::move(job.proto));
    return;
  }
  job.number = ++turn.state.last_number;
  turn.state.ids_by_number[job.number] = job.id;
  turn.state.ids_by_uid[command.uid] = job.id;
  const std::string id = job.id;
  Job& stored = turn.state.jobs[id] = std::move(job);
  turn.Put(SpecKey(id), command.spec.SerializeAsString());
  turn.AddEvent(stored, EventCode::kSubmitted,
                absl::StrCat("submitted for ", command.spec.ranks().max(), " ranks"));
  turn.Move(stored, v1::JOB_STATE_QUEUED, std::move(reason));
  if (!command.request_id.empty()) {
    v1::StoredRequest& request = turn.state.requests[command.request_id];
    request.set_job_id(id);
    request.set_digest(command.digest);
    *request.mutable_time() = ToProto(turn.now.wall);
    turn.Put(RequestKey(command.request_id), request.SerializeAsString());
  }
  // The reply carries the etag that Finish will give.
  stored.proto.set_etag(EtagOf(stored.revision + 1));
  turn.Reply(command.token, stored.proto);
}

void HandleCancelJob(Turn& turn, const CancelJob& command) {
  const Job* found = FindJob(turn.state, command.name);
  if (const v1::SealedJob* past = FindLent(turn.state, command.name)) {
    turn.Reply(command.token, past->job());
    return;
  }
  if (found == nullptr) {
    turn.Reply(command.token, absl::NotFoundError(absl::StrCat("there is no job ", command.name)));
    return;
  }
  Job& job = turn.state.jobs.at(found->id);
  const v1::JobState before = job.state();
  if (!IsTerminal(before) && before != v1::JOB_STATE_CANCELLING) {
    turn.AddEvent(job, EventCode::kCancelRequested, "cancel requested");
    if (before == v1::JOB_STATE_QUEUED) {
      turn.AddEvent(job, EventCode::kCancelled, "cancelled while it waited");
      turn.Move(job, v1::JOB_STATE_CANCELLED, MakeReason("CANCELLED", "cancelled by request"));
    } else {
      job.drain_deadline = turn.now.wall + turn.options.drain_deadline;
      turn.Move(job, v1::JOB_STATE_CANCELLING,
                MakeReason("CANCELLING", "ranks are saving and stopping"));
      // An attempt that has not trained has nothing to save.
      if (before == v1::JOB_STATE_STARTING) ClearGang(turn, job);
      if (before == v1::JOB_STATE_RUNNING) {
        job.gang->deadline = turn.now.monotonic + turn.options.drain_deadline;
        for (const std::string& node : NodesOf(*job.gang)) turn.TouchNode(node);
      }
      JudgeGang(turn, job);
    }
    job.proto.set_etag(EtagOf(job.revision + 1));
  }
  turn.Reply(command.token, job.proto);
}

void PlaceQueuedJobs(Turn& turn) {
  turn.state.schedule_needed = false;
  if (turn.state.queued.empty()) return;
  std::vector<QueuedJob> queue;
  for (const std::string& id : turn.state.queued) queue.push_back(ViewJob(turn.state.jobs.at(id)));
  Plan plan = Schedule(turn.now.monotonic, std::move(queue), ViewNodes(turn.state));
  for (const Start& start : plan.starts) {
    StartGang(turn, turn.state.jobs.at(start.id), start.nodes);
  }
  for (Waiting& waiting : plan.waiting) {
    Job& job = turn.state.jobs.at(waiting.id);
    v1::Reason& reason = *job.proto.mutable_status()->mutable_reason();
    if (reason.code() == waiting.reason.code() && reason.message() == waiting.reason.message()) {
      continue;
    }
    // Derived, so it is shown but not written.
    reason = std::move(waiting.reason);
    job.live_change = true;
  }
  turn.state.schedule_needed = false;
}

}  // namespace ijepa::coordinator
