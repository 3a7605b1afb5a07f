// ReadLogs calls: pages from the log store, and more as they come.
#ifndef IJEPA_COORDINATOR_SERVICES_LOG_READERS_H_
#define IJEPA_COORDINATOR_SERVICES_LOG_READERS_H_

#include <grpcpp/grpcpp.h>

#include "coordinator/log_store.h"
#include "coordinator/services/gate.h"
#include "coordinator/services/reactor_table.h"
#include "ijepa/v1/coordinator.pb.h"

namespace ijepa::coordinator {

class JobReader;
class StateThread;
class LogReader;

// Thread-safe. Outlives the server that serves it; what is borrowed outlives the readers.
class LogReaders {
 public:
  struct Parts {
    StateThread& state;
    JobReader& jobs;
    LogStore& logs;
    Gate& gate;
  };
  explicit LogReaders(Parts parts) : parts_(parts) {}

  // It ends when `pass` no longer holds.
  grpc::ServerWriteReactor<v1::LogLines>* NewReader(const v1::ReadLogsRequest& request, Pass pass);

 private:
  friend class LogReader;

  const Parts parts_;
  ReactorTable<LogReader> readers_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SERVICES_LOG_READERS_H_
