// See api.h.
#include "client/api.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <mutex>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ijepa/v1/auth.grpc.pb.h"
#include "ijepa/v1/coordinator.grpc.pb.h"

namespace ijepa::client {
namespace {

constexpr absl::Duration kFirstPause = absl::Milliseconds(100);
constexpr absl::Duration kLongestPause = absl::Seconds(1);
// Finds a peer that vanished without a word; the coordinator allows a ping every 20 s.
constexpr int kKeepaliveMs = 30'000;
constexpr int kKeepaliveTimeoutMs = 15'000;
// A job with its history and logs stays well below this.
constexpr int kMaxMessageBytes = 64 << 20;

std::shared_ptr<grpc::Channel> Connect(const std::string& address, const std::string& authority) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  // gRPC connects again after it has looked the name up again, by default 30 s after the last time.
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 200);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  auto credentials = grpc::InsecureChannelCredentials();
  if (!authority.empty()) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = authority;
    credentials = grpc::SslCredentials(options);
  }
  return grpc::CreateCustomChannel(address, credentials, arguments);
}

// gRPC's words for a connection that was refused repeat the address three times: the last part says
// why.
std::string WhyUnavailable(const std::string& message) {
  if (absl::StartsWith(message, "failed to connect")) {
    size_t last = message.rfind(": ");
    return absl::StrCat(" is unreachable: ",
                        last == std::string::npos ? message : message.substr(last + 2));
  }
  bool no_name = absl::StartsWith(message, "DNS resolution failed");
  return absl::StrCat(no_name ? " is unreachable: " : " is unavailable: ", message);
}

}  // namespace

// The channel, its stubs and the stream that Cancel would end.
class Api::Connection {
 public:
  explicit Connection(const Options& options)
      : address_(options.address),
        token_(options.token),
        channel_(Connect(options.address, options.authority)),
        arrays(v1::ArrayService::NewStub(channel_)),
        auth(v1::AuthService::NewStub(channel_)),
        jobs(v1::JobService::NewStub(channel_)),
        checkpoints(v1::CheckpointService::NewStub(channel_)),
        nodes(v1::NodeService::NewStub(channel_)),
        queues(v1::QueueService::NewStub(channel_)),
        logs(v1::LogService::NewStub(channel_)),
        system(v1::SystemService::NewStub(channel_)) {}

  absl::Status Convert(const grpc::Status& status) const {
    if (status.ok()) return absl::OkStatus();
    auto code = static_cast<absl::StatusCode>(status.error_code());
    if (code == absl::StatusCode::kUnavailable) {
      return absl::UnavailableError(
          absl::StrCat("coordinator ", address_, WhyUnavailable(status.error_message())));
    }
    if (code == absl::StatusCode::kDeadlineExceeded) {
      return absl::DeadlineExceededError(
          absl::StrCat("coordinator ", address_, " did not answer in time"));
    }
    return absl::Status(code, status.error_message());
  }

