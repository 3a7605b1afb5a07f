// See server.h.
#include "coordinator/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/token_file.h"
#include "coordinator/backends/make_backend.h"
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
// Streams are looked through this often for those whose time is over.
constexpr absl::Duration kReviewInterval = absl::Milliseconds(500);
// 5 bits each.
constexpr int kSecretLength = 52;

std::string DrawText(int length) {
  static constexpr char kAlphabet[] = "abcdefghijklmnopqrstuvwxyz234567";  // base32
  std::string text(length, ' ');
  // The kernel's own, in one call: a word of std::random_device costs up to microseconds.
  IJEPA_CHECK(getentropy(text.data(), text.size()) == 0);
  for (char& c : text) c = kAlphabet[static_cast<unsigned char>(c) % 32];
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

// Whether nobody else can be told to come there: any free port, or every address of this machine.
bool IsNowhere(const std::string& address) {
  return absl::EndsWith(address, ":0") || absl::StartsWith(address, "0.0.0.0:") ||
         absl::StartsWith(address, "[::]:");
}

// The same from start to start, so that nobody need look again.
absl::StatusOr<std::string> KeptSecret(const std::string& data_dir, const char* file) {
  const std::string path = absl::StrCat(data_dir, "/", file);
  absl::StatusOr<std::string> kept = ReadTokenFile(path);
  if (!absl::IsNotFound(kept.status())) return kept;
  IJEPA_RETURN_IF_ERROR(MakeFolders(data_dir));
  const std::string secret = DrawText(kSecretLength);
  IJEPA_RETURN_IF_ERROR(WriteToken(path, secret));
  return secret;
}

// Where something listens, and who may come.
struct Listener {
  std::shared_ptr<grpc::ServerCredentials> credentials;
  // With its real port.
  std::string address;
};

// Serves `services` on `address`; the listener's address is filled in.
absl::StatusOr<std::unique_ptr<grpc::Server>> Serve(const std::string& address,
                                                    int max_message_bytes,
                                                    const std::vector<grpc::Service*>& services,
                                                    Listener& listener) {
  grpc::ServerBuilder builder;
  Configure(builder, max_message_bytes);
  int port = 0;
  builder.AddListeningPort(address, listener.credentials, &port);
  for (grpc::Service* service : services) builder.RegisterService(service);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", address, "; is the port taken? Choose another"));
  }
  listener.address = absl::StrCat(address.substr(0, address.rfind(':')), ":", port);
  return server;
}

// Of clients (`authority` is empty) or of workers, who must show a certificate of `authority`.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> CredentialsFor(
    const Settings& settings, const std::string& authority) {
  if (settings.tls_certificate.empty()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options(
      authority.empty() ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                        : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  grpc::SslServerCredentialsOptions::PemKeyCertPair pair;
  IJEPA_ASSIGN_OR_RETURN(pair.private_key, ReadFile(settings.tls_key));
  IJEPA_ASSIGN_OR_RETURN(pair.cert_chain, ReadFile(settings.tls_certificate));
  options.pem_key_cert_pairs.push_back(std::move(pair));
  if (!authority.empty()) {
    IJEPA_ASSIGN_OR_RETURN(options.pem_root_certs, ReadFile(authority));
  }
  return grpc::SslServerCredentials(options);
}

}  // namespace

// Effects of the core to streams and watchers.
class Server::Effects : public Outlet {
 public:
  Effects(WorkerStreams& streams, Watchers& watchers, ListWatchers& list_watchers)
      : streams_(streams), watchers_(watchers), list_watchers_(list_watchers) {}
  // Before the state thread starts.
  void Attach(Gate& gate, BackendHub& backends) {
    gate_ = &gate;
    backends_ = &backends;
  }
  void Send(uint64_t stream, const v1::CoordinatorMessage& message) override {
    streams_.Send(stream, message);
  }
  void Close(uint64_t stream, const absl::Status& why) override { streams_.Close(stream, why); }
  void CloseAll(const absl::Status& why) override { streams_.CloseAll(why); }
  void Changed(const Job& job) override {
    watchers_.Changed(job);
    list_watchers_.Changed(job);
  }
  void AfterTurn(const State& state, absl::Duration now) override {
    list_watchers_.AfterTurn(state, now);
    if (now < next_review_) return;
    next_review_ = now + kReviewInterval;
    watchers_.Review();
    list_watchers_.Review();
    streams_.Review(now);
  }
  void TokensChanged(const State& state) override { gate_->SetTokens(state.tokens); }
  void AllocationChanged(const std::string& uid, const Job* job) override {
    backends_->Changed(uid, job);
  }
  void AllocationsReset(const State& state) override { backends_->Reset(state); }

 private:
  Gate* gate_ = nullptr;
  BackendHub* backends_ = nullptr;
  WorkerStreams& streams_;
  Watchers& watchers_;
  ListWatchers& list_watchers_;
  absl::Duration next_review_;
};

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Settings& settings, Clock& clock) {
  IJEPA_ASSIGN_OR_RETURN(std::unique_ptr<Store> store, SqliteStore::Open(settings.data_dir));
  return Start(settings, clock, std::move(store));
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Settings& settings, Clock& clock,
                                                      std::unique_ptr<Store> store) {
  auto server = absl::WrapUnique(new Server(settings, clock, std::move(store)));
  IJEPA_RETURN_IF_ERROR(server->StartMetrics(settings));
  IJEPA_RETURN_IF_ERROR(server->StartState(settings));
  IJEPA_RETURN_IF_ERROR(server->Listen(settings));
  // Not before the workers that it starts can come.
  server->backends_->Start([state = server->state_.get()](Command command) {
    state->Post(std::move(command), nullptr);
  });
  IJEPA_RETURN_IF_ERROR(server->WriteAddresses(settings.data_dir));
  return server;
}

