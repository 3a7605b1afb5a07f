// Where the effects of the core go once they are durable.
#ifndef IJEPA_COORDINATOR_OUTLET_H_
#define IJEPA_COORDINATOR_OUTLET_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "coordinator/core/state.h"
#include "ijepa/v1/worker.pb.h"

namespace ijepa::coordinator {

// Called on the state thread. Must not block.
class Outlet {
 public:
  virtual ~Outlet() = default;
  virtual void Send(uint64_t stream, const v1::CoordinatorMessage& message) = 0;
  virtual void Close(uint64_t stream, const absl::Status& why) = 0;
  // The state was read anew: workers must say hello again.
  virtual void CloseAll(const absl::Status& why) = 0;
  virtual void Changed(const Job& job) = 0;
  // All effects of a turn are out; at least once per tick.
  virtual void AfterTurn(const State& /*state*/, absl::Duration /*now*/) {}
  // What opens the API: after a start, and after every change.
  virtual void TokensChanged(const State& /*state*/) {}
  // What a backend is to give the job with this uid; null: the job is no more.
  virtual void AllocationChanged(const std::string& /*uid*/, const Job* /*job*/) {}
  // All jobs at once: after a start, and when the state was read anew.
  virtual void AllocationsReset(const State& /*state*/) {}
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_OUTLET_H_