  // Calls once.
  template <typename Response, typename Call>
  absl::StatusOr<Response> Once(absl::Duration deadline, const Call& call) const {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + deadline));
    Prepare(context);
    Response response;
    absl::Status status = Convert(call(&context, &response));
    if (!status.ok()) return status;
    return response;
  }

  // Calls until there is an answer other than Unavailable, or `retry_for` has passed.
  template <typename Response, typename Call>
  absl::StatusOr<Response> Retried(absl::Duration deadline, absl::Duration retry_for,
                                   const Call& call) const {
    absl::Time give_up = absl::Now() + retry_for;
    for (absl::Duration pause = kFirstPause;; pause = std::min(pause * 2, kLongestPause)) {
      absl::StatusOr<Response> response = Once<Response>(deadline, call);
      if (!absl::IsUnavailable(response.status()) || absl::Now() + pause > give_up) return response;
      absl::SleepFor(pause);
    }
  }

  // Reads a stream that `open` starts.
  template <typename Item, typename Open>
  absl::Status Stream(absl::Time deadline, const Open& open,
                      const std::function<bool(const Item&)>& on_item) {
    grpc::ClientContext context;
    if (deadline != absl::InfiniteFuture()) context.set_deadline(absl::ToChronoTime(deadline));
    Prepare(context);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (cancelled_) return absl::CancelledError("interrupted");
      streaming_ = &context;
    }
    auto reader = open(&context);
    Item item;
    bool left = false;
    while (!left && reader->Read(&item)) left = !on_item(item);
    if (left) context.TryCancel();
    absl::Status status = Convert(reader->Finish());
    std::lock_guard<std::mutex> lock(mutex_);
    streaming_ = nullptr;
    if (cancelled_) return absl::CancelledError("interrupted");
    return left ? absl::OkStatus() : status;
  }

  void Cancel() {
    std::lock_guard<std::mutex> lock(mutex_);
    cancelled_ = true;
    if (streaming_ != nullptr) streaming_->TryCancel();
  }

 private:
  void Prepare(grpc::ClientContext& context) const {
    if (!token_.empty()) context.AddMetadata("authorization", absl::StrCat("Bearer ", token_));
  }

  std::string address_;
  std::string token_;
  std::shared_ptr<grpc::Channel> channel_;
  std::mutex mutex_;
  // Guarded by mutex_.
  bool cancelled_ = false;
  grpc::ClientContext* streaming_ = nullptr;

 public:
  std::unique_ptr<v1::ArrayService::Stub> arrays;
  std::unique_ptr<v1::AuthService::Stub> auth;
  std::unique_ptr<v1::JobService::Stub> jobs;
  std::unique_ptr<v1::CheckpointService::Stub> checkpoints;
  std::unique_ptr<v1::NodeService::Stub> nodes;
  std::unique_ptr<v1::QueueService::Stub> queues;
  std::unique_ptr<v1::LogService::Stub> logs;
  std::unique_ptr<v1::SystemService::Stub> system;
};

Api::Api(Options options) : options_(std::move(options)) {}

Api::~Api() = default;

Api::Connection& Api::connection() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (connection_ == nullptr) connection_ = std::make_unique<Connection>(options_);
  return *connection_;
}

std::string Api::Whole(const std::string& name, const char* kind) const {
  if (options_.project.empty() || absl::StartsWith(name, "projects/")) return name;
  return absl::StrCat("projects/", options_.project, "/", kind, "/", name);
}

template <typename Response, typename Stub, typename Request>
absl::StatusOr<Response> Api::Call(absl::Duration retry_for, Stub& stub,
                                   grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                                const Request&, Response*),
                                   const Request& request) {
  return connection().template Retried<Response>(
      options_.call_deadline, retry_for, [&](grpc::ClientContext* context, Response* response) {
        return (stub.*method)(context, request, response);
      });
}

absl::StatusOr<v1::Job> Api::CreateJob(const v1::CreateJobRequest& request) {
  return Call(options_.retry_writes_for, *connection().jobs, &v1::JobService::Stub::CreateJob,
              InProject(request));
}

absl::StatusOr<v1::Job> Api::GetJob(const std::string& name) {
  v1::GetJobRequest request;
  request.set_name(Whole(name));
  return Call(options_.retry_reads_for, *connection().jobs, &v1::JobService::Stub::GetJob, request);
}

absl::StatusOr<v1::ListJobsResponse> Api::ListJobs(const v1::ListJobsRequest& request) {
  return Call(options_.retry_reads_for, *connection().jobs, &v1::JobService::Stub::ListJobs,
              InProject(request));
}

absl::StatusOr<v1::Job> Api::CancelJob(const v1::CancelJobRequest& request) {
  return Call(options_.retry_writes_for, *connection().jobs, &v1::JobService::Stub::CancelJob,
              Whole(request));
}

absl::StatusOr<v1::Job> Api::HoldJob(const v1::HoldJobRequest& request) {
  return Call(options_.retry_writes_for, *connection().jobs, &v1::JobService::Stub::HoldJob,
              Whole(request));
}

absl::StatusOr<v1::Job> Api::ReleaseJob(const v1::ReleaseJobRequest& request) {
  return Call(options_.retry_writes_for, *connection().jobs, &v1::JobService::Stub::ReleaseJob,
              Whole(request));
}

