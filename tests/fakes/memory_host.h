// The outside of a training run, in memory: a rendezvous that ranks in one process share, and a
// RunHost that records what it is told and answers as the test says.
#ifndef IJEPA_TESTS_FAKES_MEMORY_HOST_H_
#define IJEPA_TESTS_FAKES_MEMORY_HOST_H_

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "worker/jepa/run_host.h"

namespace jepa {

// Thread-safe; shared by the hosts of all ranks.
class MemoryRendezvous : public Rendezvous {
 public:
  absl::Status Put(absl::string_view key, absl::string_view value) override {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto [entry, added] = values_.try_emplace(std::string(key), std::string(value));
    if (!added && entry->second != std::string(value)) {
      return absl::AlreadyExistsError(absl::StrCat("key ", key, " has another value"));
    }
    changed_.notify_all();
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Get(absl::string_view key, absl::Duration timeout) override {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto ready = [&] { return values_.count(std::string(key)) > 0; };
    if (!changed_.wait_for(lock, absl::ToChronoMilliseconds(timeout), ready)) {
      return absl::DeadlineExceededError(absl::StrCat("nobody put key ", key));
    }
    return values_.at(std::string(key));
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::string> values_;
};

struct RecordedNote {
  std::string code;
  std::string message;
  int64_t step = 0;
};

// The host of one rank. Everything is called by the training thread, Note also by loader threads;
// the test reads the records after the run.
class MemoryHost : public RunHost {
 public:
  explicit MemoryHost(MemoryRendezvous& rendezvous) : rendezvous_(rendezvous) {}

  // Answers, set before the run. Null: OK, never.
  std::function<absl::StatusOr<std::vector<std::string>>(const CheckpointInfo&)> on_commit;
  std::function<bool()> drain;
  std::function<absl::Status()> alive;
  // In place of the end of the process: lets go what holds the run.
  std::function<void()> on_leave;
  // Called after each report is recorded.
  std::function<void(const StepReport&)> on_step;

  absl::Status Put(absl::string_view key, absl::string_view value) override {
    return rendezvous_.Put(key, value);
  }
  absl::StatusOr<std::string> Get(absl::string_view key, absl::Duration timeout) override {
    return rendezvous_.Get(key, timeout);
  }
  void ReportStep(const StepReport& report) override {
    steps.push_back(report);
    if (on_step) on_step(report);
  }
  void EnterPhase(RunPhase phase) override { phases.push_back(phase); }
  void ReportProbe(const ProbeReport& report) override { probes.push_back(report); }
  void ReportNetwork(const NetworkReport& report) override { networks.push_back(report); }
  void Note(absl::string_view code, absl::string_view message, int64_t step) override {
    std::lock_guard<std::mutex> lock(mutex_);
    notes_.push_back({std::string(code), std::string(message), step});
  }
  absl::StatusOr<std::vector<std::string>> Commit(const CheckpointInfo& checkpoint,
                                                  absl::Duration) override {
    if (!on_commit) {
      commits.push_back(checkpoint);
      return std::vector<std::string>();
    }
    absl::StatusOr<std::vector<std::string>> answer = on_commit(checkpoint);
    if (answer.ok()) commits.push_back(checkpoint);
    return answer;
  }
  bool DrainRequested() override { return drain && drain(); }
  absl::Status Alive() override { return alive ? alive() : absl::OkStatus(); }
  void Leave(const absl::Status& why) override {
    left.push_back(why);
    if (on_leave) on_leave();
  }

  std::vector<RecordedNote> notes() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return notes_;
  }
  int CountNotes(const std::string& code) const {
    int count = 0;
    for (const RecordedNote& note : notes()) count += note.code == code ? 1 : 0;
    return count;
  }
  std::vector<double> losses() const {
    std::vector<double> values;
    for (const StepReport& report : steps) values.push_back(report.loss);
    return values;
  }

  // Records, for the test to read after the run.
  std::vector<StepReport> steps;
  std::vector<RunPhase> phases;
  std::vector<ProbeReport> probes;
  std::vector<NetworkReport> networks;
  std::vector<CheckpointInfo> commits;
  std::vector<absl::Status> left;

 private:
  MemoryRendezvous& rendezvous_;
  mutable std::mutex mutex_;
  std::vector<RecordedNote> notes_;
};

}  // namespace jepa

#endif  // IJEPA_TESTS_FAKES_MEMORY_HOST_H_
