// A store that forgets: for tests and simulation, with faults on demand.
#ifndef IJEPA_COORDINATOR_STORE_MEMORY_STORE_H_
#define IJEPA_COORDINATOR_STORE_MEMORY_STORE_H_

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/store/store.h"

namespace ijepa::coordinator {

// Not thread-safe, but for the history: its readers may be on other threads.
class MemoryStore : public Store {
 public:
  absl::Status Commit(const Batch& batch) override;
  absl::StatusOr<std::vector<KeyValue>> Range(absl::string_view prefix) override;
  std::map<int, int64_t> TakeForgotten() override { return std::exchange(forgotten_, {}); }
  absl::StatusOr<std::unique_ptr<History>> OpenHistory() override;

  // Every commit from now on returns `status` and changes nothing; OK heals.
  void FailCommits(absl::Status status) { failure_ = std::move(status); }
  int commits() const { return commits_; }

 private:
  friend class MemoryHistory;

  struct Past {
    std::mutex mutex;
    // Guarded by mutex.
    std::map<int64_t, SealedRow> jobs;
    std::vector<AuditRow> audit;
    // Lines of the audit log that were removed.
    int64_t removed = 0;
  };
  void CommitPast(const Batch& batch);

  std::map<std::string, std::string> values_;
  Past past_;
  std::map<int, int64_t> forgotten_;
  absl::Status failure_;
  int commits_ = 0;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_STORE_MEMORY_STORE_H_
