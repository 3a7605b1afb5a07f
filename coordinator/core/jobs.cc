// See jobs.h.
#include "coordinator/core/jobs.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "coordinator/core/allocations.h"
#include "coordinator/core/dependencies.h"
#include "coordinator/core/error_details.h"
#include "coordinator/core/gang.h"
#include "coordinator/core/keys.h"
#include "coordinator/core/placing.h"
#include "coordinator/core/requests.h"
#include "coordinator/core/scheduler.h"
#include "coordinator/core/sealing.h"

namespace ijepa::coordinator {
namespace {

constexpr absl::Duration kRetryWhenFull = absl::Seconds(10);

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

// What the queue says for jobs that do not; frozen with the job.
void ResolveQueue(const SchedulingRules& rules, v1::JobSpec& spec) {
  if (spec.queue().empty()) spec.set_queue(kDefaultQueueName);
  const QueueRules& queue = RulesOf(rules, spec.queue());
  if (!spec.has_time_limit() && !queue.time_limit.empty()) spec.set_time_limit(queue.time_limit);
  if (!spec.has_priority_class()) spec.set_priority_class(queue.priority_class);
}

template <typename Map>
std::string Names(const Map& map) {
  return absl::StrJoin(map, ", ", [](std::string* out, const auto& entry) { *out += entry.first; });
}

// Whether there is such a queue, and such a class.
absl::Status CheckQueue(const SchedulingRules& rules, const v1::JobSpec& spec) {
  if (rules.queues.count(spec.queue()) == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("queue is \"", spec.queue(), "\"; must be one of ", Names(rules.queues)));
  }
  if (rules.priority_classes.count(spec.priority_class()) == 0) {
    return absl::InvalidArgumentError(absl::StrCat("priority_class is \"", spec.priority_class(),
                                                   "\"; must be one of ",
                                                   Names(rules.priority_classes)));
  }
  return absl::OkStatus();
}

Job NewJob(const Turn& turn, const CreateJob& command) {
  Job job;
  job.id = command.id.empty() ? IdFor(command.spec.name(), turn.state.last_number + 1) : command.id;
  job.proto.set_name(JobName(command.project, job.id));
  job.proto.set_uid(command.uid);
  *job.proto.mutable_spec() = command.spec;
  ResolveQueue(turn.options.scheduling, *job.proto.mutable_spec());
  *job.proto.mutable_status()->mutable_submit_time() = ToProto(turn.now.wall);
  return job;
}

// Why the job is refused, or OK. `ahead`: jobs of the same command before it.
absl::Status CheckAdmission(const Turn& turn, const CreateJob& command, const Job& job,
                            const std::optional<v1::Reason>& never, size_t ahead) {
  if (const int faults = command.spec.faults().inject_size();
      faults > 0 && !turn.options.allow_fault_injection) {
    return absl::FailedPreconditionError(absl::StrCat(
        "faults.inject has ", faults, faults == 1 ? " entry" : " entries",
        ", and this coordinator allows no fault injection; remove it, or start the coordinator "
        "with --allow-fault-injection"));
  }
  if (absl::Status status = CheckQueue(turn.options.scheduling, job.proto.spec()); !status.ok()) {
    return status;
  }
  if (never.has_value() && !command.queue_anyway) {
    const char* const next_step =
        never->code() == kNoBf16
            ? "; set meta.precision to fp32, or pass --queue-anyway to wait for such a node"
            : "; ask for fewer ranks, or pass --queue-anyway to wait for more nodes";
    return WithReason(absl::FailedPreconditionError(absl::StrCat("job ", command.spec.name(), " ",
                                                                 never->message(), next_step)),
                      never->code());
  }
  const size_t alive = turn.state.jobs.size() - turn.state.ended.size() + ahead;
  if (alive >= static_cast<size_t>(turn.options.max_active_jobs)) {
    return WithRetry(WithReason(absl::ResourceExhaustedError(absl::StrCat(
                                    alive,
                                    " jobs have not ended, the limit; try again when some "
                                    "have")),
                                "TOO_MANY_JOBS"),
                     kRetryWhenFull);
  }
  if (turn.state.jobs.count(job.id) > 0) {
    return absl::AlreadyExistsError(absl::StrCat("job id ", job.id, " is taken"));
  }
  return absl::OkStatus();
}

// Whether the checkpoint that a fork starts from is still there; gives its name.
absl::StatusOr<std::string> FindStart(Turn& turn, const CreateJob& command) {
  const auto find = [&](const auto& checkpoints) -> absl::StatusOr<std::string> {
    for (const v1::Checkpoint& checkpoint : checkpoints) {
      if (checkpoint.path() == command.start_path) return checkpoint.name();
    }
    return WithReason(absl::FailedPreconditionError(absl::StrCat(
                          "the checkpoint ", command.start_path, " of job ", JobId(command.parent),
                          " is no longer kept; ijepactl checkpoints JOB lists what there is")),
                      "CHECKPOINT_GONE", command.parent);
  };
  if (const Job* parent = FindJob(turn.state, command.parent)) return find(parent->checkpoints);
  if (const v1::SealedJob* past = FindLent(turn.state, command.parent)) {
    return find(past->checkpoints());
  }
  return absl::NotFoundError(absl::StrCat("there is no job ", command.parent));
}

// A job that may be added.
struct Candidate {
  Job job;
  std::set<std::string> waits_for;
  // While it is queued.
  v1::Reason reason;
};

absl::StatusOr<Candidate> Consider(Turn& turn, const CreateJob& command, size_t ahead) {
  Candidate candidate;
  Job& job = candidate.job = NewJob(turn, command);
  const std::optional<OutsideJob> outside = ViewOutside(job, turn.options);
  std::optional<v1::Reason> never =
      outside.has_value()
          ? NeverAsked(*outside, turn.options.scheduling)
          : NeverFits(ViewJob(job, turn.options), turn.state.cluster, turn.options.scheduling);
  IJEPA_RETURN_IF_ERROR(CheckAdmission(turn, command, job, never, ahead));
  if (outside.has_value() && turn.options.check_outside) {
    IJEPA_RETURN_IF_ERROR(turn.options.check_outside(job.proto.spec()));
  }
  IJEPA_ASSIGN_OR_RETURN(candidate.waits_for,
                         OpenDependencies(turn.state, command.spec, command.project));
  if (!command.parent.empty()) {
    IJEPA_ASSIGN_OR_RETURN(std::string checkpoint, FindStart(turn, command));
    job.proto.set_parent(WholeJobName(command.parent, command.project));
    job.proto.set_from_checkpoint(std::move(checkpoint));
  }
  if (command.array.has_value()) *job.proto.mutable_array() = *command.array;
  job.proto.set_user(command.user);
  candidate.reason =
      never.has_value() ? *std::move(never) : MakeReason("PENDING", "waits for the next placement");
  return candidate;
}

v1::JobState FirstState(const CreateJob& command, const Candidate& candidate) {
  if (command.hold) return v1::JOB_STATE_HELD;
  return candidate.waits_for.empty() ? v1::JOB_STATE_QUEUED : v1::JOB_STATE_BLOCKED;
}

const Job& AddJob(Turn& turn, const CreateJob& command, Candidate candidate) {
  State& state = turn.state;
  const std::string id = candidate.job.id;
  Job& job = state.jobs[id] = std::move(candidate.job);
  job.number = ++state.last_number;
  state.ids_by_number[job.number] = id;
  state.ids_by_uid[job.proto.uid()] = id;
  if (command.spec.meta().load_checkpoint()) state.starters.insert(id);
  turn.Put(SpecKey(id), job.proto.spec().SerializeAsString());
  turn.AddEvent(job, EventCode::kSubmitted,
                absl::StrCat("submitted for ", command.spec.ranks().max(), " ranks"));
  if (!command.parent.empty()) {
    turn.AddEvent(job, EventCode::kForked,
                  absl::StrCat("starts from ", job.proto.from_checkpoint()));
  }
  WaitFor(state, job, std::move(candidate.waits_for));
  if (command.hold) {
    turn.Move(job, v1::JOB_STATE_HELD,
              MakeReason("HELD", "submitted on hold, until it is released"));
  } else {
    QueueOrBlock(turn, job, std::move(candidate.reason));
  }
  // The reply carries the etag that Finish will give.
  job.proto.set_etag(EtagOf(job.revision + 1));
  return job;
}

}  // namespace