absl::StatusOr<v1::Job> Api::PauseJob(const v1::PauseJobRequest& request) {
  return Call(options_.retry_writes_for, *connection().jobs, &v1::JobService::Stub::PauseJob,
              Whole(request));
}

absl::StatusOr<v1::Job> Api::ResumeJob(const v1::ResumeJobRequest& request) {
  return Call(options_.retry_writes_for, *connection().jobs, &v1::JobService::Stub::ResumeJob,
              Whole(request));
}

absl::StatusOr<v1::Job> Api::ForkJob(const v1::ForkJobRequest& request) {
  return Call(options_.retry_writes_for, *connection().jobs, &v1::JobService::Stub::ForkJob,
              Whole(request));
}

absl::StatusOr<v1::JobExplanation> Api::ExplainJob(const std::string& name) {
  v1::ExplainJobRequest request;
  request.set_name(Whole(name));
  return Call(options_.retry_reads_for, *connection().jobs, &v1::JobService::Stub::ExplainJob,
              request);
}

absl::StatusOr<v1::JobArray> Api::CreateArray(const v1::CreateArrayRequest& request) {
  return Call(options_.retry_writes_for, *connection().arrays, &v1::ArrayService::Stub::CreateArray,
              InProject(request));
}

absl::StatusOr<v1::JobArray> Api::GetArray(const std::string& name) {
  v1::GetArrayRequest request;
  request.set_name(Whole(name, "arrays"));
  return Call(options_.retry_reads_for, *connection().arrays, &v1::ArrayService::Stub::GetArray,
              request);
}

absl::StatusOr<v1::JobArray> Api::CancelArray(const std::string& name) {
  v1::CancelArrayRequest request;
  request.set_name(Whole(name, "arrays"));
  return Call(options_.retry_writes_for, *connection().arrays, &v1::ArrayService::Stub::CancelArray,
              request);
}

absl::StatusOr<v1::CreateTokenResponse> Api::CreateToken(const v1::CreateTokenRequest& request) {
  return Call(options_.retry_reads_for, *connection().auth, &v1::AuthService::Stub::CreateToken,
              request);
}

absl::StatusOr<v1::ListTokensResponse> Api::ListTokens() {
  const v1::ListTokensRequest request;
  return Call(options_.retry_reads_for, *connection().auth, &v1::AuthService::Stub::ListTokens,
              request);
}

absl::Status Api::RevokeToken(const std::string& name) {
  v1::RevokeTokenRequest request;
  request.set_name(name);
  return Call(options_.retry_writes_for, *connection().auth, &v1::AuthService::Stub::RevokeToken,
              request)
      .status();
}

absl::StatusOr<v1::Token> Api::WhoAmI() {
  const v1::WhoAmIRequest request;
  return Call(options_.retry_reads_for, *connection().auth, &v1::AuthService::Stub::WhoAmI,
              request);
}

absl::StatusOr<v1::ListAuditEventsResponse> Api::ListAuditEvents(
    const v1::ListAuditEventsRequest& request) {
  return Call(options_.retry_reads_for, *connection().auth, &v1::AuthService::Stub::ListAuditEvents,
              request);
}

absl::StatusOr<v1::BackupStoreResponse> Api::BackupStore(const v1::BackupStoreRequest& request) {
  return connection().Once<v1::BackupStoreResponse>(
      absl::Hours(24), [&](grpc::ClientContext* context, v1::BackupStoreResponse* response) {
        return connection().system->BackupStore(context, request, response);
      });
}

absl::StatusOr<v1::ListCheckpointsResponse> Api::ListCheckpoints(const std::string& job) {
  v1::ListCheckpointsRequest request;
  request.set_parent(Whole(job));
  return Call(options_.retry_reads_for, *connection().checkpoints,
              &v1::CheckpointService::Stub::ListCheckpoints, request);
}

