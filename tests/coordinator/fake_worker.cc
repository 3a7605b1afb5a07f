// See fake_worker.h.
#include "fake_worker.h"

#include <chrono>

namespace ijepa::coordinator {

FakeWorker::FakeWorker(const std::string& address,
                       std::shared_ptr<grpc::ChannelCredentials> credentials) {
  // Who shows a certificate wants to know at once that it is refused.
  context_.set_wait_for_ready(credentials == nullptr);
  context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  if (credentials == nullptr) credentials = grpc::InsecureChannelCredentials();
  stub_ = v1::WorkerService::NewStub(grpc::CreateChannel(address, credentials));
  stream_ = stub_->Connect(&context_);
}

FakeWorker::~FakeWorker() {
  if (finished_) return;
  context_.TryCancel();
  stream_->Finish();
}

void FakeWorker::Hello(const std::string& node, int slots) {
  v1::WorkerMessage message;
  message.mutable_hello()->mutable_info()->set_node(node);
  message.mutable_hello()->mutable_info()->set_slots(slots);
  message.mutable_hello()->set_incarnation("boot-1");
  Send(message);
}

bool FakeWorker::ReadUntil(const std::function<bool(const v1::CoordinatorMessage&)>& wanted) {
  while (stream_->Read(&last_)) {
    if (last_.has_desired()) {
      desired_ = last_.desired();
      if (desired_.gangs_size() > 0) gang_ = desired_.gangs(0);
    }
    if (wanted(last_)) return true;
  }
  return false;
}

bool FakeWorker::ReadDesired(int gangs) {
  return ReadUntil([gangs](const v1::CoordinatorMessage& message) {
    return message.has_desired() && message.desired().gangs_size() == gangs;
  });
}

void FakeWorker::Report(v1::RankPhase phase, v1::RankOutcome outcome) {
  v1::WorkerMessage message;
  message.mutable_report()->set_observed_revision(desired_.revision());
  for (const v1::DesiredGang& gang : desired_.gangs()) {
    for (const int rank : gang.ranks()) {
      v1::RankStatus& status = *message.mutable_report()->add_ranks();
      status.set_job_uid(gang.job_uid());
      status.set_generation(gang.generation());
      status.set_rank(rank);
      status.set_phase(phase);
      if (phase == v1::RANK_PHASE_EXITED) status.mutable_exit()->set_outcome(outcome);
    }
  }
  Send(message);
}

void FakeWorker::FromRank(int rank, const v1::FromRank& from) {
  v1::WorkerMessage message;
  message.mutable_rank()->set_job_uid(gang_.job_uid());
  message.mutable_rank()->set_generation(gang_.generation());
  message.mutable_rank()->set_rank(rank);
  *message.mutable_rank()->mutable_message() = from;
  Send(message);
}

bool FakeWorker::OfferCheckpoint(int64_t step, const std::string& path) {
  v1::FromRank ready;
  ready.set_sequence(1);
  ready.mutable_checkpoint()->mutable_checkpoint()->set_step(step);
  ready.mutable_checkpoint()->mutable_checkpoint()->set_path(path);
  FromRank(0, ready);
  return ReadUntil([](const v1::CoordinatorMessage& message) {
    return message.has_rank() && message.rank().message().has_commit();
  });
}

void FakeWorker::Log(int rank, int64_t offset, const std::string& data) {
  v1::WorkerMessage message;
  v1::LogChunk& chunk = *message.mutable_log();
  chunk.set_job_uid(gang_.job_uid());
  chunk.set_generation(gang_.generation());
  chunk.set_rank(rank);
  chunk.set_offset(offset);
  chunk.set_data(data);
  Send(message);
}

grpc::Status FakeWorker::Finish() {
  stream_->WritesDone();
  return WaitForEnd();
}

grpc::Status FakeWorker::WaitForEnd() {
  ReadUntil([](const v1::CoordinatorMessage&) { return false; });
  finished_ = true;
  return stream_->Finish();
}

}  // namespace ijepa::coordinator
