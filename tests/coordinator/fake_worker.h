// A worker's end of the stream, driven by hand over real gRPC.
#ifndef IJEPA_TESTS_COORDINATOR_FAKE_WORKER_H_
#define IJEPA_TESTS_COORDINATOR_FAKE_WORKER_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>

#include "ijepa/v1/worker.grpc.pb.h"

namespace ijepa::coordinator {

// Every wait ends after 30 s at most. Not thread-safe.
class FakeWorker {
 public:
  // `credentials`: null connects without TLS.
  explicit FakeWorker(const std::string& address,
                      std::shared_ptr<grpc::ChannelCredentials> credentials = nullptr);
  ~FakeWorker();

  void Hello(const std::string& node, int slots);
  void Send(const v1::WorkerMessage& message) { stream_->Write(message); }
  // Reads until `wanted` says yes; false if the stream ended first.
  bool ReadUntil(const std::function<bool(const v1::CoordinatorMessage&)>& wanted);
  // Reads until the desired state has this many gangs.
  bool ReadDesired(int gangs);
  const v1::DesiredState& desired() const { return desired_; }
  const v1::CoordinatorMessage& last() const { return last_; }

  // Reports every rank of the desired state in this phase, with an exit when it is EXITED.
  void Report(v1::RankPhase phase, v1::RankOutcome outcome = v1::RANK_OUTCOME_COMPLETED);
  // A message of a rank of the first gang.
  void FromRank(int rank, const v1::FromRank& message);
  // Rank 0 offers a checkpoint; reads the answer, which is then last(). False if the stream ended.
  bool OfferCheckpoint(int64_t step, const std::string& path);
  void Log(int rank, int64_t offset, const std::string& data);
  // Closes and gives the final status.
  grpc::Status Finish();
  // The status with which the coordinator ended the stream.
  grpc::Status WaitForEnd();

 private:
  std::unique_ptr<v1::WorkerService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::WorkerMessage, v1::CoordinatorMessage>> stream_;
  v1::DesiredState desired_;
  v1::DesiredGang gang_;
  v1::CoordinatorMessage last_;
  bool finished_ = false;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_TESTS_COORDINATOR_FAKE_WORKER_H_
