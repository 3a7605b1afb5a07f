// See backend_driver.h.
#include "coordinator/backends/backend_driver.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"

namespace ijepa::coordinator {
namespace {

// How long news of a request or of a release is awaited at the faster pace.
constexpr absl::Duration kBusyTime = absl::Seconds(60);
// Between two tries to kill the same allocation.
constexpr absl::Duration kKillAgain = absl::Seconds(10);
// Longest time between two requests for the same allocation while the backend looks well and does
// not take them.
constexpr absl::Duration kLongestPause = absl::Minutes(1);
constexpr char kUnreachable[] = "UNREACHABLE";

bool IsTransient(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsCancelled(status);
}

bool IsLive(const ObservedAllocation* seen) {
  return seen != nullptr && seen->phase != ObservedPhase::kEnded;
}

std::string MessageOf(const ObservedAllocation& seen) {
  return seen.reason.empty() || seen.reason == "None" ? seen.state
                                                      : absl::StrCat(seen.state, ", ", seen.reason);
}

}  // namespace

// What the driver did and said about one allocation.
struct BackendDriver::Track {
  // An answer may have been lost: it is asked for only after a look that does not list it.
  bool unsure = false;
  // Since the last look that succeeded.
  bool looked = false;
  bool asked = false;
  bool killed = false;
  // Monotonic.
  absl::Duration absent_since = absl::InfiniteDuration();
  absl::Duration ending_since = absl::InfiniteDuration();
  absl::Duration next_kill = -absl::InfiniteDuration();
  absl::Duration next_ask = -absl::InfiniteDuration();
  // Before the next request, after those in a row that were not taken.
  absl::Duration pause;
  // The last that was said, so that nothing is said twice.
  std::string told;
  // In this round.
  bool kept = false;
};

struct BackendDriver::Round {
  // By name.
  std::map<std::string, WantedAllocation> wanted;
  bool stop = false;
};

BackendDriver::BackendDriver(std::unique_ptr<Backend> backend, Options options, Clock& clock)
    : backend_(std::move(backend)), options_(options), clock_(clock) {}

BackendDriver::~BackendDriver() { Stop(); }

void BackendDriver::Start(Report report) {
  report_ = std::move(report);
  thread_ = std::thread([this] { Run(); });
}

void BackendDriver::Stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    wake_.notify_all();
  }
  backend_->Interrupt();
  backend_->Wake();
  if (thread_.joinable()) thread_.join();
}

void BackendDriver::Want(const std::string& uid, std::optional<WantedAllocation> wanted) {
  {
    std::lock_guard lock(mutex_);
    if (wanted.has_value()) {
      wanted_[uid] = *std::move(wanted);
    } else if (wanted_.erase(uid) == 0) {
      return;
    }
    changed_ = true;
    wake_.notify_all();
  }
  backend_->Wake();
}

void BackendDriver::Reset(std::map<std::string, WantedAllocation> wanted) {
  {
    std::lock_guard lock(mutex_);
    wanted_ = std::move(wanted);
    reset_ = changed_ = true;
    wake_.notify_all();
  }
  backend_->Wake();
}

NodesSeen BackendDriver::Nodes() const {
  std::lock_guard lock(mutex_);
  return nodes_;
}

BackendDriver::Round BackendDriver::TakeRound() {
  std::lock_guard lock(mutex_);
  Round round;
  round.stop = stop_;
  changed_ = false;
  if (std::exchange(reset_, false)) {
    // Whether an earlier coordinator asked for them, nobody knows before the next look.
    tracks_.clear();
    for (const auto& [uid, wanted] : wanted_) tracks_[wanted.request.id.Name()].unsure = true;
    next_look_ = -absl::InfiniteDuration();
  }
  for (const auto& [uid, wanted] : wanted_) round.wanted.emplace(wanted.request.id.Name(), wanted);
  return round;
}

void BackendDriver::WaitFor(absl::Duration most) {
  if (backend_->capabilities().watches) {
    {
      std::lock_guard lock(mutex_);
      if (changed_ || stop_) return;
    }
    backend_->Wait(most);
    next_look_ = -absl::InfiniteDuration();
    return;
  }
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, absl::ToChronoMilliseconds(most), [this] { return changed_ || stop_; });
}

