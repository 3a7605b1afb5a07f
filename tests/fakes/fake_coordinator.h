// A coordinator for tests of clients: serves the services of coordinator.proto on a free port with
// jobs, streams and failures that the test has put in. Keeps nothing, starts nothing.
#ifndef IJEPA_TESTS_FAKES_FAKE_COORDINATOR_H_
#define IJEPA_TESTS_FAKES_FAKE_COORDINATOR_H_

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "ijepa/v1/coordinator.grpc.pb.h"

namespace ijepa {

// One answer of a streaming call.
template <typename Item>
struct FakeStream {
  std::vector<Item> items;
  // How it ends; ignored when it is held.
  grpc::Status end;
  // Stays open after the items until the client leaves.
  bool hold = false;
};

// Thread-safe. Jobs are found by name and by the last part of it.
class FakeCoordinator {
 public:
  FakeCoordinator();
  ~FakeCoordinator();
  FakeCoordinator(const FakeCoordinator&) = delete;
  FakeCoordinator& operator=(const FakeCoordinator&) = delete;

  // HOST:PORT to connect to.
  const std::string& address() const { return address_; }

  void AddJob(const v1::Job& job);
  void AddCheckpoint(const v1::Checkpoint& checkpoint);
  void AddNode(const v1::Node& node);
  void AddBackend(const v1::BackendNodes& backend);
  void AddQueue(const v1::Queue& queue);
  // Streams of WatchJob and ReadLogs, one per call, in order. Without one WatchJob sends the job
  // and ends, and ReadLogs ends at once.
  void PushWatch(FakeStream<v1::Job> stream);
  // Of WatchJobs; without one it ends with UNIMPLEMENTED.
  void PushListWatch(FakeStream<v1::WatchJobsResponse> stream);
  void PushLogs(FakeStream<v1::LogLines> stream);
  // The next calls of any unary method answer these instead.
  void PushFailure(const grpc::Status& status);
  // Largest number of jobs per page of ListJobs.
  void set_page_limit(int limit);

  // What was asked so far.
  std::vector<v1::CreateJobRequest> creates();
  std::vector<v1::CancelJobRequest> cancels();
  std::vector<v1::ReadLogsRequest> log_reads();
  std::vector<v1::ListJobsRequest> lists();
  std::vector<v1::WatchJobsRequest> list_watches();
  std::vector<v1::SetMaintenanceRequest> maintenances();
  // Waits until a stream is held open, each time for another one; false after ten seconds.
  bool WaitForHeldStream();

 private:
  class Jobs;
  class Checkpoints;
  class Nodes;
  class Queues;
  class Logs;
  class System;

  // The failure to answer with, or OK.
  grpc::Status NextFailure();
  bool FindJob(const std::string& name, v1::Job* job);
  template <typename Item>
  grpc::Status Play(grpc::ServerContext* context, grpc::ServerWriter<Item>* writer,
                    const FakeStream<Item>& stream);

  std::string address_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // All below guarded by mutex_.
  std::vector<v1::Job> jobs_;
  std::vector<v1::Checkpoint> checkpoint_list_;
  std::vector<v1::Node> node_list_;
  std::vector<v1::BackendNodes> backend_list_;
  std::vector<v1::Queue> queue_list_;
  std::deque<FakeStream<v1::WatchJobsResponse>> list_streams_;
  std::vector<v1::ListJobsRequest> lists_;
  std::vector<v1::WatchJobsRequest> list_watches_;
  std::vector<v1::SetMaintenanceRequest> maintenances_;
  std::deque<FakeStream<v1::Job>> watches_;
  std::deque<FakeStream<v1::LogLines>> log_streams_;
  std::deque<grpc::Status> failures_;
  std::vector<v1::CreateJobRequest> creates_;
  std::map<std::string, v1::Job> created_;
  std::vector<v1::CancelJobRequest> cancels_;
  std::vector<v1::ReadLogsRequest> log_reads_;
  int page_limit_ = 50;
  // Streams that were held open and not yet waited for.
  int held_ = 0;

  std::unique_ptr<Jobs> job_service_;
  std::unique_ptr<Checkpoints> checkpoint_service_;
  std::unique_ptr<Nodes> node_service_;
  std::unique_ptr<Queues> queue_service_;
  std::unique_ptr<Logs> log_service_;
  std::unique_ptr<System> system_service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace ijepa

#endif  // IJEPA_TESTS_FAKES_FAKE_COORDINATOR_H_
