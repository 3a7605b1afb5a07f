// The streams of the workers: what they say goes to the state thread and the log store, what the
// core sends goes out.
#ifndef IJEPA_COORDINATOR_SERVICES_WORKER_STREAMS_H_
#define IJEPA_COORDINATOR_SERVICES_WORKER_STREAMS_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "coordinator/log_store.h"
#include "coordinator/services/reactor_table.h"
#include "ijepa/v1/worker.pb.h"

namespace ijepa::coordinator {

class AllocationTokens;
class HistoryThread;
class StateThread;
class WorkerStream;

// Thread-safe. Outlives the server that serves it, and the state thread.
class WorkerStreams {
 public:
  // `hello_deadline`: from a connection until its hello. Lower: slow workers connect in vain.
  explicit WorkerStreams(LogStore& logs, absl::Duration hello_deadline = absl::Seconds(10))
      : logs_(logs), hello_deadline_(hello_deadline) {}

  // Streams are refused before this. What is attached outlives them.
  void Attach(StateThread& state, HistoryThread& history, const AllocationTokens& tokens) {
    state_ = &state;
    history_ = &history;
    tokens_ = &tokens;
  }

  // For effects: never block, do nothing for a stream that is gone. A worker that does not take
  // what is sent to it loses its stream.
  void Send(uint64_t stream, const v1::CoordinatorMessage& message);
  void Close(uint64_t stream, const absl::Status& why);
  void CloseAll(const absl::Status& why);

  // Ends streams that have not said hello in time. On the state thread.
  void Review(absl::Duration now);

  // `certified`: the only node that the stream may speak for; none: any.
  grpc::ServerBidiReactor<v1::WorkerMessage, v1::CoordinatorMessage>* NewStream(
      std::optional<std::string> certified);

 private:
  friend class WorkerStream;

  LogStore& logs_;
  const absl::Duration hello_deadline_;
  StateThread* state_ = nullptr;
  HistoryThread* history_ = nullptr;
  const AllocationTokens* tokens_ = nullptr;
  ReactorTable<WorkerStream> streams_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SERVICES_WORKER_STREAMS_H_
