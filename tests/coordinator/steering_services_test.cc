// Holds, pauses, forks, arrays, explanations and error details over gRPC.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "any_call.h"
#include "coordinator/core/explain.h"
#include "coordinator/core/lifecycle.h"
#include "fake_worker.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "services_fixture.h"

namespace ijepa::coordinator {
namespace {

using ::testing::HasSubstr;

class SteeringServicesTest : public ServicesTest {
 protected:
  // Calls a unary method of a stub.
  template <typename Stub, typename Request, typename Response>
  grpc::Status Call(Stub& stub,
                    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response& response) {
    grpc::ClientContext context;
    SetDeadline(context);
    return (stub.*method)(&context, request, &response);
  }

  template <typename Request>
  v1::Job Steer(grpc::Status (v1::JobService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                             v1::Job*),
                const std::string& name) {
    Request request;
    request.set_name(name);
    v1::Job job;
    const grpc::Status status = Call(*jobs, method, request, job);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return job;
  }

  // The detail of that kind; a default one if there is none.
  template <typename Detail>
  static Detail DetailOf(const grpc::Status& status) {
    google::rpc::Status details;
    EXPECT_TRUE(details.ParseFromString(status.error_details()));
    Detail detail;
    for (const auto& any : details.details()) {
      if (any.UnpackTo(&detail)) return detail;
    }
    ADD_FAILURE() << "no " << detail.GetTypeName() << " in " << details.DebugString();
    return detail;
  }

  v1::CreateArrayRequest Sweep() {
    v1::CreateArrayRequest request;
    *request.mutable_spec() = RequestFor("sweep", 1).spec();
    v1::MatrixAxis& axis = *request.add_matrix();
    axis.set_path("optimization.lr");
    for (const char* value : {"1e-3", "5e-4", "1e-4"}) axis.add_values(value);
    request.set_queue_anyway(true);
    request.set_request_id("sweep-1");
    return request;
  }
};

TEST_F(SteeringServicesTest, HoldsReleasesPausesAndResumes) {
  using Stub = v1::JobService::Stub;
  const std::string name = Submit("job", 1);
  EXPECT_EQ(Steer(&Stub::HoldJob, name).status().state(), v1::JOB_STATE_HELD);
  EXPECT_EQ(Steer(&Stub::ReleaseJob, name).status().state(), v1::JOB_STATE_QUEUED);
  EXPECT_EQ(Steer(&Stub::PauseJob, name).status().state(), v1::JOB_STATE_PAUSED);
  EXPECT_EQ(Steer(&Stub::ResumeJob, name).status().state(), v1::JOB_STATE_QUEUED);
  v1::HoldJobRequest stale;
  stale.set_name(name);
  stale.set_etag("r0");
  v1::Job job;
  const grpc::Status status = Call(*jobs, &Stub::HoldJob, stale, job);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(DetailOf<google::rpc::ErrorInfo>(status).reason(), "ETAG_MISMATCH");
}

// A job with a checkpoint and an array, and requests of every method about them.
class EveryChangeTest : public SteeringServicesTest {
 protected:
  void SetUp() override {
    SteeringServicesTest::SetUp();
    worker_ = std::make_unique<FakeWorker>(server->worker_address());
    worker_->Hello("node-a", 1);
    ASSERT_TRUE(worker_->ReadDesired(0));
    v1::CreateJobRequest create = RequestFor("job", 1);
    create.set_request_id("taken");
    v1::Job job;
    ASSERT_TRUE(Create(create, job).ok());
    job_ = job.name();
    ASSERT_TRUE(worker_->ReadDesired(1));
    worker_->Report(v1::RANK_PHASE_TRAINING);
    worker_->FromRank(0, StepOf(1));
    ASSERT_TRUE(worker_->OfferCheckpoint(1, "/c/1"));
    auto arrays = v1::ArrayService::NewStub(channel);
    v1::JobArray array;
    ASSERT_TRUE(Call(*arrays, &v1::ArrayService::Stub::CreateArray, Sweep(), array).ok());
    array_ = array.name();
  }

