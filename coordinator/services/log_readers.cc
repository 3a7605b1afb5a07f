// See log_readers.h.
#include "coordinator/services/log_readers.h"

#include <mutex>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/core/error_details.h"
#include "coordinator/core/lifecycle.h"
#include "coordinator/services/job_reader.h"
#include "coordinator/services/server_stream.h"
#include "coordinator/state_thread.h"

namespace ijepa::coordinator {
namespace {

constexpr size_t kMaxReaders = 1024;
// Looks at the job this often while nothing comes.
constexpr absl::Duration kPoll = absl::Milliseconds(250);
// After a job has ended, its last lines may still be on their way; silence for this many polls is
// their end.
constexpr int kQuietPolls = 4;

}  // namespace

// One ReadLogs call, always in one of: looking at the job, reading a page, writing it, waiting for
// more. Deletes itself when gRPC is done with it.
class LogReader : public ServerStream<v1::LogLines> {
 public:
  LogReader(LogReaders& readers, const v1::ReadLogsRequest& request, Pass pass)
      : ServerStream(std::move(pass)),
        readers_(readers),
        name_(WholeJobName(request.job())),
        follow_(request.follow()) {
    query_.ranks.assign(request.ranks().begin(), request.ranks().end());
    query_.generation = request.generation();
    query_.tail_lines = request.tail_lines();
    number_ = readers_.readers_.Add(this);
    if (readers_.readers_.size() > kMaxReaders) {
      Close(Overloaded(absl::StrCat(kMaxReaders, " logs are being read")));
    } else {
      LookAtJob();
    }
  }

  void OnWriteDone(bool ok) override {
    {
      std::lock_guard lock(mutex_);
      if (!Written()) return;
    }
    if (!ok) return Close(absl::OkStatus());
    ReadPage();
  }

  void OnDone() override {
    readers_.readers_.Remove(number_);
    delete this;
  }

 private:
  // Runs `step` on this reader if it is still there when the answer comes.
  template <typename Step>
  auto Later(Step step) {
    return [&readers = readers_, number = number_, step](auto&&... answer) {
      readers.readers_.With(number, [&](LogReader& reader) {
        step(reader, std::forward<decltype(answer)>(answer)...);
      });
    };
  }

  void LookAtJob() {
    if (sealed_) return TakeJob(query_.job, v1::JOB_STATE_SUCCEEDED);
    readers_.parts_.state.Read(
        [&readers = readers_, number = number_, name = name_](const State* state) {
          const Job* job = state == nullptr ? nullptr : FindJob(*state, name);
          if (state != nullptr && job == nullptr) return LookBack(readers, number, name);
          readers.readers_.With(number, [&](LogReader& reader) {
            if (state == nullptr)
              return reader.Close(absl::UnavailableError("no state to look at"));
            reader.TakeJob(job->id, job->state());
          });
        });
  }

  // For a job that is not live: it has ended.
  static void LookBack(LogReaders& readers, uint64_t number, const std::string& name) {
    readers.parts_.jobs.Find(name, [&readers, number](absl::StatusOr<v1::Job> job) {
      readers.readers_.With(number, [&](LogReader& reader) {
        if (!job.ok()) return reader.Close(job.status());
        reader.sealed_ = true;
        reader.TakeJob(JobId(job->name()), job->status().state());
      });
    });
  }

  void TakeJob(const std::string& id, v1::JobState state) {
    query_.job = id;
    terminal_ = IsTerminal(state);
    quiet_polls_ = terminal_ ? quiet_polls_ + 1 : 0;
    query_.complete = !follow_ || quiet_polls_ > kQuietPolls;
    ReadPage();
  }

  void ReadPage() {
    if (IsClosed()) return;
    if (absl::Status may = readers_.parts_.gate.Review(pass_); !may.ok()) return Close(may);
    readers_.parts_.logs.Read(query_, cursor_,
                              Later([](LogReader& reader, absl::StatusOr<LogPage> page) {
                                reader.TakePage(std::move(page));
                              }));
  }

  void TakePage(absl::StatusOr<LogPage> page) {
    if (!page.ok()) return Close(page.status());
    cursor_ = std::move(page->cursor);
    if (page->lines.lines_size() > 0) {
      if (!query_.complete) quiet_polls_ = 0;
      return WritePage(std::move(page->lines));
    }
    if (!follow_ || (terminal_ && quiet_polls_ > kQuietPolls)) return Close(absl::OkStatus());
    readers_.parts_.logs.WaitForAppend(query_.job, kPoll,
                                       Later([](LogReader& reader) { reader.LookAtJob(); }));
  }

  void WritePage(v1::LogLines lines) {
    std::lock_guard lock(mutex_);
    if (closed()) return;
    page_ = std::move(lines);
    Write(&page_);
  }

  bool IsClosed() {
    std::lock_guard lock(mutex_);
    return closed();
  }

  LogReaders& readers_;
  uint64_t number_ = 0;
  const std::string name_;
  const bool follow_;
  // Touched by one step at a time.
  LogQuery query_;
  LogCursor cursor_;
  bool terminal_ = false;
  // It has ended and left the live state; no need to look again.
  bool sealed_ = false;
  int quiet_polls_ = 0;
  v1::LogLines page_;
};

grpc::ServerWriteReactor<v1::LogLines>* LogReaders::NewReader(const v1::ReadLogsRequest& request,
                                                              Pass pass) {
  return new LogReader(*this, request, std::move(pass));
}

}  // namespace ijepa::coordinator
