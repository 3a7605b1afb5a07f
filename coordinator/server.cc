// See server.h.
#include "coordinator/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <random>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "coordinator/store/sqlite_store.h"

namespace ijepa::coordinator {
namespace {

// control-plane.md complaint 18: both sides notice a dead connection, and pings are not taken for
// an attack.
constexpr int kKeepaliveMs = 30000;
constexpr int kKeepaliveTimeoutMs = 15000;
constexpr int kMinPingIntervalMs = 20000;
// A client message is a spec; a worker message may be a report of many ranks or a piece of a log.
constexpr int kMaxClientMessageBytes = 4 << 20;
constexpr int kMaxWorkerMessageBytes = 16 << 20;
// gRPC's own memory and threads; more only buys deeper queues.
constexpr size_t kGrpcMemoryBytes = size_t{256} << 20;
constexpr int kGrpcThreads = 16;
constexpr std::chrono::milliseconds kShutdownGrace(1000);

std::string RandomText(int length) {
  static constexpr char kAlphabet[] = "abcdefghijklmnopqrstuvwxyz234567";  // base32
  std::random_device device;
  std::string text(length, ' ');
  for (char& c : text) c = kAlphabet[device() % 32];
  return text;
}

void Configure(grpc::ServerBuilder& builder, int max_message_bytes) {
  // gRPC shares ports by default: a second coordinator would take half of the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kMinPingIntervalMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.SetMaxReceiveMessageSize(max_message_bytes);
  grpc::ResourceQuota quota("ijepa-coordinator");
  quota.Resize(kGrpcMemoryBytes);
  quota.SetMaxThreads(kGrpcThreads);
  builder.SetResourceQuota(quota);
  // Only the reflection service is synchronous.
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MAX_POLLERS, 2);
}

// Serves `services` on `address`; `actual` becomes the address with its real port.
absl::StatusOr<std::unique_ptr<grpc::Server>> Serve(const std::string& address,
                                                    int max_message_bytes,
                                                    const std::vector<grpc::Service*>& services,
                                                    std::string& actual) {
  grpc::ServerBuilder builder;
  Configure(builder, max_message_bytes);
  int port = 0;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
  for (grpc::Service* service : services) builder.RegisterService(service);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", address, "; is the port taken? Choose another"));
  }
  actual = absl::StrCat(address.substr(0, address.rfind(':')), ":", port);
  return server;
}

}  // namespace

// Effects of the core to streams and watchers.
class Server::Effects : public Outlet {
 public:
  Effects(WorkerStreams& streams, Watchers& watchers) : streams_(streams), watchers_(watchers) {}
  void Send(uint64_t stream, const v1::CoordinatorMessage& message) override {
    streams_.Send(stream, message);
  }
  void Close(uint64_t stream, const absl::Status& why) override { streams_.Close(stream, why); }
  void CloseAll(const absl::Status& why) override { streams_.CloseAll(why); }
  void Changed(const Job& job) override { watchers_.Changed(job); }

 private:
  WorkerStreams& streams_;
  Watchers& watchers_;
};

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Settings& settings, Clock& clock) {
  IJEPA_ASSIGN_OR_RETURN(std::unique_ptr<Store> store, SqliteStore::Open(settings.data_dir));
  return Start(settings, clock, std::move(store));
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Settings& settings, Clock& clock,
                                                      std::unique_ptr<Store> store) {
  auto server = absl::WrapUnique(new Server(clock, std::move(store), settings.data_dir));
  IJEPA_RETURN_IF_ERROR(server->StartMetrics(settings));
  IJEPA_RETURN_IF_ERROR(server->StartState(settings));
  IJEPA_RETURN_IF_ERROR(server->Listen(settings));
  IJEPA_RETURN_IF_ERROR(server->WriteAddresses(settings.data_dir));
  return server;
}

Server::Server(Clock& clock, std::unique_ptr<Store> store, const std::string& data_dir)
    : clock_(clock),
      store_(std::move(store)),
      logs_({absl::StrCat(data_dir, "/logs")}, clock),
      streams_(logs_),
      effects_(std::make_unique<Effects>(streams_, watchers_)) {}