  // Of every method with the field, set to `text`: that it is refused with code and reason.
  void ExpectRefused(const std::string& field, const std::string& text, grpc::StatusCode code,
                     const std::string& reason, int methods) {
    std::set<std::string> asked;
    for (const Method* method : AllMethods()) {
      if (!HasField(*method, field)) continue;
      --methods;
      asked.insert(NameOf(*method));
      const std::string& service = method->service()->name();
      const auto request = RequestOf(*method);
      if (method->name() == "CreateJob") request->CopyFrom(RequestFor("other", 1));
      if (method->name() == "CreateArray") request->CopyFrom(Sweep());
      SetText(*request, "name",
              service == "ArrayService"        ? array_
              : service == "CheckpointService" ? job_ + "/checkpoints/1"
                                               : job_);
      SetText(*request, field, text);
      grpc::ClientContext context;
      SetDeadline(context);
      const grpc::Status status = CallAny(channel, *method, *request, context);
      EXPECT_EQ(status.error_code(), code) << NameOf(*method) << ": " << status.error_message();
      if (status.error_code() != code) continue;
      EXPECT_EQ(DetailOf<google::rpc::ErrorInfo>(status).reason(), reason) << NameOf(*method);
    }
    EXPECT_EQ(methods, 0);
    v1::ListAuditEventsResponse audit;
    auto auth = v1::AuthService::NewStub(channel);
    ASSERT_TRUE(
        Call(*auth, &v1::AuthService::Stub::ListAuditEvents, v1::ListAuditEventsRequest(), audit)
            .ok());
    std::set<std::string> refused;
    for (const v1::AuditEvent& event : audit.events()) {
      if (event.code() != "OK") refused.insert(event.method());
    }
    EXPECT_EQ(refused, asked) << "each is in the audit log";
    EXPECT_EQ(Get(job_).status().state(), v1::JOB_STATE_RUNNING);
  }

