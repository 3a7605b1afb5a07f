// See fake_coordinator.h.
#include "tests/fakes/fake_coordinator.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"

namespace ijepa {
namespace {

constexpr auto kPoll = std::chrono::milliseconds(5);
constexpr auto kPatience = std::chrono::seconds(10);

std::string LastPart(const std::string& name) { return name.substr(name.rfind('/') + 1); }

grpc::Status NoSuchJob(const std::string& name) {
  return {grpc::StatusCode::NOT_FOUND, absl::StrCat("no job ", name)};
}

}  // namespace

class FakeCoordinator::Jobs : public v1::JobService::Service {
 public:
  explicit Jobs(FakeCoordinator& owner) : owner_(owner) {}

  grpc::Status CreateJob(grpc::ServerContext*, const v1::CreateJobRequest* request,
                         v1::Job* job) override {
    {
      std::lock_guard<std::mutex> lock(owner_.mutex_);
      owner_.creates_.push_back(*request);
    }
    if (grpc::Status failure = owner_.NextFailure(); !failure.ok()) return failure;
    std::lock_guard<std::mutex> lock(owner_.mutex_);
    v1::Job& created = owner_.created_[request->request_id()];
    if (created.name().empty()) {
      created.set_name(absl::StrCat("projects/default/jobs/", request->spec().name(), "-",
                                    owner_.created_.size()));
      *created.mutable_spec() = request->spec();
      created.mutable_status()->set_state(v1::JOB_STATE_QUEUED);
      owner_.jobs_.push_back(created);
    }
    *job = created;
    return grpc::Status::OK;
  }

  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest* request,
                      v1::Job* job) override {
    if (grpc::Status failure = owner_.NextFailure(); !failure.ok()) return failure;
    return owner_.FindJob(request->name(), job) ? grpc::Status::OK : NoSuchJob(request->name());
  }

  grpc::Status ListJobs(grpc::ServerContext*, const v1::ListJobsRequest* request,
                        v1::ListJobsResponse* response) override {
    if (grpc::Status failure = owner_.NextFailure(); !failure.ok()) return failure;
    std::lock_guard<std::mutex> lock(owner_.mutex_);
    owner_.lists_.push_back(*request);
    int first = 0;
    if (!request->page_token().empty() && !absl::SimpleAtoi(request->page_token(), &first)) {
      return {grpc::StatusCode::INVALID_ARGUMENT, "page_token"};
    }
    int size = std::min(owner_.page_limit_, request->page_size());
    int last = std::min<int>(first + size, static_cast<int>(owner_.jobs_.size()));
    for (int i = first; i < last; ++i) *response->add_jobs() = owner_.jobs_[i];
    if (last < static_cast<int>(owner_.jobs_.size())) {
      response->set_next_page_token(absl::StrCat(last));
    }
    return grpc::Status::OK;
  }

  grpc::Status CancelJob(grpc::ServerContext*, const v1::CancelJobRequest* request,
                         v1::Job* job) override {
    if (grpc::Status failure = owner_.NextFailure(); !failure.ok()) return failure;
    if (!owner_.FindJob(request->name(), job)) return NoSuchJob(request->name());
    std::lock_guard<std::mutex> lock(owner_.mutex_);
    owner_.cancels_.push_back(*request);
    job->mutable_status()->set_state(v1::JOB_STATE_CANCELLING);
    return grpc::Status::OK;
  }

  grpc::Status WatchJob(grpc::ServerContext* context, const v1::WatchJobRequest* request,
                        grpc::ServerWriter<v1::Job>* writer) override {
    v1::Job job;
    if (!owner_.FindJob(request->name(), &job)) return NoSuchJob(request->name());
    FakeStream<v1::Job> stream;
    {
      std::lock_guard<std::mutex> lock(owner_.mutex_);
      if (owner_.watches_.empty()) {
        stream.items.push_back(job);
      } else {
        stream = owner_.watches_.front();
        owner_.watches_.pop_front();
      }
    }
    return owner_.Play(context, writer, stream);
  }

  grpc::Status WatchJobs(grpc::ServerContext* context, const v1::WatchJobsRequest* request,
                         grpc::ServerWriter<v1::WatchJobsResponse>* writer) override {
    FakeStream<v1::WatchJobsResponse> stream;
    stream.end = {grpc::StatusCode::UNIMPLEMENTED, "no stream was pushed"};
    {
      std::lock_guard<std::mutex> lock(owner_.mutex_);
      owner_.list_watches_.push_back(*request);
      if (!owner_.list_streams_.empty()) {
        stream = owner_.list_streams_.front();
        owner_.list_streams_.pop_front();
      }
    }
    return owner_.Play(context, writer, stream);
  }

 private:
  FakeCoordinator& owner_;
};

class FakeCoordinator::Checkpoints : public v1::CheckpointService::Service {
 public:
  explicit Checkpoints(FakeCoordinator& owner) : owner_(owner) {}

