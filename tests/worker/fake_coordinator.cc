#include "tests/worker/fake_coordinator.h"

#include <chrono>

#include "absl/strings/str_cat.h"

namespace ijepa::worker {

v1::RankStatus Seen::Status(const RankKey& key) const {
  for (const v1::RankStatus& status : report.ranks()) {
    if (KeyOf(status) == key) return status;
  }
  return {};
}

bool Seen::HasNote(const RankKey& key, const std::string& code) const {
  const auto it = messages.find(key);
  if (it == messages.end()) return false;
  for (const v1::FromRank& message : it->second) {
    if (message.note().code() == code) return true;
  }
  return false;
}

FakeCoordinator::FakeCoordinator(Options options) : options_(std::move(options)) {
  seen_.logs = options_.logs;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(absl::StrCat("127.0.0.1:", options_.port),
                           grpc::InsecureServerCredentials(), &port_);
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
}

FakeCoordinator::~FakeCoordinator() {
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
}

void FakeCoordinator::Write(Stream& stream, v1::CoordinatorMessage message) {
  message.set_coordinator_epoch(options_.epoch);
  stream.Write(message);
}

void FakeCoordinator::Want(v1::DesiredState state) {
  std::lock_guard lock(mutex_);
  state.set_revision(desired_.revision() + 1);
  desired_ = std::move(state);
  if (stream_ == nullptr) return;
  v1::CoordinatorMessage message;
  *message.mutable_desired() = desired_;
  Write(*stream_, message);
}

bool FakeCoordinator::WaitFor(const std::function<bool(const Seen&)>& condition) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::minutes(1), [&] { return condition(seen_); });
}

Seen FakeCoordinator::seen() {
  std::lock_guard lock(mutex_);
  return seen_;
}

grpc::Status FakeCoordinator::Connect(grpc::ServerContext*, Stream* stream) {
  v1::WorkerMessage message;
  while (stream->Read(&message)) {
    std::lock_guard lock(mutex_);
    Handle(*stream, message);
    changed_.notify_all();
  }
  std::lock_guard lock(mutex_);
  if (stream_ == stream) stream_ = nullptr;
  return grpc::Status::OK;
}

void FakeCoordinator::Handle(Stream& stream, const v1::WorkerMessage& message) {
  if (message.has_hello()) {
    ++seen_.hellos;
    seen_.hello = message.hello();
    seen_.report = message.hello().report();
    stream_ = &stream;
    v1::CoordinatorMessage welcome;
    welcome.mutable_welcome()->set_heartbeat_interval_seconds(options_.heartbeat_interval_seconds);
    welcome.mutable_welcome()->set_reattach_window_seconds(options_.reattach_window_seconds);
    Write(stream, welcome);
    if (desired_.revision() > 0) {
      v1::CoordinatorMessage desired;
      *desired.mutable_desired() = desired_;
      Write(stream, desired);
    }
  } else if (message.has_report()) {
    ++seen_.reports;
    seen_.report = message.report();
    if (options_.acknowledge_reports) Write(stream, {});
  } else if (message.has_rank()) {
    HandleRank(stream, message.rank());
  } else if (message.has_log()) {
    HandleLog(stream, message.log());
  }
}

void FakeCoordinator::HandleRank(Stream& stream, const v1::RankMessage& rank) {
  const v1::FromRank& message = rank.message();
  seen_.messages[KeyOf(rank)].push_back(message);
  if (message.has_put()) seen_.values[message.put().key()] = message.put().value();
  if (!options_.answer_ranks || message.sequence() == 0) return;
  v1::CoordinatorMessage out;
  v1::RankReply* reply = out.mutable_rank();
  reply->set_job_uid(rank.job_uid());
  reply->set_generation(rank.generation());
  reply->set_rank(rank.rank());
  reply->mutable_message()->set_sequence(message.sequence());
  reply->mutable_message()->mutable_ack();
  Write(stream, out);
  if (message.has_checkpoint()) {
    reply->mutable_message()->mutable_commit()->set_committed(true);
    Write(stream, out);
  } else if (message.has_get() && seen_.values.contains(message.get().key())) {
    reply->mutable_message()->mutable_value()->set_value(seen_.values[message.get().key()]);
    Write(stream, out);
  }
}

void FakeCoordinator::HandleLog(Stream& stream, const v1::LogChunk& chunk) {
  std::string& log = seen_.logs[KeyOf(chunk)];
  const size_t offset = static_cast<size_t>(chunk.offset());
  if (offset <= log.size() && offset + chunk.data().size() > log.size()) {
    log.replace(offset, std::string::npos, chunk.data());
  }
  if (!options_.acknowledge_logs) return;
  v1::CoordinatorMessage out;
  out.mutable_log_ack()->set_job_uid(chunk.job_uid());
  out.mutable_log_ack()->set_generation(chunk.generation());
  out.mutable_log_ack()->set_rank(chunk.rank());
  out.mutable_log_ack()->set_offset(static_cast<int64_t>(log.size()));
  Write(stream, out);
}

}  // namespace ijepa::worker
