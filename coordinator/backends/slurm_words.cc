// See slurm_words.h.
#include "coordinator/backends/slurm_words.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace ijepa::coordinator {
namespace {

constexpr size_t kFields = 7;

struct Advice {
  // Part of SLURM's words.
  const char* words;
  const char* advice;
};

constexpr char kAskLess[] =
    "no nodes of the partition have that: ask for less (ranks, slurm.nodes, slurm.gres, "
    "slurm.memory, slurm.cpus_per_rank), or set slurm.partition; sinfo -N -l lists the nodes";
constexpr char kQuotaAdvice[] =
    "a limit of the account or the QOS: wait for its other jobs, ask for less, or set "
    "slurm.account or slurm.qos; sacctmgr show assoc lists the limits";
constexpr char kPartitionAdvice[] = "set slurm.partition to one that sinfo lists";
constexpr char kPartitionClosed[] =
    "the partition is down or inactive: sinfo; ask those who run SLURM";
constexpr char kNotStarted[] = "its script was not started";
constexpr char kAccountAdvice[] =
    "set slurm.account to one that this user may use there: sacctmgr show assoc user=$USER";
constexpr char kQosAdvice[] =
    "set slurm.qos to one that sacctmgr show qos lists, and that the partition allows: scontrol "
    "show partition";
constexpr char kReservationAdvice[] =
    "set slurm.reservation to one that scontrol show reservation lists, and that this user may use";
constexpr char kGresAdvice[] = "set slurm.gres to what sinfo -o %G lists, such as gpu:8";
constexpr char kTimeAdvice[] =
    "lower slurm.time_limit; sinfo -o '%P %l' lists the limits of partitions";
constexpr char kNodesAdvice[] = "nodes are down, drained or reserved: sinfo -R says why";

// The first that fits counts: a text that holds the words of another stands before it.
constexpr Advice kAdvice[] = {
    {kNotStarted, "a prolog failed, and SLURM has drained that node: sinfo -R, and slurmd's log"},
    {"invalid partition", kPartitionAdvice},
    {"No partition specified", kPartitionAdvice},
    {"not in this partition", kPartitionAdvice},
    {"not permitted to use this partition", kPartitionAdvice},
    {"Partition in DOWN", kPartitionClosed},
    {"PartitionDown", kPartitionClosed},
    {"PartitionInactive", kPartitionClosed},
    {"Required partition not available", kPartitionClosed},
    {"Invalid account", kAccountAdvice},
    {"InvalidAccount", kAccountAdvice},
    {"AccountNotAllowed", kAccountAdvice},
    {"Invalid qos", kQosAdvice},
    {"InvalidQOS", kQosAdvice},
    {"QOSNotAllowed", kQosAdvice},
    {"reservation is invalid", kReservationAdvice},
    {"denied to requested reservation", kReservationAdvice},
    {"ReservationDeleted", kReservationAdvice},
    {"Reservation", "it waits for its reservation: scontrol show reservation"},
    {"Invalid feature", "set slurm.constraint to features that sinfo -o %f lists"},
    {"generic resource", kGresAdvice},
    {"Invalid GRES", kGresAdvice},
    {"QOS policy", kQuotaAdvice},
    {"time limit", kTimeAdvice},
    {"TimeLimit", kTimeAdvice},
    {"Assoc", kQuotaAdvice},
    {"QOS", kQuotaAdvice},
    {"MaxSubmitJob", kQuotaAdvice},
    {"PerAccount", kQuotaAdvice},
    {"AccountingPolicy", kQuotaAdvice},
    {"permission denied",
     "ask those who run SLURM to allow the coordinator's user to submit there, "
     "or set slurm.partition to another"},
    {"node configuration is not available", kAskLess},
    {"partition configuration not available", kAskLess},
    {"Node count specification invalid", kAskLess},
    {"Memory specification", kAskLess},
    {"Memory required by task", kAskLess},
    {"MaxMemPerLimit", kAskLess},
    {"BadConstraints", kAskLess},
    {"PartitionConfig", kAskLess},
    {"PartitionNodeLimit", kAskLess},
    {"ReqNodeNotAvail", kNodesAdvice},
    {"DOWN", kNodesAdvice},
    {"JobHeld", "it is held: scontrol release, or ask those who run SLURM"},
    {"DependencyNeverSatisfied", "remove dependency from slurm.options"},
    {"Unknown key", "slurmrestd has no such property: remove that option from slurm.options"},
    {"Failure during parsing",
     "slurmrestd's log says which value is not valid: slurm.gres, slurm.memory, slurm.options"},
    {"unrecognized option", "remove that from slurm.options; sbatch --help lists what there is"},
};

// The controller was not reached, or did not answer.
constexpr const char* kTransient[] = {
    "Unable to contact slurm controller",
    "Socket timed out",
    "Connection refused",
    "Connection timed out",
    "Zero Bytes were transmitted",
    "in standby mode",
    "Transport endpoint is not connected",
    "temporarily unavailable",
    "temporarily disabled",
    "Munge",
};

}  // namespace

