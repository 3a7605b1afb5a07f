// Threads take the next number.
#include "worker/jepa/data/task_threads.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "common/log.h"

namespace jepa {
namespace {

constexpr std::chrono::milliseconds kProgressEvery(100);
constexpr int kMaxThreads = 64;

class Team {
 public:
  explicit Team(const TaskRun& run) : run_(run) {}

  absl::Status Run() {
    const auto wanted = static_cast<int>(
        std::clamp<int64_t>(run_.tasks, 1, std::clamp(run_.threads, 1, kMaxThreads)));
    std::vector<std::thread> threads;
    threads.reserve(static_cast<size_t>(wanted));
    running_ = wanted;
    try {
      while (threads.size() < static_cast<size_t>(wanted)) {
        threads.emplace_back(&Team::Work, this, static_cast<int>(threads.size()));
      }
    } catch (const std::system_error& error) {
      ijepa::LogWarning(threads.size(), " of ", wanted, " threads started: ", error.what());
      Retire(wanted - static_cast<int>(threads.size()));
      if (threads.empty()) {
        running_ = 1;
        Work(0);
      }
    }
    Watch();
    for (std::thread& thread : threads) thread.join();
    if (run_.on_progress) run_.on_progress(done_);
    return std::move(failure_);
  }

 private:
  void Watch() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (!ended_.wait_for(lock, kProgressEvery, [this] { return running_ == 0; })) {
      const int64_t done = done_;
      lock.unlock();
      if (run_.on_progress) run_.on_progress(done);
      lock.lock();
    }
  }

  void Work(int thread) {
    for (int64_t task = Take(); task >= 0; task = Take()) {
      absl::Status status = run_.work(task, thread);
      const std::lock_guard<std::mutex> lock(mutex_);
      ++done_;
      if (status.ok() || (!failure_.ok() && failed_ < task)) continue;
      failed_ = task;
      failure_ = std::move(status);
    }
    Retire(1);
  }

  // -1: there is none left.
  int64_t Take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return failure_.ok() && next_ < run_.tasks ? next_++ : -1;
  }

  void Retire(int threads) {
    const std::lock_guard<std::mutex> lock(mutex_);
    running_ -= threads;
    ended_.notify_one();
  }

  const TaskRun& run_;
  std::mutex mutex_;  // Guards what follows.
  std::condition_variable ended_;
  int running_ = 0;
  int64_t next_ = 0;
  int64_t done_ = 0;
  int64_t failed_ = 0;
  absl::Status failure_;
};

}  // namespace

absl::Status RunTasks(const TaskRun& run) {
  if (run.tasks <= 0) return absl::OkStatus();
  return Team(run).Run();
}

}  // namespace jepa
