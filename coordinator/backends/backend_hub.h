// All backends of the coordinator, each with its driver, and the way of the core's effects to them.
#ifndef IJEPA_COORDINATOR_BACKENDS_BACKEND_HUB_H_
#define IJEPA_COORDINATOR_BACKENDS_BACKEND_HUB_H_

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/allocation_tokens.h"
#include "coordinator/backends/backend_driver.h"
#include "coordinator/core/queues.h"
#include "coordinator/core/state.h"

namespace ijepa::coordinator {

// Thread-safe once all backends are added. Changed and Reset come from one thread at a time.
class BackendHub {
 public:
  // Both are borrowed and outlive it.
  BackendHub(const AllocationTokens& tokens, const SchedulingRules& rules)
      : tokens_(tokens), rules_(rules) {}

  void Add(std::unique_ptr<BackendDriver> driver);

  void Start(const BackendDriver::Report& report);
  void Stop();

  // At submit: what the backend of the job's queue could never give. OK for own workers.
  absl::Status Validate(const v1::JobSpec& spec) const;

  // What each backend's machines were when they were last looked at, by its name.
  std::map<std::string, NodesSeen> Nodes() const;

  // Effects of the core, on the state thread.
  void Changed(const std::string& uid, const Job* job);
  // What was reported before it may not have been kept: all of it is reported again.
  void Reset(const State& state);

 private:
  std::optional<WantedAllocation> WantedFor(const Job* job) const;
  void TellLost();

  const AllocationTokens& tokens_;
  const SchedulingRules& rules_;
  std::map<std::string, std::unique_ptr<BackendDriver>> drivers_;

  std::mutex mutex_;
  // Guarded by mutex_. Empty until it is started.
  BackendDriver::Report report_;
  // Guarded by mutex_. Of backends that the settings no longer have; empty once they are told.
  std::vector<AllocationEnded> lost_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_BACKENDS_BACKEND_HUB_H_