Server::~Server() { Shutdown(); }

absl::Status Server::StartMetrics(const Settings& settings) {
  if (settings.metrics_listen == "none") return absl::OkStatus();
  IJEPA_ASSIGN_OR_RETURN(metrics_, MetricsServer::Start(settings.metrics_listen));
  commit_metrics_ = std::make_unique<CommitMetrics>(metrics_->registry());
  return absl::OkStatus();
}

absl::Status Server::StartState(const Settings& settings) {
  StateThread::Options options;
  options.core = settings.core;
  if (commit_metrics_ != nullptr) {
    options.on_commit = [metrics = commit_metrics_.get()](absl::Duration latency, bool ok) {
      metrics->Observe(latency, ok);
    };
  }
  IJEPA_ASSIGN_OR_RETURN(state_,
                         StateThread::Start(std::move(options), *store_, clock_, *effects_));
  IJEPA_ASSIGN_OR_RETURN(history_, HistoryThread::Start(*store_));
  job_reader_ = std::make_unique<JobReader>(*state_, *history_);
  streams_.Attach(*state_, *history_);
  watchers_.Attach(*state_, *job_reader_);
  if (metrics_ != nullptr) {
    collector_ = std::make_shared<StateCollector>(*state_);
    metrics_->AddCollectable(collector_);
  }
  return absl::OkStatus();
}

absl::Status Server::Listen(const Settings& settings) {
  v1::ServerInfo info;
  info.set_version(IJEPA_VERSION);
  info.set_coordinator_epoch(state_->epoch());
  *info.mutable_start_time() = ToProto(clock_.Now());
  log_readers_ = std::make_unique<LogReaders>(*state_, *job_reader_, logs_);
  job_service_ = std::make_unique<JobService>(*state_, *job_reader_, watchers_, RandomText);
  checkpoint_service_ = std::make_unique<CheckpointService>(*state_, *job_reader_);
  node_service_ = std::make_unique<NodeService>(*state_);
  queue_service_ = std::make_unique<QueueService>(*state_, settings.core.scheduling);
  log_service_ = std::make_unique<LogService>(*log_readers_);
  system_service_ = std::make_unique<SystemService>(std::move(info));
  worker_service_ = std::make_unique<WorkerService>(streams_);
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  IJEPA_ASSIGN_OR_RETURN(client_server_,
                         Serve(settings.listen, kMaxClientMessageBytes,
                               {job_service_.get(), checkpoint_service_.get(), node_service_.get(),
                                queue_service_.get(), log_service_.get(), system_service_.get()},
                               client_address_));
  IJEPA_ASSIGN_OR_RETURN(worker_server_, Serve(settings.worker_listen, kMaxWorkerMessageBytes,
                                               {worker_service_.get()}, worker_address_));
  return absl::OkStatus();
}

absl::Status Server::WriteAddresses(const std::string& data_dir) {
  const nlohmann::json addresses = {
      {"client", client_address_}, {"worker", worker_address_}, {"metrics", metrics_address()}};
  return WriteFileAtomically(absl::StrCat(data_dir, "/addresses.json"), addresses.dump() + "\n");
}

void Server::Shutdown() {
  // Calls first, while everything they wait for still answers; then who answers.
  const auto deadline = std::chrono::system_clock::now() + kShutdownGrace;
  streams_.CloseAll(absl::UnavailableError("the coordinator is stopping"));
  if (client_server_ != nullptr) client_server_->Shutdown(deadline);
  if (worker_server_ != nullptr) worker_server_->Shutdown(deadline);
  client_server_.reset();
  worker_server_.reset();
  if (state_ != nullptr) state_->Stop();
  if (history_ != nullptr) history_->Stop();
  logs_.Stop();
  // A scrape may still look at the state, which has stopped but is there.
  metrics_.reset();
}

}  // namespace ijepa::coordinator