  grpc::Status ListCheckpoints(grpc::ServerContext*, const v1::ListCheckpointsRequest* request,
                               v1::ListCheckpointsResponse* response) override {
    if (grpc::Status failure = owner_.NextFailure(); !failure.ok()) return failure;
    v1::Job job;
    if (!owner_.FindJob(request->parent(), &job)) return NoSuchJob(request->parent());
    std::lock_guard<std::mutex> lock(owner_.mutex_);
    for (const auto& checkpoint : owner_.checkpoint_list_) {
      *response->add_checkpoints() = checkpoint;
    }
    return grpc::Status::OK;
  }

 private:
  FakeCoordinator& owner_;
};

class FakeCoordinator::Nodes : public v1::NodeService::Service {
 public:
  explicit Nodes(FakeCoordinator& owner) : owner_(owner) {}

  grpc::Status ListNodes(grpc::ServerContext*, const v1::ListNodesRequest*,
                         v1::ListNodesResponse* response) override {
    if (grpc::Status failure = owner_.NextFailure(); !failure.ok()) return failure;
    std::lock_guard<std::mutex> lock(owner_.mutex_);
    for (const auto& node : owner_.node_list_) *response->add_nodes() = node;
    for (const auto& backend : owner_.backend_list_) *response->add_backends() = backend;
    return grpc::Status::OK;
  }
  // Every node is known.
  grpc::Status ReleaseNode(grpc::ServerContext*, const v1::ReleaseNodeRequest* request,
                           v1::Node* response) override {
    return NameNode(*request, response);
  }
  grpc::Status CordonNode(grpc::ServerContext*, const v1::CordonNodeRequest* request,
                          v1::Node* response) override {
    response->set_cordoned(true);
    return NameNode(*request, response);
  }
  grpc::Status SetMaintenance(grpc::ServerContext*, const v1::SetMaintenanceRequest* request,
                              v1::Node* response) override {
    {
      std::lock_guard<std::mutex> lock(owner_.mutex_);
      owner_.maintenances_.push_back(*request);
    }
    *response->mutable_maintenance() = request->windows();
    return NameNode(*request, response);
  }
  grpc::Status UncordonNode(grpc::ServerContext*, const v1::UncordonNodeRequest* request,
                            v1::Node* response) override {
    return NameNode(*request, response);
  }

 private:
  template <typename Request>
  grpc::Status NameNode(const Request& request, v1::Node* response) {
    if (grpc::Status failure = owner_.NextFailure(); !failure.ok()) return failure;
    response->set_name(request.name());
    return grpc::Status::OK;
  }

  FakeCoordinator& owner_;
};

class FakeCoordinator::Queues : public v1::QueueService::Service {
 public:
  explicit Queues(FakeCoordinator& owner) : owner_(owner) {}

  grpc::Status ListQueues(grpc::ServerContext*, const v1::ListQueuesRequest*,
                          v1::ListQueuesResponse* response) override {
    if (grpc::Status failure = owner_.NextFailure(); !failure.ok()) return failure;
    std::lock_guard<std::mutex> lock(owner_.mutex_);
    for (const auto& queue : owner_.queue_list_) *response->add_queues() = queue;
    return grpc::Status::OK;
  }

 private:
  FakeCoordinator& owner_;
};

class FakeCoordinator::Logs : public v1::LogService::Service {
 public:
  explicit Logs(FakeCoordinator& owner) : owner_(owner) {}

  grpc::Status ReadLogs(grpc::ServerContext* context, const v1::ReadLogsRequest* request,
                        grpc::ServerWriter<v1::LogLines>* writer) override {
    v1::Job job;
    if (!owner_.FindJob(request->job(), &job)) return NoSuchJob(request->job());
    FakeStream<v1::LogLines> stream;
    {
      std::lock_guard<std::mutex> lock(owner_.mutex_);
      owner_.log_reads_.push_back(*request);
      if (!owner_.log_streams_.empty()) {
        stream = owner_.log_streams_.front();
        owner_.log_streams_.pop_front();
      }
    }
    return owner_.Play(context, writer, stream);
  }

 private:
  FakeCoordinator& owner_;
};

class FakeCoordinator::System : public v1::SystemService::Service {
 public:
  explicit System(FakeCoordinator& owner) : owner_(owner) {}

  grpc::Status GetServerInfo(grpc::ServerContext*, const v1::GetServerInfoRequest*,
                             v1::ServerInfo* info) override {
    if (grpc::Status failure = owner_.NextFailure(); !failure.ok()) return failure;
    info->set_version("9.8.7");
    info->set_coordinator_epoch(3);
    return grpc::Status::OK;
  }

 private:
  FakeCoordinator& owner_;
};

