// The coordinator as the commands see it: one method per call, gRPC hidden. Nothing is connected
// before the first call, so that commands that work offline start fast.
#ifndef IJEPA_CLIENT_API_H_
#define IJEPA_CLIENT_API_H_

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ijepa/v1/auth.pb.h"
#include "ijepa/v1/coordinator.pb.h"

namespace grpc {
class ClientContext;
class Status;
}  // namespace grpc

namespace ijepa::client {

// Errors: the coordinator's own, with its message; Unavailable or DeadlineExceeded naming the
// address when it does not answer; Cancelled after Cancel. Calls are repeated on Unavailable for a
// bounded time: reads have no effect and writes carry a request_id. Thread-compatible but for
// Cancel.
class Api {
 public:
  struct Options {
    // HOST:PORT.
    std::string address;
    // Of jobs and arrays that are named by their id alone, of those that are made, and of lists.
    // Empty: the default one.
    std::string project;
    // Shown with every call; empty: none.
    std::string token;
    // Certificates (PEM) by one of which the coordinator must be certified; empty: no TLS.
    std::string authority;
    // Longest wait for one answer.
    absl::Duration call_deadline = absl::Seconds(15);
    // How long an Unavailable call is repeated. Longer rides out a restart of the coordinator,
    // shorter tells sooner that there is none.
    absl::Duration retry_reads_for = absl::Seconds(1);
    absl::Duration retry_writes_for = absl::Seconds(4);
  };

  explicit Api(Options options);
  ~Api();
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  absl::StatusOr<v1::Job> CreateJob(const v1::CreateJobRequest& request);
  absl::StatusOr<v1::Job> GetJob(const std::string& name);
  absl::StatusOr<v1::ListJobsResponse> ListJobs(const v1::ListJobsRequest& request);
  absl::StatusOr<v1::Job> CancelJob(const v1::CancelJobRequest& request);
  absl::StatusOr<v1::Job> HoldJob(const v1::HoldJobRequest& request);
  absl::StatusOr<v1::Job> ReleaseJob(const v1::ReleaseJobRequest& request);
  absl::StatusOr<v1::Job> PauseJob(const v1::PauseJobRequest& request);
  absl::StatusOr<v1::Job> ResumeJob(const v1::ResumeJobRequest& request);
  absl::StatusOr<v1::Job> ForkJob(const v1::ForkJobRequest& request);
  absl::StatusOr<v1::JobExplanation> ExplainJob(const std::string& name);
  absl::StatusOr<v1::JobArray> CreateArray(const v1::CreateArrayRequest& request);
  absl::StatusOr<v1::JobArray> GetArray(const std::string& name);
  absl::StatusOr<v1::JobArray> CancelArray(const std::string& name);
  absl::StatusOr<v1::CreateTokenResponse> CreateToken(const v1::CreateTokenRequest& request);
  absl::StatusOr<v1::ListTokensResponse> ListTokens();
  absl::Status RevokeToken(const std::string& name);
  absl::StatusOr<v1::Token> WhoAmI();
  absl::StatusOr<v1::ListAuditEventsResponse> ListAuditEvents(
      const v1::ListAuditEventsRequest& request);
  // Once, however long it takes.
  absl::StatusOr<v1::BackupStoreResponse> BackupStore(const v1::BackupStoreRequest& request);
  absl::StatusOr<v1::ListCheckpointsResponse> ListCheckpoints(const std::string& job);
  // `name`: {job}/checkpoints/{step}.
  absl::StatusOr<v1::Job> PinCheckpoint(const std::string& name, bool pinned);
  absl::StatusOr<v1::ListNodesResponse> ListNodes();
  absl::StatusOr<v1::Node> ReleaseNode(const std::string& name);
  absl::StatusOr<v1::Node> CordonNode(const std::string& name, const std::string& reason);
  absl::StatusOr<v1::Node> UncordonNode(const std::string& name);
  absl::StatusOr<v1::Node> SetMaintenance(const v1::SetMaintenanceRequest& request);
  absl::StatusOr<v1::ListQueuesResponse> ListQueues();
  // One try, for at most `deadline`.
  absl::StatusOr<v1::ServerInfo> GetServerInfo(absl::Duration deadline);

  // Calls `on_job` with the job now and after every change until the stream ends, `on_job` answers
  // false, or `deadline` (DeadlineExceeded). One stream, never repeated: who watches decides.
  absl::Status WatchJob(const std::string& name, absl::Time deadline,
                        const std::function<bool(const v1::Job&)>& on_job);
  // As WatchJob, for lists of jobs.
  absl::Status WatchJobs(const v1::WatchJobsRequest& request, absl::Time deadline,
                         const std::function<bool(const v1::WatchJobsResponse&)>& on_jobs);
  // As WatchJob, for log lines.
  absl::Status ReadLogs(const v1::ReadLogsRequest& request, absl::Time deadline,
                        const std::function<bool(const v1::LogLines&)>& on_lines);

  // Ends a running stream and every later one with Cancelled. Thread-safe.
  void Cancel();

  const std::string& address() const { return options_.address; }

 private:
  class Connection;
  // A call that may be repeated: `method` of `stub`.
  template <typename Response, typename Stub, typename Request>
  absl::StatusOr<Response> Call(absl::Duration retry_for, Stub& stub,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request);
  Connection& connection();
  // The whole name of what is named by its id alone; `kind`: jobs or arrays.
  std::string Whole(const std::string& name, const char* kind = "jobs") const;
  template <typename Request>
  Request Whole(Request request) const {
    request.set_name(Whole(request.name()));
    return request;
  }
  template <typename Request>
  Request InProject(Request request) const {
    if (request.project().empty()) request.set_project(options_.project);
    return request;
  }

  const Options options_;
  std::mutex mutex_;
  // Guarded by mutex_ until it is made, constant afterwards.
  std::unique_ptr<Connection> connection_;
};

}  // namespace ijepa::client

#endif  // IJEPA_CLIENT_API_H_