Server::Server(const Settings& settings, Clock& clock, std::unique_ptr<Store> store)
    : clock_(clock),
      store_(std::move(store)),
      logs_({absl::StrCat(settings.data_dir, "/logs")}, clock),
      streams_(logs_, settings.hello_deadline),
      effects_(std::make_unique<Effects>(streams_, watchers_, list_watchers_)) {}

Server::~Server() { Shutdown(); }

absl::Status Server::StartMetrics(const Settings& settings) {
  if (settings.metrics_listen == "none") return absl::OkStatus();
  IJEPA_ASSIGN_OR_RETURN(metrics_, MetricsServer::Start(settings.metrics_listen));
  commit_metrics_ = std::make_unique<CommitMetrics>(metrics_->registry());
  return absl::OkStatus();
}

absl::Status Server::AddBackends(const Settings& settings) {
  IJEPA_ASSIGN_OR_RETURN(const std::string key, KeptSecret(settings.data_dir, "allocation.key"));
  tokens_ = std::make_unique<AllocationTokens>(key);
  backends_ = std::make_unique<BackendHub>(*tokens_, settings.core.scheduling);
  for (const auto& [name, given] : settings.backends) {
    BackendSettings backend = given;
    backend.shared_folder = settings.core.checkpoint_root;
    if (backend.coordinator.empty()) backend.coordinator = settings.worker_listen;
    if (IsNowhere(backend.coordinator)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "backends.", name, ".coordinator is \"", given.coordinator, "\", and worker_listen ",
          settings.worker_listen, "; set the first to where workers reach this coordinator"));
    }
    IJEPA_ASSIGN_OR_RETURN(std::unique_ptr<Backend> made,
                           MakeBackend(name, backend, tokens_->ClusterName()));
    BackendDriver::Options options;
    options.poll = backend.poll;
    options.call = backend.call;
    backends_->Add(std::make_unique<BackendDriver>(std::move(made), options, clock_));
  }
  return absl::OkStatus();
}