FakeCoordinator::FakeCoordinator()
    : job_service_(std::make_unique<Jobs>(*this)),
      checkpoint_service_(std::make_unique<Checkpoints>(*this)),
      node_service_(std::make_unique<Nodes>(*this)),
      queue_service_(std::make_unique<Queues>(*this)),
      log_service_(std::make_unique<Logs>(*this)),
      system_service_(std::make_unique<System>(*this)) {
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(job_service_.get());
  builder.RegisterService(checkpoint_service_.get());
  builder.RegisterService(node_service_.get());
  builder.RegisterService(queue_service_.get());
  builder.RegisterService(log_service_.get());
  builder.RegisterService(system_service_.get());
  server_ = builder.BuildAndStart();
  IJEPA_CHECK(server_ != nullptr);
  address_ = absl::StrCat("127.0.0.1:", port);
}

FakeCoordinator::~FakeCoordinator() {
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
}

void FakeCoordinator::AddJob(const v1::Job& job) {
  std::lock_guard<std::mutex> lock(mutex_);
  jobs_.push_back(job);
}

void FakeCoordinator::AddCheckpoint(const v1::Checkpoint& checkpoint) {
  std::lock_guard<std::mutex> lock(mutex_);
  checkpoint_list_.push_back(checkpoint);
}

void FakeCoordinator::AddQueue(const v1::Queue& queue) {
  std::lock_guard<std::mutex> lock(mutex_);
  queue_list_.push_back(queue);
}

void FakeCoordinator::PushListWatch(FakeStream<v1::WatchJobsResponse> stream) {
  std::lock_guard<std::mutex> lock(mutex_);
  list_streams_.push_back(std::move(stream));
}

std::vector<v1::ListJobsRequest> FakeCoordinator::lists() {
  std::lock_guard<std::mutex> lock(mutex_);
  return lists_;
}

std::vector<v1::WatchJobsRequest> FakeCoordinator::list_watches() {
  std::lock_guard<std::mutex> lock(mutex_);
  return list_watches_;
}

std::vector<v1::SetMaintenanceRequest> FakeCoordinator::maintenances() {
  std::lock_guard<std::mutex> lock(mutex_);
  return maintenances_;
}

void FakeCoordinator::AddNode(const v1::Node& node) {
  std::lock_guard<std::mutex> lock(mutex_);
  node_list_.push_back(node);
}

void FakeCoordinator::AddBackend(const v1::BackendNodes& backend) {
  std::lock_guard<std::mutex> lock(mutex_);
  backend_list_.push_back(backend);
}

void FakeCoordinator::PushWatch(FakeStream<v1::Job> stream) {
  std::lock_guard<std::mutex> lock(mutex_);
  watches_.push_back(std::move(stream));
}

void FakeCoordinator::PushLogs(FakeStream<v1::LogLines> stream) {
  std::lock_guard<std::mutex> lock(mutex_);
  log_streams_.push_back(std::move(stream));
}

void FakeCoordinator::PushFailure(const grpc::Status& status) {
  std::lock_guard<std::mutex> lock(mutex_);
  failures_.push_back(status);
}

void FakeCoordinator::set_page_limit(int limit) {
  std::lock_guard<std::mutex> lock(mutex_);
  page_limit_ = limit;
}

std::vector<v1::CreateJobRequest> FakeCoordinator::creates() {
  std::lock_guard<std::mutex> lock(mutex_);
  return creates_;
}

std::vector<v1::CancelJobRequest> FakeCoordinator::cancels() {
  std::lock_guard<std::mutex> lock(mutex_);
  return cancels_;
}

std::vector<v1::ReadLogsRequest> FakeCoordinator::log_reads() {
  std::lock_guard<std::mutex> lock(mutex_);
  return log_reads_;
}

bool FakeCoordinator::WaitForHeldStream() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (!changed_.wait_for(lock, kPatience, [this] { return held_ > 0; })) return false;
  --held_;
  return true;
}

grpc::Status FakeCoordinator::NextFailure() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (failures_.empty()) return grpc::Status::OK;
  grpc::Status failure = failures_.front();
  failures_.pop_front();
  return failure;
}

bool FakeCoordinator::FindJob(const std::string& name, v1::Job* job) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (const v1::Job& known : jobs_) {
    if (known.name() == name || LastPart(known.name()) == name) {
      *job = known;
      return true;
    }
  }
  return false;
}

template <typename Item>
grpc::Status FakeCoordinator::Play(grpc::ServerContext* context, grpc::ServerWriter<Item>* writer,
                                   const FakeStream<Item>& stream) {
  for (const Item& item : stream.items) writer->Write(item);
  if (!stream.hold) return stream.end;
  std::unique_lock<std::mutex> lock(mutex_);
  ++held_;
  changed_.notify_all();
  while (!context->IsCancelled()) changed_.wait_for(lock, kPoll);
  return grpc::Status::CANCELLED;
}

}  // namespace ijepa