void BackendDriver::Run() {
  while (true) {
    const Round round = TakeRound();
    if (round.stop) return;
    // False after a request whose answer did not come: others would wait as long for nothing.
    bool answers = true;
    for (const auto& [name, wanted] : round.wanted) {
      Track& track = tracks_[name];
      const bool known = track.asked || !wanted.handle.empty();
      if (answers && !wanted.released && !known && (!track.unsure || track.looked) &&
          clock_.Monotonic() >= track.next_ask) {
        Ask(wanted, track);
        answers = track.asked;
      }
      if (wanted.released && track.ending_since == absl::InfiniteDuration()) {
        track.ending_since = clock_.Monotonic();
        busy_until_ = clock_.Monotonic() + kBusyTime;
        next_look_ = std::min(next_look_, clock_.Monotonic() + options_.busy_poll);
      }
    }
    if (!answers || clock_.Monotonic() >= next_look_) Look(round);
    // Of a cluster that does not answer nothing more is asked.
    if (reachable_ && clock_.Monotonic() >= next_look_at_nodes_) LookAtNodes();
    const absl::Duration next = reachable_ ? std::min(next_look_, next_look_at_nodes_) : next_look_;
    WaitFor(std::max(absl::ZeroDuration(), next - clock_.Monotonic()));
  }
}

void BackendDriver::LookAtNodes() {
  absl::StatusOr<std::vector<BackendNode>> nodes = backend_->Nodes(options_.call);
  next_look_at_nodes_ = clock_.Monotonic() + options_.nodes_poll;
  std::lock_guard lock(mutex_);
  nodes_.error = std::string(nodes.status().message());
  if (!nodes.ok()) return;
  nodes_.nodes = *std::move(nodes);
  nodes_.look_time = clock_.Now();
}

void BackendDriver::Tell(Track& track, const std::string& what, Command command) {
  if (track.told == what) return;
  track.told = what;
  report_(std::move(command));
}

void BackendDriver::Ask(const WantedAllocation& wanted, Track& track) {
  const AllocationId& id = wanted.request.id;
  const absl::StatusOr<std::string> handle = backend_->Allocate(wanted.request, options_.call);
  track.looked = false;
  busy_until_ = clock_.Monotonic() + kBusyTime;
  next_look_ = std::min(next_look_, clock_.Monotonic() + options_.busy_poll);
  if (handle.ok()) {
    track.asked = true;
    LogInfo("allocation asked for backend=", backend_->name(), " name=", id.Name(),
            " handle=", *handle);
    report_(AllocationWaits{id.uid, id.generation, *handle, "submitted", "", ""});
    return;
  }
  const std::string message(handle.status().message());
  if (IsTransient(handle.status())) {
    track.unsure = true;
    track.pause = std::min(std::max(2 * track.pause, options_.busy_poll), kLongestPause);
    track.next_ask = clock_.Monotonic() + track.pause;
    Tell(track, message,
         AllocationWaits{
             id.uid, id.generation, "", kUnreachable, message,
             absl::StrCat("it is asked again as soon as ", backend_->name(), " answers")});
    return;
  }
  track.asked = true;
  Tell(track, message,
       AllocationEnded{id.uid, id.generation, "", AllocationEnd::kRefused, message, "", ""});
}

void BackendDriver::TellUnreachable(const Round& round, const absl::Status& why) {
  if (std::exchange(reachable_, false)) {
    LogWarning("backend cannot be reached backend=", backend_->name(), " ", why.message());
  }
  // Looked at again as soon as it answers.
  next_look_at_nodes_ = -absl::InfiniteDuration();
  {
    std::lock_guard lock(mutex_);
    nodes_.error = std::string(why.message());
  }
  for (const auto& [name, wanted] : round.wanted) {
    if (wanted.released) continue;
    const AllocationId& id = wanted.request.id;
    Tell(tracks_[name], std::string(why.message()),
         AllocationWaits{
             id.uid, id.generation, wanted.handle, kUnreachable, std::string(why.message()),
             absl::StrCat("it is looked at again as soon as ", backend_->name(), " answers")});
  }
}

