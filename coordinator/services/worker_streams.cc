// See worker_streams.h.
#include "coordinator/services/worker_streams.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "coordinator/allocation_tokens.h"
#include "coordinator/history_thread.h"
#include "coordinator/services/grpc_status.h"
#include "coordinator/services/recent_map.h"
#include "coordinator/state_thread.h"

namespace ijepa::coordinator {
namespace {

// Messages that wait for a worker to take them. One that is further behind connects anew and is
// told all again.
constexpr size_t kMaxQueued = 1024;

// Ranks of a connection whose jobs are known without looking. More are looked up again.
constexpr size_t kMaxLogOwners = 1024;

// In bytes. No log is as long, and a piece of one can be added to it.
constexpr int64_t kMaxLogOffset = int64_t{1} << 60;

// (uid, generation, rank)
using RankId = std::tuple<std::string, int64_t, int>;

RankId IdOf(const v1::LogChunk& chunk) {
  return {chunk.job_uid(), chunk.generation(), chunk.rank()};
}

// The id of the job, if this node ran that rank of it; else empty.
std::string LogOwner(const v1::Job& job, const std::string& node, const RankId& id) {
  for (const v1::Attempt& attempt : job.status().attempts()) {
    if (attempt.generation() != std::get<1>(id)) continue;
    for (const v1::RankPlacement& placement : attempt.placements()) {
      if (placement.rank() == std::get<2>(id) && placement.node() == node) {
        return JobId(job.name());
      }
    }
  }
  return "";
}

}  // namespace

// One connection. Reads the next message only when the last one is dealt with and durable, so that
// a worker is slowed down rather than queued. Deletes itself when gRPC is done with it.
class WorkerStream : public grpc::ServerBidiReactor<v1::WorkerMessage, v1::CoordinatorMessage> {
 public:
  WorkerStream(WorkerStreams& streams, std::optional<std::string> certified) : streams_(streams) {
    certified_ = std::move(certified);
    number_ = streams_.streams_.Add(this);
    StartRead(&incoming_);
  }

  void Send(const v1::CoordinatorMessage& message) {
    std::lock_guard lock(mutex_);
    if (finishing_) return;
    if (message.has_desired()) ForgetOlderDesired();
    if (queue_.size() >= kMaxQueued) {
      FinishLocked(absl::ResourceExhaustedError("the worker does not take its messages"));
      return;
    }
    queue_.push_back(message);
    WriteNext();
  }

  void Close(const absl::Status& why) {
    std::lock_guard lock(mutex_);
    FinishLocked(why);
  }

  // Ends it if it has said nothing since `limit` after the first look. On the state thread.
  void Review(absl::Duration now, absl::Duration limit) {
    if (greeted_) return;
    if (!first_look_.has_value()) first_look_ = now;
    if (now - *first_look_ < limit) return;
    Close(absl::DeadlineExceededError(
        absl::StrCat("no hello within ", absl::FormatDuration(limit), "; connect again")));
  }