void HandleCreateJob(Turn& turn, const CreateJob& command) {
  const RequestMark mark{command.token, command.request_id, command.digest};
  if (AnswerRepeated(turn, mark)) return;
  absl::StatusOr<Candidate> candidate = Consider(turn, command, 0);
  if (!candidate.ok()) {
    turn.Reply(command.token, candidate.status());
    return;
  }
  if (command.validate_only) {
    v1::JobStatus& status = *candidate->job.proto.mutable_status();
    status.set_state(FirstState(command, *candidate));
    *status.mutable_reason() = std::move(candidate->reason);
    turn.Reply(command.token, std::move(candidate->job.proto));
    return;
  }
  const Job& job = AddJob(turn, command, *std::move(candidate));
  RememberRequest(turn, mark, job.id);
  turn.Reply(command.token, job.proto);
}

void HandleCreateArray(Turn& turn, const CreateArray& command) {
  const RequestMark mark{command.token, command.request_id, command.digest};
  if (AnswerRepeated(turn, mark)) return;
  const int64_t number = turn.state.last_number + 1;
  std::vector<CreateJob> jobs = command.jobs;
  std::vector<Candidate> candidates;
  for (size_t i = 0; i < jobs.size(); ++i) {
    const std::string array = IdFor(jobs[i].spec.name(), number);
    jobs[i].id = absl::StrCat(array, "-", i);
    jobs[i].array->set_array(ArrayName(jobs[i].project, array));
    absl::StatusOr<Candidate> candidate = Consider(turn, jobs[i], i);
    if (!candidate.ok()) {
      turn.Reply(command.token, candidate.status());
      return;
    }
    candidates.push_back(*std::move(candidate));
  }
  if (command.validate_only) {
    turn.Reply(command.token, std::move(candidates.front().job.proto));
    return;
  }
  const Job* first = nullptr;
  for (size_t i = 0; i < jobs.size(); ++i) {
    const Job& job = AddJob(turn, jobs[i], std::move(candidates[i]));
    if (first == nullptr) first = &job;
  }
  RememberRequest(turn, mark, first->id);
  turn.Reply(command.token, first->proto);
}

}  // namespace ijepa::coordinator