void BackendDriver::Look(const Round& round) {
  const absl::StatusOr<std::vector<ObservedAllocation>> listed = backend_->Reconcile(options_.call);
  const absl::Duration now = clock_.Monotonic();
  next_look_ =
      now + (now < busy_until_ ? std::min(options_.busy_poll, options_.poll) : options_.poll);
  if (!listed.ok()) {
    if (!absl::IsCancelled(listed.status())) TellUnreachable(round, listed.status());
    return;
  }
  if (!std::exchange(reachable_, true)) LogInfo("backend answers again ", backend_->name());
  for (auto& [name, track] : tracks_) track.kept = false;
  std::map<std::string, const ObservedAllocation*> seen;
  for (const ObservedAllocation& one : *listed) {
    const ObservedAllocation*& known = seen[one.name];
    // Of two of one name, which only a lost answer makes, the live one counts.
    if (known == nullptr || !IsLive(known)) known = &one;
  }
  for (const auto& [name, wanted] : round.wanted) {
    Track& track = tracks_[name];
    const auto found = seen.find(name);
    const ObservedAllocation* one = found == seen.end() ? nullptr : found->second;
    track.kept = true;
    track.looked = true;
    if (wanted.released) {
      CompareReleased(wanted, one, track);
    } else {
      Compare(wanted, one, track);
    }
    if (track.unsure && !track.asked && one == nullptr && wanted.handle.empty()) {
      next_look_ = std::min(next_look_, std::max(now, track.next_ask));  // Then it is asked for.
    }
  }
  for (const ObservedAllocation& one : *listed) {
    if (one.phase == ObservedPhase::kEnded || round.wanted.count(one.name) > 0) continue;
    Track& track = tracks_[one.name];
    track.kept = true;
    EndUnwanted(one, track);
  }
  std::erase_if(tracks_, [](const auto& entry) { return !entry.second.kept; });
}

void BackendDriver::Compare(const WantedAllocation& wanted, const ObservedAllocation* seen,
                            Track& track) {
  const AllocationId& id = wanted.request.id;
  if (seen == nullptr) {
    if (!track.asked && wanted.handle.empty()) return;
    const absl::Duration now = clock_.Monotonic();
    track.absent_since = std::min(track.absent_since, now);
    if (now - track.absent_since < options_.absent_after) return;
    Tell(track, "vanished",
         AllocationEnded{id.uid, id.generation, wanted.handle, AllocationEnd::kVanished,
                         absl::StrCat(backend_->name(), " has not known it for ",
                                      absl::FormatDuration(options_.absent_after)),
                         "", ""});
    return;
  }
  track.asked = true;
  track.absent_since = absl::InfiniteDuration();
  if (seen->started_over && IsLive(seen)) {
    Tell(track, "started over",
         AllocationEnded{id.uid, id.generation, seen->handle, AllocationEnd::kPreempted,
                         absl::StrCat(seen->state, ", put back into the queue"), "", ""});
    return;
  }
  const std::string what = absl::StrCat(seen->handle, " ", seen->state, " ", seen->reason);
  switch (seen->phase) {
    case ObservedPhase::kPending:
      Tell(track, what,
           AllocationWaits{id.uid, id.generation, seen->handle, seen->state, seen->reason,
                           seen->advice});
      break;
    case ObservedPhase::kRunning:
      Tell(track, what, AllocationGranted{id.uid, id.generation, seen->handle, seen->state});
      break;
    case ObservedPhase::kEnded:
      Tell(track, what,
           AllocationEnded{id.uid, id.generation, seen->handle, seen->end, MessageOf(*seen),
                           seen->advice, seen->host});
      break;
  }
}

void BackendDriver::CompareReleased(const WantedAllocation& wanted, const ObservedAllocation* seen,
                                    Track& track) {
  if (IsLive(seen)) {
    EndUnwanted(*seen, track);
    return;
  }
  const AllocationId& id = wanted.request.id;
  // What we killed is no doing of others.
  const AllocationEnd end = seen == nullptr || track.killed ? AllocationEnd::kCompleted : seen->end;
  Tell(track, "released",
       AllocationEnded{id.uid, id.generation, wanted.handle, end,
                       seen == nullptr ? "it is gone" : MessageOf(*seen), "", ""});
}

// Its workers were told that it is over; what has none yet is ended at once.
void BackendDriver::EndUnwanted(const ObservedAllocation& seen, Track& track) {
  const absl::Duration now = clock_.Monotonic();
  busy_until_ = std::max(busy_until_, now + options_.busy_poll);
  next_look_ = std::min(next_look_, now + options_.busy_poll);
  track.ending_since = std::min(track.ending_since, now);
  const bool may_end_itself =
      seen.phase == ObservedPhase::kRunning && now - track.ending_since < options_.release_grace;
  if (may_end_itself || now < track.next_kill) return;
  track.next_kill = now + kKillAgain;
  track.killed = true;
  const absl::Status status = backend_->Kill(seen, options_.call);
  LogInfo("allocation killed backend=", backend_->name(), " name=", seen.name,
          " handle=", seen.handle, status.ok() ? "" : " error=", status.message());
}

}  // namespace ijepa::coordinator