  std::unique_ptr<FakeWorker> worker_;
  std::string job_;
  std::string array_;
};

TEST_F(EveryChangeTest, IsRefusedUnderTheRequestIdOfAnother) {
  ExpectRefused("request_id", "taken", grpc::StatusCode::INVALID_ARGUMENT, "REQUEST_ID_REUSED", 11);
}

TEST_F(EveryChangeTest, IsRefusedOnWhatHasChangedSinceItWasSeen) {
  ExpectRefused("etag", "r0", grpc::StatusCode::ABORTED, "ETAG_MISMATCH", 7);
}

TEST_F(EveryChangeTest, OfOneMethodIsNotARepeatOfAnother) {
  const std::string name = Submit("other", 1);
  v1::HoldJobRequest hold;
  hold.set_name(name);
  hold.set_request_id("mine");
  v1::Job job;
  ASSERT_TRUE(Call(*jobs, &v1::JobService::Stub::HoldJob, hold, job).ok());
  EXPECT_TRUE(Call(*jobs, &v1::JobService::Stub::HoldJob, hold, job).ok());
  v1::ReleaseJobRequest release;
  release.set_name(name);
  release.set_request_id("mine");
  EXPECT_EQ(Call(*jobs, &v1::JobService::Stub::ReleaseJob, release, job).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Get(name).status().state(), v1::JOB_STATE_HELD);
}

TEST_F(SteeringServicesTest, ABadSpecIsDescribedFieldByField) {
  v1::CreateJobRequest request = RequestFor("job", 1);
  request.mutable_spec()->mutable_data()->set_batch_size(-8);
  request.mutable_spec()->mutable_optimization()->set_epochs(-1);
  v1::Job job;
  const auto details = DetailOf<google::rpc::BadRequest>(Create(request, job));
  ASSERT_EQ(details.field_violations_size(), 2);
  EXPECT_EQ(details.field_violations(0).field(), "data.batch_size");
  EXPECT_THAT(details.field_violations(1).description(), HasSubstr("optimization.epochs is -1"));
}

TEST_F(SteeringServicesTest, ASweepIsOneArrayOfManyJobs) {
  auto arrays = v1::ArrayService::NewStub(channel);
  v1::JobArray array;
  grpc::Status status = Call(*arrays, &v1::ArrayService::Stub::CreateArray, Sweep(), array);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(array.jobs_size(), 3);
  EXPECT_EQ(array.jobs(1).spec().optimization().lr(), 5e-4);
  EXPECT_EQ(array.jobs(1).array().settings(0).value(), "5e-4");
  EXPECT_EQ(array.states(0).count(), 3);
  v1::JobArray again;
  ASSERT_TRUE(Call(*arrays, &v1::ArrayService::Stub::CreateArray, Sweep(), again).ok());
  EXPECT_EQ(again.name(), array.name()) << "the same request";
  v1::CancelArrayRequest cancel;
  cancel.set_name(array.name());
  ASSERT_TRUE(Call(*arrays, &v1::ArrayService::Stub::CancelArray, cancel, array).ok());
  EXPECT_EQ(array.states(0).state(), v1::JOB_STATE_CANCELLED);
  v1::GetArrayRequest get;
  get.set_name("nothing");
  EXPECT_EQ(Call(*arrays, &v1::ArrayService::Stub::GetArray, get, array).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(SteeringServicesTest, ASweepWithAWrongValueStoresNothing) {
  auto arrays = v1::ArrayService::NewStub(channel);
  v1::CreateArrayRequest request = Sweep();
  request.mutable_matrix(0)->add_values("-1");
  v1::JobArray array;
  EXPECT_EQ(Call(*arrays, &v1::ArrayService::Stub::CreateArray, request, array).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  v1::ListJobsResponse all;
  ASSERT_TRUE(Call(*jobs, &v1::JobService::Stub::ListJobs, v1::ListJobsRequest(), all).ok());
  EXPECT_EQ(all.jobs_size(), 0);
}

TEST_F(SteeringServicesTest, AForkStartsFromACheckpointWithOtherValues) {
  FakeWorker worker(server->worker_address());
  worker.Hello("node-a", 1);
  ASSERT_TRUE(worker.ReadDesired(0));
  const std::string name = Submit("job", 1);
  ASSERT_TRUE(worker.ReadDesired(1));
  v1::ForkJobRequest request;
  request.set_name(name);
  request.set_hold(true);
  request.add_settings("optimization.lr=1e-4");
  v1::Job fork;
  EXPECT_EQ(Call(*jobs, &v1::JobService::Stub::ForkJob, request, fork).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION)
      << "there is no checkpoint yet";
  worker.Report(v1::RANK_PHASE_TRAINING);
  worker.FromRank(0, StepOf(1));
  ASSERT_TRUE(worker.OfferCheckpoint(1, "/c/1"));
  const grpc::Status status = Call(*jobs, &v1::JobService::Stub::ForkJob, request, fork);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(fork.status().state(), v1::JOB_STATE_HELD);
  EXPECT_EQ(fork.parent(), name);
  EXPECT_EQ(fork.spec().optimization().lr(), 1e-4);
  EXPECT_EQ(fork.spec().meta().read_checkpoint(), "/c/1");
}

TEST_F(SteeringServicesTest, ExplainsAJobThatWaits) {
  const std::string name = Submit("job", 1);
  v1::ExplainJobRequest request;
  request.set_name(name);
  v1::JobExplanation explained;
  ASSERT_TRUE(Call(*jobs, &v1::JobService::Stub::ExplainJob, request, explained).ok());
  EXPECT_EQ(explained.state(), v1::JOB_STATE_QUEUED);
  EXPECT_FALSE(explained.reason().code().empty());
  EXPECT_EQ(explained.owner(), "the scheduler");
  EXPECT_GT(explained.actions_size(), 0);
}

TEST(ExplainTest, EveryStateThatIsNotTheEndHasAnOwner) {
  for (int s = 1; s < v1::JobState_ARRAYSIZE; ++s) {
    const auto state = static_cast<v1::JobState>(s);
    EXPECT_EQ(RuleOf(state) == nullptr, IsTerminal(state)) << v1::JobState_Name(state);
  }
}

TEST_F(SteeringServicesTest, TheStoreIsBackedUpWhileItIsInUse) {
  const std::string name = Submit("job", 1);
  auto system = v1::SystemService::NewStub(channel);
  v1::BackupStoreRequest request;
  request.set_file_name("one.db");
  v1::BackupStoreResponse made;
  ASSERT_TRUE(Call(*system, &v1::SystemService::Stub::BackupStore, request, made).ok());
  EXPECT_EQ(made.path(), folder.path() + "/backups/one.db");
  EXPECT_GT(made.bytes(), 0);
  EXPECT_EQ(Call(*system, &v1::SystemService::Stub::BackupStore, request, made).error_code(),
            grpc::StatusCode::ALREADY_EXISTS);
  request.set_file_name("../two.db");
  EXPECT_EQ(Call(*system, &v1::SystemService::Stub::BackupStore, request, made).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

}  // namespace
}  // namespace ijepa::coordinator
