// A store that forgets: for tests and simulation, with faults on demand.
#ifndef IJEPA_COORDINATOR_STORE_MEMORY_STORE_H_
#define IJEPA_COORDINATOR_STORE_MEMORY_STORE_H_

#include <map>
#include <string>
#include <vector>

#include "coordinator/store/store.h"

namespace ijepa::coordinator {

// Not thread-safe.
class MemoryStore : public Store {
 public:
  absl::Status Commit(const Batch& batch) override;
  absl::StatusOr<std::vector<KeyValue>> Range(absl::string_view prefix) override;

  // Every commit from now on returns `status` and changes nothing; OK heals.
  void FailCommits(absl::Status status) { failure_ = std::move(status); }
  int commits() const { return commits_; }

 private:
  std::map<std::string, std::string> values_;
  absl::Status failure_;
  int commits_ = 0;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_STORE_MEMORY_STORE_H_
