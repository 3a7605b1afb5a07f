// See tick.h.
#include "coordinator/core/tick.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "coordinator/core/allocations.h"
#include "coordinator/core/failure_policy.h"
#include "coordinator/core/gang.h"
#include "coordinator/core/gpu_errors.h"
#include "coordinator/core/keys.h"
#include "coordinator/core/lifecycle.h"
#include "coordinator/core/maintenance.h"
#include "coordinator/core/nodes.h"
#include "coordinator/core/placing.h"
#include "coordinator/core/quarantine.h"

namespace ijepa::coordinator {
namespace {

constexpr int kRequestsPerTick = 256;
constexpr int kToldPerTick = 2000;
// Between passes while jobs wait and nothing else asks for one.
constexpr absl::Duration kPassInterval = absl::Seconds(5);

// A rank whose GPU has failed; else `behind`.
int CauseOfHang(const v1::Attempt& attempt, int behind) {
  for (const v1::GpuErrors& errors : attempt.gpu_errors()) {
    if (HasHardXid(errors.xids())) return errors.rank();
  }
  return behind;
}

// `rank` is the cause, as far as one can be told; else -1.
void FailAttempt(Turn& turn, Job& job, v1::EvidenceKind kind, int rank,
                 const std::string& message) {
  v1::Evidence evidence;
  evidence.set_kind(kind);
  evidence.set_rank(rank);
  if (rank >= 0) {
    evidence.set_node(job.gang->ranks[rank].node);
    *evidence.mutable_xids() = XidsOf(*job.attempt(), rank);
  }
  evidence.mutable_exit()->set_message(message);
  turn.AddEvent(job, kind == v1::EVIDENCE_KIND_HANG ? EventCode::kHang : EventCode::kStartDeadline,
                message);
  AddEvidence(turn, job, std::move(evidence));
  JudgeGang(turn, job);
}

// Ranks that no worker has reported.
std::vector<std::string> Missing(const Gang& gang) {
  std::vector<std::string> missing;
  for (size_t r = 0; r < gang.ranks.size(); ++r) {
    if (!gang.ranks[r].seen) missing.push_back(absl::StrCat(r, " on ", gang.ranks[r].node));
  }
  return missing;
}

// Ranks that show no progress.
struct Standstill {
  // Described, the one furthest behind first.
  std::vector<std::string> ranks;
  // The one that is behind all others; -1 when there is none.
  int behind = -1;
};

// Nothing unless a rank has shown no progress for too long; then all that are late. Ranks stop
// together when one does, so the first to be overdue need not be the cause.
Standstill Overdue(const Gang& gang, const WatchLimits& limits, absl::Duration now) {
  const auto overdue = [&](const RankState& rank) {
    return !rank.gone && rank.watch.Overdue(limits, now);
  };
  if (std::none_of(gang.ranks.begin(), gang.ranks.end(), overdue)) return {};
  struct Late {
    int64_t step;
    int rank;
    std::string text;
  };
  std::vector<Late> found;
  for (size_t r = 0; r < gang.ranks.size(); ++r) {
    const RankState& rank = gang.ranks[r];
    if (rank.gone || !rank.watch.Late(limits, now)) continue;
    found.push_back(
        {rank.step, static_cast<int>(r),
         absl::StrCat("rank ", r, " on ", rank.node, " (", rank.watch.Describe(now), ")")});
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const Late& a, const Late& b) { return a.step < b.step; });
  constexpr size_t kNamed = 4;
  Standstill result;
  if (found.size() == 1 || (found.size() > 1 && found[0].step < found[1].step)) {
    result.behind = found[0].rank;
  }
  for (size_t i = 0; i < found.size() && i < kNamed; ++i) result.ranks.push_back(found[i].text);
  if (found.size() > kNamed) result.ranks.push_back(absl::StrCat(found.size() - kNamed, " more"));
  return result;
}

bool AllNodesUsable(const State& state, const Gang& gang) {
  const std::string* before = nullptr;
  for (const RankState& rank : gang.ranks) {
    // The ranks of a node follow one another.
    if (before != nullptr && *before == rank.node) continue;
    before = &rank.node;
    const auto found = state.nodes.find(rank.node);
    if (found == state.nodes.end() || !IsUsable(found->second)) return false;
  }
  return true;
}

void JudgeUp(Turn& turn, Job& job) {
  Gang& gang = *job.gang;
  const std::vector<std::string> missing = Missing(gang);
  if (!missing.empty()) {
    if (turn.now.monotonic < gang.deadline) return;
    FailAttempt(turn, job, v1::EVIDENCE_KIND_START_DEADLINE, -1,
                absl::StrCat("rank ", absl::StrJoin(missing, ", "), " did not start within ",
                             absl::FormatDuration(turn.options.start_deadline)));
    return;
  }
  if (!AllNodesUsable(turn.state, gang)) {
    ForgiveRanks(gang, turn.now.monotonic);
    return;
  }
  const Standstill still = Overdue(gang, turn.options.watch, turn.now.monotonic);
  if (still.ranks.empty()) return;
  FailAttempt(turn, job, v1::EVIDENCE_KIND_HANG, CauseOfHang(*job.attempt(), still.behind),
              absl::StrCat("no progress of ", absl::StrJoin(still.ranks, "; ")));
}

bool OverTime(const Turn& turn, const Job& job) {
  const bool up = job.state() == v1::JOB_STATE_STARTING || job.state() == v1::JOB_STATE_RUNNING;
  if (!up || job.proto.spec().time_limit().empty()) return false;
  return turn.now.monotonic - job.gang->start >= TimeLimit(job) - TimeUsed(job);
}

void JudgeJob(Turn& turn, Job& job, absl::Duration stalled) {
  Gang& gang = *job.gang;
  if (stalled > absl::ZeroDuration()) {
    gang.deadline += stalled;
    ForgiveRanks(gang, turn.now.monotonic);
    RefreshJob(turn.state, job, turn.options);
  }
  const bool due = turn.now.monotonic >= gang.deadline;
  if (gang.clearing) {
    if (!due) return;
    GiveUpRanks(turn, job);
    JudgeGang(turn, job);
    return;
  }
  if (gang.collecting) {
    JudgeGang(turn, job);
    return;
  }
  const bool draining = gang.draining || IsStopping(job.state());
  if (!draining && OverTime(turn, job)) {
    StopGang(turn, job, StopCause::kTimeLimit,
             absl::StrCat("time_limit ", job.proto.spec().time_limit(), " is reached"));
  } else if (!draining) {
    JudgeUp(turn, job);
  } else if (due) {
    ClearGang(turn, job);
  }
}

// Tells watchers of figures that changed without a write.
void TellLive(Turn& turn) {
  for (const std::string& id : std::exchange(turn.state.live, {})) {
    const auto found = turn.state.jobs.find(id);
    if (found == turn.state.jobs.end() || !found->second.live_change) continue;
    found->second.live_change = false;
    turn.Announce(found->second);
  }
}

// Looks at some requests in turn, so that a tick stays short however many there are.
void ForgetRequests(Turn& turn) {
  auto& requests = turn.state.requests;
  auto it = requests.upper_bound(turn.state.request_cursor);
  for (int i = 0; i < kRequestsPerTick && it != requests.end(); ++i) {
    turn.state.request_cursor = it->first;
    if (FromProto(it->second.time()) + turn.options.request_id_lifetime > turn.now.wall) {
      ++it;
      continue;
    }
    turn.Delete(RequestKey(it->first));
    it = requests.erase(it);
  }
  if (it == requests.end()) turn.state.request_cursor.clear();
}

// Some of what a pass decides by changes with time alone: how long gangs have run, what queues
// used.
bool PassIsDue(const Turn& turn) {
  return !turn.state.waiting.groups().empty() &&
         turn.now.monotonic - turn.state.last_pass >= kPassInterval;
}

}  // namespace

void HandleTick(Turn& turn) {
  const absl::Duration gap = turn.state.last_tick == -absl::InfiniteDuration()
                                 ? absl::ZeroDuration()
                                 : turn.now.monotonic - turn.state.last_tick;
  const absl::Duration stalled = gap > turn.options.stall_limit ? gap : absl::ZeroDuration();
  JudgeNodes(turn, stalled);
  EndQuarantines(turn);
  JudgeMaintenance(turn);
  const std::set<std::string> active = turn.state.active;
  for (const std::string& id : active) JudgeJob(turn, turn.state.jobs.at(id), stalled);
  JudgeGrants(turn);
  if (turn.state.waiting.Wake(turn.now.monotonic) || PassIsDue(turn)) {
    turn.state.schedule_needed = true;
  }
  if (turn.state.outside.Wake(turn.now.monotonic)) turn.state.schedule_needed = true;
  TellReasons(turn, kToldPerTick);
  TellLive(turn);
  ForgetRequests(turn);
  turn.state.last_tick = turn.now.monotonic;
}

}  // namespace ijepa::coordinator
