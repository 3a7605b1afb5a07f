// The coordinator, put together: store, state thread, logs, metrics and the two listeners. Members
// are in order of dependency.
#ifndef IJEPA_COORDINATOR_SERVER_H_
#define IJEPA_COORDINATOR_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/metrics_server.h"
#include "coordinator/allocation_tokens.h"
#include "coordinator/backends/backend_hub.h"
#include "coordinator/history_thread.h"
#include "coordinator/log_store.h"
#include "coordinator/metrics.h"
#include "coordinator/outlet.h"
#include "coordinator/services/auth_service.h"
#include "coordinator/services/cluster_services.h"
#include "coordinator/services/job_reader.h"
#include "coordinator/services/job_service.h"
#include "coordinator/services/list_watchers.h"
#include "coordinator/services/log_readers.h"
#include "coordinator/services/watchers.h"
#include "coordinator/services/worker_streams.h"
#include "coordinator/settings.h"
#include "coordinator/state_thread.h"
#include "coordinator/store/store.h"

namespace ijepa::coordinator {

// Serves from Start until it is destroyed or shut down. Thread-compatible.
class Server {
 public:
  // Opens the store, recovers, listens, and then writes <data_dir>/addresses.json. One line says
  // what failed: a port that is taken is Unavailable and names the address; a data folder in use is
  // FailedPrecondition.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const Settings& settings, Clock& clock);
  // The same on a store of the caller's.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const Settings& settings, Clock& clock,
                                                       std::unique_ptr<Store> store);
  ~Server();

  // Ends all calls within about a second, then all threads. Idempotent.
  void Shutdown();

  // HOST:PORT with the real ports; empty where nothing listens.
  const std::string& client_address() const { return client_address_; }
  const std::string& worker_address() const { return worker_address_; }
  std::string metrics_address() const { return metrics_ == nullptr ? "" : metrics_->address(); }
  StateThread& state() { return *state_; }

 private:
  class Effects;

  Server(const Settings& settings, Clock& clock, std::unique_ptr<Store> store);
  absl::Status StartMetrics(const Settings& settings);
  absl::Status StartState(const Settings& settings);
  absl::Status AddBackends(const Settings& settings);
  void MakeServices(const Settings& settings);
  absl::Status Listen(const Settings& settings);
  absl::Status WriteAddresses(const std::string& data_dir);

  Clock& clock_;
  std::unique_ptr<Store> store_;
  LogStore logs_;
  WorkerStreams streams_;
  Watchers watchers_;
  ListWatchers list_watchers_;
  std::unique_ptr<Effects> effects_;
  std::unique_ptr<MetricsServer> metrics_;
  std::unique_ptr<CommitMetrics> commit_metrics_;
  std::unique_ptr<AllocationTokens> tokens_;
  std::unique_ptr<BackendHub> backends_;
  std::unique_ptr<StateThread> state_;
  std::unique_ptr<HistoryThread> history_;
  std::unique_ptr<JobReader> job_reader_;
  std::unique_ptr<Gate> gate_;
  std::unique_ptr<ClientCalls> calls_;
  std::unique_ptr<Backups> backups_;
  std::shared_ptr<StateCollector> collector_;
  std::unique_ptr<LogReaders> log_readers_;
  std::unique_ptr<JobService> job_service_;
  std::unique_ptr<ArrayService> array_service_;
  std::unique_ptr<AuthService> auth_service_;
  std::unique_ptr<CheckpointService> checkpoint_service_;
  std::unique_ptr<NodeService> node_service_;
  std::unique_ptr<QueueService> queue_service_;
  std::unique_ptr<LogService> log_service_;
  std::unique_ptr<SystemService> system_service_;
  std::unique_ptr<WorkerService> worker_service_;
  std::unique_ptr<grpc::Server> client_server_;
  std::unique_ptr<grpc::Server> worker_server_;
  std::string client_address_;
  std::string worker_address_;
  // Of the local token; empty: none.
  std::string local_secret_;
  // Where the local token is; empty: nowhere.
  std::string token_file_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SERVER_H_
