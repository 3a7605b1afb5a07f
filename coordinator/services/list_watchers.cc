// See list_watchers.h. A revision, as clients see it, is the coordinator's epoch in the upper half
// and the number of the change in the lower.
#include "coordinator/services/list_watchers.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/core/error_details.h"
#include "coordinator/core/lifecycle.h"
#include "coordinator/core/sealing.h"
#include "coordinator/services/list_jobs.h"
#include "coordinator/services/server_stream.h"
#include "coordinator/state_thread.h"

namespace ijepa::coordinator {
namespace {

// Each holds one message.
constexpr size_t kMaxWatchers = 1024;
// Of one message. Specs may be large, and clients take 4 MiB.
constexpr int kMostJobs = 100;
constexpr size_t kMostBytes = 1 << 20;
// Changes looked at on the state thread at a time.
constexpr int kMostLooked = 1000;
constexpr absl::Duration kBookmarkInterval = absl::Seconds(15);
// Between two rounds over those who wait: bounds the cost of many watchers under many changes.
constexpr absl::Duration kRoundInterval = absl::Milliseconds(50);
constexpr int kEpochShift = 32;

bool FitsState(const JobQuery& filter, v1::JobState state) {
  return filter.states.empty() || filter.states.count(state) > 0;
}

bool HasLabels(const JobQuery& filter, const v1::Job& job) {
  const std::vector<std::string> labels = SearchLabels(job);
  return std::all_of(filter.labels.begin(), filter.labels.end(), [&](const std::string& wanted) {
    return std::find(labels.begin(), labels.end(), wanted) != labels.end();
  });
}

// Whether one who has seen everything up to `seen` is to hear of it.
bool Concerns(const JobQuery& filter, const JobChanges::Entry& entry, int64_t seen) {
  return FitsState(filter, entry.state) ||
         std::any_of(entry.left.begin(), entry.left.end(), [&](const auto& past) {
           return past.second > seen && FitsState(filter, past.first);
         });
}

}  // namespace

// One WatchJobs call. Deletes itself when gRPC is done with it.
class ListWatcher : public ServerStream<v1::WatchJobsResponse> {
 public:
  ListWatcher(ListWatchers& watchers, JobQuery filter, int64_t revision, Pass pass)
      : ServerStream(std::move(pass)),
        watchers_(watchers),
        asked_(revision),
        filter_(std::move(filter)) {}

  // Once: from here on the state thread may call it.
  void Begin() {
    if (watchers_.watchers_.size() >= kMaxWatchers) {
      Close(Overloaded(absl::StrCat(kMaxWatchers, " lists are being watched")));
      return;
    }
    number_ = watchers_.watchers_.Add(this);
    GoOn();
  }

  // Sends the next message if there is something to say and the last has been taken. On the state
  // thread.
  void Step(const State& state) {
    std::lock_guard lock(mutex_);
    if (writing() || closed() || !MayGoOn()) return;
    message_.Clear();
    bytes_ = 0;
    behind_ = false;
    const bool listed = listing_;
    if (listing_) {
      AddListed(state);
    } else {
      AddChanged(state);
    }
    const bool list_is_over = listed && !listing_;
    const bool due = watchers_.now_ >= last_sent_ + kBookmarkInterval;
    if (message_.jobs().empty() && !list_is_over && !due) {
      if (behind_) GoOn();
      return;
    }
    if (!listing_) message_.set_revision(Global(seen_));
    last_sent_ = watchers_.now_;
    Write(&message_);
  }

  void OnWriteDone(bool ok) override {
    bool more = false;
    {
      std::lock_guard lock(mutex_);
      if (!Written()) return;
      if (!ok) return CloseLocked(absl::CancelledError("the client is gone"));
      more = behind_;
    }
    if (more) GoOn();
  }

  void OnDone() override {
    watchers_.watchers_.Remove(number_);
    delete this;
  }

 private:
  // Comes back on the state thread; without it the next round does.
  void GoOn() {
    watchers_.state_->Read([&watchers = watchers_, number = number_.load()](const State* state) {
      watchers.watchers_.With(number, [&](ListWatcher& watcher) {
        if (state == nullptr) {
          watcher.Close(absl::UnavailableError("the store cannot be read"));
        } else {
          watcher.Step(*state);
        }
      });
    });
  }