const std::vector<SlurmState>& SlurmStates() {
  using Phase = ObservedPhase;
  using End = AllocationEnd;
  // The end of a state that is none says nothing.
  static const auto* states = new std::vector<SlurmState>{
      {"PENDING", Phase::kPending, End::kCompleted},
      {"REQUEUED", Phase::kPending, End::kCompleted},
      {"REQUEUE_HOLD", Phase::kPending, End::kCompleted},
      {"REQUEUE_FED", Phase::kPending, End::kCompleted},
      {"SPECIAL_EXIT", Phase::kPending, End::kCompleted},
      {"RESV_DEL_HOLD", Phase::kPending, End::kCompleted},
      // Its machines are being started: not yet ours to wait for.
      {"CONFIGURING", Phase::kPending, End::kCompleted},
      {"RUNNING", Phase::kRunning, End::kCompleted},
      // Its processes are being ended; what it ends as is seen later.
      {"COMPLETING", Phase::kRunning, End::kCompleted},
      {"STAGE_OUT", Phase::kRunning, End::kCompleted},
      {"SIGNALING", Phase::kRunning, End::kCompleted},
      {"RESIZING", Phase::kRunning, End::kCompleted},
      // Its ranks stand still; the watch over their progress judges them.
      {"SUSPENDED", Phase::kRunning, End::kCompleted},
      {"STOPPED", Phase::kRunning, End::kCompleted},
      {"COMPLETED", Phase::kEnded, End::kCompleted},
      {"FAILED", Phase::kEnded, End::kFailed},
      {"CANCELLED", Phase::kEnded, End::kCancelled},
      {"PREEMPTED", Phase::kEnded, End::kPreempted},
      {"TIMEOUT", Phase::kEnded, End::kTimeLimit},
      {"DEADLINE", Phase::kEnded, End::kTimeLimit},
      {"NODE_FAIL", Phase::kEnded, End::kNodeFailed},
      {"BOOT_FAIL", Phase::kEnded, End::kNodeFailed},
      {"OUT_OF_MEMORY", Phase::kEnded, End::kOutOfMemory},
      {"REVOKED", Phase::kEnded, End::kVanished},
  };
  return *states;
}

SlurmState SlurmStateOf(absl::string_view name) {
  const auto found = std::find_if(SlurmStates().begin(), SlurmStates().end(),
                                  [&](const SlurmState& state) { return name == state.name; });
  if (found != SlurmStates().end()) return *found;
  return {"", ObservedPhase::kRunning, AllocationEnd::kCompleted};
}

std::string SlurmAdvice(absl::string_view words) {
  const std::string lower = absl::AsciiStrToLower(words);
  const auto* found = std::find_if(std::begin(kAdvice), std::end(kAdvice), [&](const Advice& one) {
    return absl::StrContains(lower, absl::AsciiStrToLower(one.words));
  });
  return found == std::end(kAdvice) ? "" : found->advice;
}

