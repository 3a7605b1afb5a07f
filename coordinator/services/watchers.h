// People who watch jobs: each is sent the newest state of its job as fast as it takes it, and skips
// what is between.
#ifndef IJEPA_COORDINATOR_SERVICES_WATCHERS_H_
#define IJEPA_COORDINATOR_SERVICES_WATCHERS_H_

#include <grpcpp/grpcpp.h>

#include <string>

#include "coordinator/core/state.h"
#include "coordinator/services/gate.h"
#include "coordinator/services/reactor_table.h"
#include "ijepa/v1/job.pb.h"

namespace ijepa::coordinator {

class JobReader;
class StateThread;
class JobWatcher;

// Thread-safe. Outlives the server that serves it, and the state thread.
class Watchers {
 public:
  // None is null.
  struct Parts {
    StateThread* state = nullptr;
    JobReader* reader = nullptr;
    Gate* gate = nullptr;
  };
  // What is attached outlives the watchers.
  void Attach(const Parts& parts) { parts_ = parts; }

  // The job changed. On the state thread.
  void Changed(const Job& job);

  // Ends those whose pass no longer holds.
  void Review();

  grpc::ServerWriteReactor<v1::Job>* NewWatcher(const std::string& name, Pass pass);

 private:
  friend class JobWatcher;

  Parts parts_;
  ReactorTable<JobWatcher> watchers_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SERVICES_WATCHERS_H_