  int64_t Global(int64_t revision) const {
    return (watchers_.state_->epoch() << kEpochShift) + revision;
  }

  // False: what comes next is not known any more.
  bool MayGoOn() {
    const JobChanges& changes = watchers_.changes_;
    if (!std::exchange(begun_, true)) {
      listing_ = asked_ == 0;
      seen_ = listing_ ? changes.revision() : asked_ - Global(0);
    }
    if (changes.Knows(seen_)) return true;
    CloseLocked(absl::OutOfRangeError(absl::StrCat(
        "revision ", Global(seen_), " is of an earlier start of the coordinator, or too many ",
        "changes lie behind it; list the jobs again")));
    return false;
  }

  // Whether there is room for another.
  bool Add(v1::Job job) {
    bytes_ += job.ByteSizeLong();
    *message_.add_jobs() = std::move(job);
    return message_.jobs_size() < kMostJobs && bytes_ < kMostBytes;
  }

  // Of jobs that have not ended, those that come next.
  void AddListed(const State& state) {
    JobQuery query = filter_;
    for (int s = v1::JobState_MIN; s <= v1::JobState_MAX; ++s) {
      if (filter_.states.empty()) query.states.insert(static_cast<v1::JobState>(s));
    }
    std::erase_if(query.states, [](v1::JobState listed) { return IsTerminal(listed); });
    query.above = listed_up_to_;
    query.newest_first = false;
    // No state in the query would mean all of them.
    if (!query.states.empty()) {
      state.index.Find(query, [&](int64_t number) {
        listed_up_to_ = number;
        behind_ = !Add(BriefOf(state.jobs.at(state.ids_by_number.at(number)).proto));
        return !behind_;
      });
    }
    listing_ = behind_;
    // What changed meanwhile comes at once.
    behind_ = true;
  }

  void AddChanged(const State& state) {
    const int64_t seen_before = seen_;
    const JobChanges::Entries& entries = watchers_.changes_.entries();
    int looked = 0;
    for (auto it = entries.upper_bound(seen_); it != entries.end() && !behind_; ++it) {
      const JobChanges::Entry& entry = it->second;
      seen_ = it->first;
      behind_ = ++looked == kMostLooked;
      if (!Concerns(filter_, entry, seen_before)) continue;
      const Job* live = entry.last == nullptr ? FindJob(state, entry.id) : nullptr;
      if (entry.last == nullptr && live == nullptr) continue;
      const v1::Job& job = live == nullptr ? *entry.last : live->proto;
      if (HasLabels(filter_, job) && !Add(BriefOf(job))) behind_ = true;
    }
  }

  ListWatchers& watchers_;
  const int64_t asked_;
  const JobQuery filter_;
  // In the table; 0: it is not, or not yet for a round of the state thread.
  std::atomic<uint64_t> number_{0};
  // State thread only. The first list is under way, up to the job of this number; what changed up
  // to this revision has been sent.
  bool begun_ = false;
  bool listing_ = false;
  int64_t listed_up_to_ = 0;
  int64_t seen_ = 0;
  size_t bytes_ = 0;
  absl::Duration last_sent_;

  // Guarded by mutex_. The message is being written while writing(); there is more to send.
  v1::WatchJobsResponse message_;
  bool behind_ = false;
};

void ListWatchers::AfterTurn(const State& state, absl::Duration now) {
  now_ = now;
  if (now < last_round_ + kRoundInterval) return;
  last_round_ = now;
  watchers_.ForEach([&](ListWatcher& watcher) { watcher.Step(state); });
}

void ListWatchers::Review() {
  watchers_.ForEach([this](ListWatcher& watcher) { watcher.Review(*gate_); });
}

int64_t ListWatchers::Revision() const {
  return (state_->epoch() << kEpochShift) + changes_.revision();
}

grpc::ServerWriteReactor<v1::WatchJobsResponse>* ListWatchers::NewWatcher(
    const v1::WatchJobsRequest& request, Pass pass) {
  absl::StatusOr<JobQuery> filter = ReadWatchFilter(request);
  if (!filter.ok()) return new RefusedStream<v1::WatchJobsResponse>(filter.status());
  auto* watcher = new ListWatcher(*this, *std::move(filter), request.revision(), std::move(pass));
  watcher->Begin();
  return watcher;
}

}  // namespace ijepa::coordinator
