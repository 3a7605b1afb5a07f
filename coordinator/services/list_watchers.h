// WatchJobs calls: jobs as they change, from a revision on. A follower holds no queue, but a place
// in the list of changes: one that is slow sees fewer states, one that was away goes on from its
// place.
#ifndef IJEPA_COORDINATOR_SERVICES_LIST_WATCHERS_H_
#define IJEPA_COORDINATOR_SERVICES_LIST_WATCHERS_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>

#include "absl/time/time.h"
#include "coordinator/core/state.h"
#include "coordinator/services/gate.h"
#include "coordinator/services/job_changes.h"
#include "coordinator/services/reactor_table.h"
#include "ijepa/v1/coordinator.pb.h"

namespace ijepa::coordinator {

class ListWatcher;
class StateThread;

// Thread-safe, but for what is said to be of the state thread. Outlives the server that serves it,
// and the state thread.
class ListWatchers {
 public:
  // What is attached outlives the watchers.
  void Attach(StateThread& state, Gate& gate) {
    state_ = &state;
    gate_ = &gate;
  }

  // State thread only, as all but NewWatcher.
  void Changed(const Job& job) { changes_.Changed(job); }
  // Sends what is new to those who wait for it, and bookmarks.
  void AfterTurn(const State& state, absl::Duration now);
  // Ends those whose pass no longer holds.
  void Review();
  // Of the newest change, as clients see it.
  int64_t Revision() const;

  grpc::ServerWriteReactor<v1::WatchJobsResponse>* NewWatcher(const v1::WatchJobsRequest& request,
                                                              Pass pass);

 private:
  friend class ListWatcher;

  StateThread* state_ = nullptr;
  Gate* gate_ = nullptr;
  JobChanges changes_;
  // Monotonic. Of the newest turn, and when watchers were looked through.
  absl::Duration now_;
  absl::Duration last_round_ = -absl::InfiniteDuration();
  ReactorTable<ListWatcher> watchers_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SERVICES_LIST_WATCHERS_H_