absl::StatusOr<v1::Job> Api::PinCheckpoint(const std::string& name, bool pinned) {
  v1::PinCheckpointRequest pin;
  pin.set_name(Whole(name));
  v1::UnpinCheckpointRequest unpin;
  unpin.set_name(Whole(name));
  return connection().Retried<v1::Job>(
      options_.call_deadline, options_.retry_writes_for,
      [&](grpc::ClientContext* context, v1::Job* job) {
        auto& checkpoints = *connection().checkpoints;
        return pinned ? checkpoints.PinCheckpoint(context, pin, job)
                      : checkpoints.UnpinCheckpoint(context, unpin, job);
      });
}

absl::StatusOr<v1::ListNodesResponse> Api::ListNodes() {
  const v1::ListNodesRequest request;
  return Call(options_.retry_reads_for, *connection().nodes, &v1::NodeService::Stub::ListNodes,
              request);
}

absl::StatusOr<v1::Node> Api::ReleaseNode(const std::string& name) {
  v1::ReleaseNodeRequest request;
  request.set_name(name);
  return Call(options_.retry_writes_for, *connection().nodes, &v1::NodeService::Stub::ReleaseNode,
              request);
}

absl::StatusOr<v1::Node> Api::CordonNode(const std::string& name, const std::string& reason) {
  v1::CordonNodeRequest request;
  request.set_name(name);
  request.set_reason(reason);
  return connection().Retried<v1::Node>(options_.call_deadline, options_.retry_writes_for,
                                        [&](grpc::ClientContext* context, v1::Node* node) {
                                          return connection().nodes->CordonNode(context, request,
                                                                                node);
                                        });
}

absl::StatusOr<v1::Node> Api::UncordonNode(const std::string& name) {
  v1::UncordonNodeRequest request;
  request.set_name(name);
  return connection().Retried<v1::Node>(options_.call_deadline, options_.retry_writes_for,
                                        [&](grpc::ClientContext* context, v1::Node* node) {
                                          return connection().nodes->UncordonNode(context, request,
                                                                                  node);
                                        });
}

absl::StatusOr<v1::Node> Api::SetMaintenance(const v1::SetMaintenanceRequest& request) {
  return Call(options_.retry_writes_for, *connection().nodes,
              &v1::NodeService::Stub::SetMaintenance, request);
}

absl::StatusOr<v1::ListQueuesResponse> Api::ListQueues() {
  const v1::ListQueuesRequest request;
  return Call(options_.retry_reads_for, *connection().queues, &v1::QueueService::Stub::ListQueues,
              request);
}

absl::StatusOr<v1::ServerInfo> Api::GetServerInfo(absl::Duration deadline) {
  return connection().Once<v1::ServerInfo>(
      deadline, [&](grpc::ClientContext* context, v1::ServerInfo* info) {
        return connection().system->GetServerInfo(context, v1::GetServerInfoRequest(), info);
      });
}

absl::Status Api::WatchJob(const std::string& name, absl::Time deadline,
                           const std::function<bool(const v1::Job&)>& on_job) {
  v1::WatchJobRequest request;
  request.set_name(Whole(name));
  return connection().Stream<v1::Job>(
      deadline,
      [&](grpc::ClientContext* context) { return connection().jobs->WatchJob(context, request); },
      on_job);
}

absl::Status Api::WatchJobs(const v1::WatchJobsRequest& request, absl::Time deadline,
                            const std::function<bool(const v1::WatchJobsResponse&)>& on_jobs) {
  const v1::WatchJobsRequest whole = InProject(request);
  return connection().Stream<v1::WatchJobsResponse>(
      deadline,
      [&](grpc::ClientContext* context) { return connection().jobs->WatchJobs(context, whole); },
      on_jobs);
}

absl::Status Api::ReadLogs(const v1::ReadLogsRequest& request, absl::Time deadline,
                           const std::function<bool(const v1::LogLines&)>& on_lines) {
  v1::ReadLogsRequest whole = request;
  whole.set_job(Whole(request.job()));
  return connection().Stream<v1::LogLines>(
      deadline,
      [&](grpc::ClientContext* context) { return connection().logs->ReadLogs(context, whole); },
      on_lines);
}

void Api::Cancel() { connection().Cancel(); }

}  // namespace ijepa::client