  // Asks for the next message.
  void ReadNext() {
    std::lock_guard lock(mutex_);
    if (!finishing_) StartRead(&incoming_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Close(absl::OkStatus());
    switch (incoming_.body_case()) {
      case v1::WorkerMessage::kHello:
        return TakeHello();
      case v1::WorkerMessage::kReport:
        return Post(WorkerReport{number_, std::move(*incoming_.mutable_report())});
      case v1::WorkerMessage::kRank:
        return Post(FromRankOn{number_, std::move(*incoming_.mutable_rank())});
      case v1::WorkerMessage::kLog:
        return TakeLog();
      case v1::WorkerMessage::BODY_NOT_SET:
        return ReadNext();
    }
  }

  void OnWriteDone(bool ok) override {
    std::lock_guard lock(mutex_);
    writing_ = false;
    queue_.pop_front();
    if (!ok) FinishLocked(absl::UnavailableError("the worker is gone"));
    if (finishing_) {
      FinishNow();
    } else {
      WriteNext();
    }
  }

  void OnCancel() override { Close(absl::CancelledError("the worker is gone")); }

  void OnDone() override {
    streams_.streams_.Remove(number_);
    if (!node_.empty()) {
      streams_.state_->Post(StreamClosed{number_}, nullptr);
      LogInfo("worker disconnected node=", node_, " stream=", number_);
    }
    delete this;
  }

 private:
  // Of desired states only the newest counts.
  void ForgetOlderDesired() {
    const auto first = queue_.begin() + (writing_ ? 1 : 0);
    queue_.erase(
        std::remove_if(first, queue_.end(),
                       [](const v1::CoordinatorMessage& old) { return old.has_desired(); }),
        queue_.end());
  }

  void WriteNext() {
    if (writing_ || finishing_ || queue_.empty()) return;
    writing_ = true;
    StartWrite(&queue_.front());
  }

  void FinishLocked(const absl::Status& why) {
    if (finishing_) return;
    finishing_ = true;
    status_ = why;
    // gRPC wants a write to be over before the end; a worker that takes nothing is cut off by
    // keepalive.
    if (!writing_) FinishNow();
  }

  void FinishNow() {
    if (finished_) return;
    finished_ = true;
    Finish(ToGrpc(status_));
  }

  // Hands a message to the state thread; the next one is read when it is durable.
  void Post(Command command) {
    if (node_.empty()) {
      return Close(absl::FailedPreconditionError("the first message must be hello"));
    }
    streams_.state_->Post(std::move(command), [&streams = streams_, number = number_] {
      streams.streams_.With(number, [](WorkerStream& stream) { stream.ReadNext(); });
    });
  }

  void TakeHello() {
    if (!node_.empty()) return Close(absl::FailedPreconditionError("a second hello"));
    node_ = incoming_.hello().info().node();
    if (node_.empty()) return Close(absl::InvalidArgumentError("hello without a node name"));
    if (incoming_.hello().info().has_allocation()) {
      if (absl::Status shown = CheckToken(incoming_.hello()); !shown.ok()) {
        node_.clear();
        return Close(shown);
      }
    } else if (certified_.has_value() && node_ != *certified_) {
      const std::string claimed = std::exchange(node_, "");
      return Close(absl::PermissionDeniedError(absl::StrCat(
          "hello of node ", claimed, " with a certificate of \"", *certified_,
          "\"; start the worker with that --node, or give it a certificate whose common name is ",
          claimed)));
    }
    greeted_ = true;
    LogInfo("worker connected node=", node_, " slots=", incoming_.hello().info().slots(),
            " stream=", number_);
    Post(WorkerHello{number_, std::move(*incoming_.mutable_hello())});
  }

  // Of a worker that a backend started: its certificate, where one is asked for, may have any name.
  absl::Status CheckToken(const v1::Hello& hello) const {
    const v1::NodeAllocation& allocation = hello.info().allocation();
    if (streams_.tokens_->Matches(hello.allocation_token(), allocation.job_uid(),
                                  allocation.generation())) {
      return absl::OkStatus();
    }
    return absl::PermissionDeniedError(
        absl::StrCat("worker ", hello.info().node(), " says it is for attempt ",
                     allocation.generation(), " of ", allocation.job_uid(),
                     " and shows no token of it; only what the coordinator itself asked a backend ",
                     "for may say so"));
  }

  void TakeLog() {
    if (node_.empty()) {
      return Close(absl::FailedPreconditionError("the first message must be hello"));
    }
    const v1::LogChunk& chunk = incoming_.log();
    if (chunk.offset() < 0 || chunk.offset() > kMaxLogOffset) {
      return Close(
          absl::InvalidArgumentError(absl::StrCat("a piece of a log at offset ", chunk.offset())));
    }
    const RankId id = IdOf(chunk);
    if (const std::string* owner = log_owners_.Find(id)) return StoreLog(*owner);
    streams_.state_->Read(
        [&streams = streams_, number = number_, node = node_, id](const State* state) {
          if (state == nullptr) {
            streams.streams_.With(number, [](WorkerStream& stream) {
              stream.Close(absl::UnavailableError("no state to look at"));
            });
          } else if (const Job* job = FindJobByUid(*state, std::get<0>(id))) {
            TakeOwner(streams, number, id, LogOwner(job->proto, node, id));
          } else {
            LookBack(streams, number, node, id);
          }
        });
  }

  // For a rank of a job that is not live: its last lines may come after it was sealed.
  static void LookBack(WorkerStreams& streams, uint64_t number, const std::string& node,
                       const RankId& id) {
    streams.history_->Read([&streams, number, node, id](absl::StatusOr<History*> history) {
      absl::StatusOr<std::optional<v1::SealedJob>> past = std::optional<v1::SealedJob>();
      if (history.ok()) past = FindPastByUid(**history, std::get<0>(id));
      if (!past.ok()) {
        streams.streams_.With(number, [&](WorkerStream& s) { s.Close(past.status()); });
        return;
      }
      TakeOwner(streams, number, id,
                past->has_value() ? LogOwner((*past)->job(), node, id) : std::string());
    });
  }

  static void TakeOwner(WorkerStreams& streams, uint64_t number, const RankId& id,
                        const std::string& job) {
    streams.streams_.With(number, [&](WorkerStream& stream) {
      stream.log_owners_.Add(id, job);
      stream.StoreLog(job);
    });
  }

  // Only while a log message is in incoming_ and no read is under way.
  void StoreLog(const std::string& job) {
    v1::LogChunk& chunk = *incoming_.mutable_log();
    const int64_t end = chunk.offset() + static_cast<int64_t>(chunk.data().size());
    v1::LogAck ack;
    ack.set_job_uid(chunk.job_uid());
    ack.set_generation(chunk.generation());
    ack.set_rank(chunk.rank());
    if (job.empty()) {
      // Nobody will ask for it; the worker may drop it.
      ack.set_offset(end);
      return AnswerLog(ack);
    }
    const auto done = [&streams = streams_, number = number_,
                       ack](absl::StatusOr<int64_t> stored) mutable {
      streams.streams_.With(number, [&](WorkerStream& stream) {
        if (!stored.ok()) return stream.Close(stored.status());
        ack.set_offset(*stored);
        stream.AnswerLog(ack);
      });
    };
    streams_.logs_.Append({job, chunk.generation(), chunk.rank()}, chunk.offset(),
                          std::move(*chunk.mutable_data()), done);
  }

  void AnswerLog(const v1::LogAck& ack) {
    v1::CoordinatorMessage message;
    message.set_coordinator_epoch(streams_.state_->epoch());
    *message.mutable_log_ack() = ack;
    Send(message);
    ReadNext();
  }

  WorkerStreams& streams_;
  uint64_t number_ = 0;
  // Constant once it is made.
  std::optional<std::string> certified_;
  // Touched by one callback at a time: between a read that is done and the next that is asked for.
  v1::WorkerMessage incoming_;
  std::string node_;
  // Jobs of ranks whose logs came lately; empty: the node did not run that rank.
  RecentMap<RankId, std::string> log_owners_{kMaxLogOwners};
  std::atomic<bool> greeted_{false};
  // State thread only.
  std::optional<absl::Duration> first_look_;

  std::mutex mutex_;
  // Guarded by mutex_. The front is being written while writing_.
  std::deque<v1::CoordinatorMessage> queue_;
  bool writing_ = false;
  bool finishing_ = false;
  bool finished_ = false;
  absl::Status status_;
};

void WorkerStreams::Send(uint64_t stream, const v1::CoordinatorMessage& message) {
  streams_.With(stream, [&](WorkerStream& found) { found.Send(message); });
}

void WorkerStreams::Close(uint64_t stream, const absl::Status& why) {
  streams_.With(stream, [&](WorkerStream& found) { found.Close(why); });
}

void WorkerStreams::CloseAll(const absl::Status& why) {
  streams_.ForEach([&](WorkerStream& found) { found.Close(why); });
}

void WorkerStreams::Review(absl::Duration now) {
  streams_.ForEach([&](WorkerStream& found) { found.Review(now, hello_deadline_); });
}

grpc::ServerBidiReactor<v1::WorkerMessage, v1::CoordinatorMessage>* WorkerStreams::NewStream(
    std::optional<std::string> certified) {
  return new WorkerStream(*this, std::move(certified));
}

}  // namespace ijepa::coordinator