absl::Status SlurmError(absl::string_view program, absl::string_view errors) {
  // Its lines in one, without its name before each.
  std::vector<std::string> lines;
  for (absl::string_view line : absl::StrSplit(errors, '\n', absl::SkipWhitespace())) {
    line = absl::StripAsciiWhitespace(line);
    absl::ConsumePrefix(&line, absl::StrCat(program, ": "));
    absl::ConsumePrefix(&line, "error: ");
    lines.emplace_back(line);
  }
  std::string words = absl::StrCat(program, ": ", absl::StrJoin(lines, "; "));
  for (const char* const transient : kTransient) {
    if (absl::StrContains(errors, transient)) return absl::UnavailableError(words);
  }
  const std::string advice = SlurmAdvice(errors);
  if (!advice.empty()) absl::StrAppend(&words, "; ", advice);
  return absl::FailedPreconditionError(words);
}

ObservedAllocation ObserveSlurmJob(const SlurmJob& job, absl::string_view prefix) {
  ObservedAllocation seen;
  seen.handle = job.number;
  seen.name = job.name.substr(prefix.size());
  seen.state = job.state;
  seen.reason = job.reason == "None" ? "" : job.reason;
  const SlurmState state = SlurmStateOf(seen.state);
  seen.phase = state.phase;
  seen.end = state.end;
  if (!job.nodes.empty()) seen.hosts = {job.nodes};
  seen.started_over = job.restarts > 0;
  if (seen.phase == ObservedPhase::kEnded && job.exit_status != 0) {
    const int64_t code = job.exit_status >> 8;
    seen.reason = absl::StrCat(seen.reason, seen.reason.empty() ? "" : ", ",
                               code != 0 ? absl::StrCat("exit code ", code)
                                         : absl::StrCat("signal ", job.exit_status & 127));
  }
  // Who cancels what runs leaves a signal, and what waits has no nodes: a prolog has failed, after
  // which SLURM ends what may not be put back into the queue, and says no more.
  if (seen.end == AllocationEnd::kCancelled && !job.nodes.empty() && job.exit_status == 0) {
    seen.end = AllocationEnd::kFailed;
    seen.reason = kNotStarted;
  }
  // Of several SLURM does not say which one failed.
  const bool one_host = job.nodes.find_first_of("[,") == job.nodes.npos;
  if (seen.end == AllocationEnd::kNodeFailed && one_host) seen.host = job.nodes;
  seen.advice = SlurmAdvice(seen.reason);
  return seen;
}

bool IsUsableSlurmNode(absl::string_view state) {
  return state == "idle" || state == "mixed" || state == "allocated" || state == "completing";
}

absl::StatusOr<std::vector<ObservedAllocation>> ParseSqueue(absl::string_view text,
                                                            absl::string_view prefix) {
  std::vector<ObservedAllocation> found;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipWhitespace())) {
    const std::vector<std::string> fields = absl::StrSplit(line, '|');
    if (fields.size() < kFields) {
      return absl::InternalError(
          absl::StrCat("squeue answered the line \"", line, "\", not ", kSqueueFormat));
    }
    if (!absl::StartsWith(fields[1], prefix)) continue;
    SlurmJob job{fields[0], fields[1], fields[2], fields[3], fields[4]};
    // What is no number, N/A, is 0.
    if (!absl::SimpleAtoi(fields[5], &job.restarts)) job.restarts = 0;
    if (!absl::SimpleAtoi(fields[6], &job.exit_status)) job.exit_status = 0;
    found.push_back(ObserveSlurmJob(job, prefix));
  }
  return found;
}

std::vector<BackendNode> ParseSinfo(absl::string_view text) {
  std::vector<BackendNode> nodes;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipWhitespace())) {
    const std::vector<std::string> fields = absl::StrSplit(line, absl::MaxSplits('|', 2));
    if (fields.size() < 3) continue;
    BackendNode node{fields[0], fields[1], fields[2] == "none" ? "" : fields[2],
                     IsUsableSlurmNode(fields[1])};
    // A node of several partitions has a line for each.
    const bool known = std::any_of(nodes.begin(), nodes.end(),
                                   [&](const BackendNode& one) { return one.name == node.name; });
    if (!known) nodes.push_back(std::move(node));
  }
  return nodes;
}

std::string SlurmTime(absl::Duration time) {
  const int64_t seconds = absl::ToInt64Seconds(absl::Ceil(time, absl::Seconds(1)));
  return absl::StrFormat("%d:%02d:%02d", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

}  // namespace ijepa::coordinator