absl::Status Server::StartState(const Settings& settings) {
  Gate::Options gate;
  gate.open = !settings.ask_for_token;
  if (settings.ask_for_token) {
    IJEPA_ASSIGN_OR_RETURN(local_secret_, KeptSecret(settings.data_dir, "local.token"));
  }
  gate.local_secret = local_secret_;
  gate.calls_per_second = settings.calls_per_second;
  gate.burst = settings.calls_at_once;
  gate_ = std::make_unique<Gate>(std::move(gate), clock_);
  IJEPA_RETURN_IF_ERROR(AddBackends(settings));
  effects_->Attach(*gate_, *backends_);
  StateThread::Options options;
  options.core = settings.core;
  options.core.check_outside = [hub = backends_.get()](const v1::JobSpec& spec) {
    return hub->Validate(spec);
  };
  if (commit_metrics_ != nullptr) {
    options.on_commit = [metrics = commit_metrics_.get()](absl::Duration latency, bool ok) {
      metrics->Observe(latency, ok);
    };
  }
  IJEPA_ASSIGN_OR_RETURN(state_,
                         StateThread::Start(std::move(options), *store_, clock_, *effects_));
  IJEPA_ASSIGN_OR_RETURN(history_, HistoryThread::Start(*store_));
  job_reader_ = std::make_unique<JobReader>(*state_, *history_, list_watchers_);
  streams_.Attach(*state_, *history_, *tokens_);
  watchers_.Attach({state_.get(), job_reader_.get(), gate_.get()});
  list_watchers_.Attach(*state_, *gate_);
  if (metrics_ != nullptr) {
    collector_ = std::make_shared<StateCollector>(*state_);
    metrics_->AddCollectable(collector_);
  }
  return absl::OkStatus();
}

void Server::MakeServices(const Settings& settings) {
  v1::ServerInfo info;
  info.set_version(IJEPA_VERSION);
  info.set_coordinator_epoch(state_->epoch());
  *info.mutable_start_time() = ToProto(clock_.Now());
  calls_ = std::make_unique<ClientCalls>(*state_, *gate_);
  backups_ =
      std::make_unique<Backups>(*store_, clock_, absl::StrCat(settings.data_dir, "/backups"));
  log_readers_ =
      std::make_unique<LogReaders>(LogReaders::Parts{*state_, *job_reader_, logs_, *gate_});
  job_service_ = std::make_unique<JobService>(
      JobService::Parts{*calls_, *job_reader_, watchers_, list_watchers_, DrawText, settings.core});
  array_service_ = std::make_unique<ArrayService>(*calls_, *job_reader_, DrawText);
  auth_service_ =
      std::make_unique<AuthService>(AuthService::Parts{*calls_, *history_, clock_, DrawText});
  checkpoint_service_ = std::make_unique<CheckpointService>(*calls_, *job_reader_);
  node_service_ = std::make_unique<NodeService>(*calls_, *backends_);
  queue_service_ = std::make_unique<QueueService>(*calls_, settings.core.scheduling);
  log_service_ = std::make_unique<LogService>(*gate_, *log_readers_);
  system_service_ = std::make_unique<SystemService>(*calls_, *backups_, std::move(info));
  worker_service_ = std::make_unique<WorkerService>(streams_, !settings.tls_authority.empty());
}

absl::Status Server::Listen(const Settings& settings) {
  MakeServices(settings);
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  Listener clients;
  IJEPA_ASSIGN_OR_RETURN(clients.credentials, CredentialsFor(settings, ""));
  IJEPA_ASSIGN_OR_RETURN(
      client_server_, Serve(settings.listen, kMaxClientMessageBytes,
                            {job_service_.get(), array_service_.get(), auth_service_.get(),
                             checkpoint_service_.get(), node_service_.get(), queue_service_.get(),
                             log_service_.get(), system_service_.get()},
                            clients));
  client_address_ = clients.address;
  Listener workers;
  IJEPA_ASSIGN_OR_RETURN(workers.credentials, CredentialsFor(settings, settings.tls_authority));
  IJEPA_ASSIGN_OR_RETURN(worker_server_, Serve(settings.worker_listen, kMaxWorkerMessageBytes,
                                               {worker_service_.get()}, workers));
  worker_address_ = workers.address;
  // Not before the port is ours: the file may be that of another coordinator on it.
  if (settings.ask_for_token) {
    IJEPA_ASSIGN_OR_RETURN(token_file_, WriteTokenFile(client_address_, local_secret_));
  }
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
  backups_.reset();
  if (!token_file_.empty()) std::remove(token_file_.c_str());
  token_file_.clear();
  if (backends_ != nullptr) backends_->Stop();
  if (state_ != nullptr) state_->Stop();
  if (history_ != nullptr) history_->Stop();
  logs_.Stop();
  // A scrape may still look at the state, which has stopped but is there.
  metrics_.reset();
}

}  // namespace ijepa::coordinator
