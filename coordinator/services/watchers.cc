// See watchers.h.
#include "coordinator/services/watchers.h"

#include <memory>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/core/error_details.h"
#include "coordinator/core/lifecycle.h"
#include "coordinator/services/job_reader.h"
#include "coordinator/services/server_stream.h"
#include "coordinator/state_thread.h"

namespace ijepa::coordinator {
namespace {

// Each holds at most two states of a job.
constexpr size_t kMaxWatchers = 4096;

}  // namespace

// One WatchJob call. Deletes itself when gRPC is done with it.
class JobWatcher : public ServerStream<v1::Job> {
 public:
  using Snapshot = std::shared_ptr<const v1::Job>;

  JobWatcher(Watchers& watchers, const std::string& asked, Pass pass)
      : ServerStream(std::move(pass)), watchers_(watchers) {
    number_ = watchers_.watchers_.Add(this);
    if (watchers_.watchers_.size() > kMaxWatchers) {
      Close(Overloaded(absl::StrCat(kMaxWatchers, " jobs are being watched")));
      return;
    }
    const auto begin = [&watchers, number = number_,
                        name = WholeJobName(asked)](const State* state) {
      const Job* job = state == nullptr ? nullptr : FindJob(*state, name);
      if (state != nullptr && job == nullptr) return LookBack(watchers, number, name);
      watchers.watchers_.With(number, [&](JobWatcher& watcher) {
        if (state == nullptr) return watcher.Close(absl::UnavailableError("no state to look at"));
        watcher.SetJob(job->id);
        watcher.Offer(std::make_shared<const v1::Job>(job->proto));
      });
    };
    if (absl::Status status = watchers_.parts_.state->TryRead(begin); !status.ok()) Close(status);
  }

  // For a job that is not live: it has ended, and is sent once.
  static void LookBack(Watchers& watchers, uint64_t number, const std::string& name) {
    watchers.parts_.reader->Find(name, [&watchers, number](absl::StatusOr<v1::Job> job) {
      watchers.watchers_.With(number, [&](JobWatcher& watcher) {
        if (!job.ok()) return watcher.Close(job.status());
        watcher.Offer(std::make_shared<const v1::Job>(*std::move(job)));
      });
    });
  }

  // On the state thread, as is Watches.
  void SetJob(const std::string& id) { id_ = id; }
  bool Watches(const std::string& id) const { return id_ == id; }

  // Makes this the next to be sent; what waited is skipped.
  void Offer(Snapshot snapshot) {
    std::lock_guard lock(mutex_);
    if (closed()) return;
    next_ = std::move(snapshot);
    WriteNext();
  }

  void OnWriteDone(bool ok) override {
    std::lock_guard lock(mutex_);
    const bool ended = IsTerminal(sent_->status().state());
    sent_.reset();
    if (!Written()) return;
    if (!ok || ended) {
      CloseLocked(absl::OkStatus());
    } else {
      WriteNext();
    }
  }

  void OnDone() override {
    watchers_.watchers_.Remove(number_);
    delete this;
  }

 private:
  void WriteNext() {
    if (sent_ != nullptr || next_ == nullptr) return;
    sent_ = std::move(next_);
    next_ = nullptr;
    Write(sent_.get());
  }

  Watchers& watchers_;
  uint64_t number_ = 0;
  // State thread only.
  std::string id_;

  // Guarded by mutex_. sent_ is being written.
  Snapshot sent_;
  Snapshot next_;
};

void Watchers::Changed(const Job& job) {
  JobWatcher::Snapshot snapshot;
  watchers_.ForEach([&](JobWatcher& watcher) {
    if (!watcher.Watches(job.id)) return;
    if (snapshot == nullptr) snapshot = std::make_shared<const v1::Job>(job.proto);
    watcher.Offer(snapshot);
  });
}

void Watchers::Review() {
  watchers_.ForEach([this](JobWatcher& watcher) { watcher.Review(*parts_.gate); });
}

grpc::ServerWriteReactor<v1::Job>* Watchers::NewWatcher(const std::string& name, Pass pass) {
  return new JobWatcher(*this, name, std::move(pass));
}

}  // namespace ijepa::coordinator
