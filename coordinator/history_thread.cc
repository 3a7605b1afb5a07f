// See history_thread.h.
#include "coordinator/history_thread.h"

#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "coordinator/core/error_details.h"

namespace ijepa::coordinator {
namespace {

constexpr size_t kMaxTasks = 1024;

absl::Status Stopping() { return absl::UnavailableError("the coordinator is stopping"); }

using Record = absl::StatusOr<std::optional<std::string>>;

absl::StatusOr<std::optional<v1::SealedJob>> Decode(const Record& record, const std::string& key) {
  if (!record.ok()) return record.status();
  if (!record->has_value()) return std::optional<v1::SealedJob>();
  v1::SealedJob job;
  if (!job.ParseFromString(**record)) {
    return absl::DataLossError(absl::StrCat("history: the record of ", key, " cannot be read"));
  }
  return std::optional<v1::SealedJob>(std::move(job));
}

}  // namespace

absl::StatusOr<std::optional<v1::SealedJob>> FindPast(History& history, const std::string& id) {
  return Decode(history.Find(id), id);
}

absl::StatusOr<std::optional<v1::SealedJob>> FindPastByUid(History& history,
                                                           const std::string& uid) {
  return Decode(history.FindByUid(uid), uid);
}

absl::StatusOr<std::unique_ptr<HistoryThread>> HistoryThread::Start(Store& store) {
  absl::StatusOr<std::unique_ptr<History>> history = store.OpenHistory();
  if (!history.ok() && !absl::IsUnimplemented(history.status())) return history.status();
  auto thread = absl::WrapUnique(new HistoryThread(history.ok() ? *std::move(history) : nullptr));
  thread->thread_ = std::thread([raw = thread.get()] { raw->Run(); });
  return thread;
}

HistoryThread::~HistoryThread() { Stop(); }

bool HistoryThread::Enqueue(Task task, bool bounded) {
  std::unique_lock lock(mutex_);
  if (bounded && tasks_.size() >= kMaxTasks) return false;
  if (stop_) {
    lock.unlock();
    task(Stopping());
    return true;
  }
  tasks_.push_back(std::move(task));
  wake_.notify_one();
  return true;
}

absl::Status HistoryThread::TryRead(Task task) {
  if (Enqueue(std::move(task), true)) return absl::OkStatus();
  return Overloaded(absl::StrCat(kMaxTasks, " calls wait for history"));
}

void HistoryThread::Read(Task task) { Enqueue(std::move(task), false); }

void HistoryThread::Stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void HistoryThread::Run() {
  while (true) {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return stop_ || !tasks_.empty(); });
    if (stop_) break;
    Task task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    if (history_ == nullptr) {
      task(absl::NotFoundError("there is no history"));
    } else {
      task(history_.get());
    }
  }
  std::deque<Task> left;
  {
    std::lock_guard lock(mutex_);
    left.swap(tasks_);
  }
  for (const Task& task : left) task(Stopping());
}

}  // namespace ijepa::coordinator
