#include "worker/rank/link_host.h"

#include <google/protobuf/util/time_util.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/valid_text.h"
#include "worker/link/rank_folder.h"
#include "worker/link/unix_socket.h"
#include "worker/rank/exit_record.h"

namespace ijepa::rank {
namespace {

// Bounds how long a change of the clock or a missed wake-up can go unnoticed.
constexpr absl::Duration kMaxSleep = absl::Seconds(1);
// A rendezvous value is an id or an address (128 bytes); a frame must hold it.
constexpr size_t kMaxValueBytes = size_t{1} << 20;
constexpr absl::Duration kLeaveFlushTimeout = absl::Seconds(5);

google::protobuf::Timestamp Timestamp(absl::Time time) {
  return google::protobuf::util::TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(time));
}

v1::Telemetry ToProto(const jepa::Telemetry& telemetry) {
  v1::Telemetry proto;
  proto.set_step(telemetry.step);
  proto.set_effective_rank(telemetry.effective_rank);
  proto.set_pooled_effective_rank(telemetry.pooled_effective_rank);
  proto.set_max_effective_rank(telemetry.max_effective_rank);
  proto.set_std_mean(telemetry.std_mean);
  proto.set_std_min(telemetry.std_min);
  proto.set_off_diagonal_covariance(telemetry.off_diagonal_covariance);
  proto.set_variance_over_patches(telemetry.variance_over_patches);
  proto.set_variance_over_batch(telemetry.variance_over_batch);
  proto.set_prediction_cosine(telemetry.prediction_cosine);
  proto.set_target_distance(telemetry.target_distance);
  proto.set_update_ratio(telemetry.update_ratio);
  proto.set_patch_embed_gradient_norm(telemetry.patch_embed_gradient_norm);
  for (const double norm : telemetry.encoder_block_gradient_norms) {
    proto.add_encoder_block_gradient_norms(norm);
  }
  for (const double norm : telemetry.predictor_block_gradient_norms) {
    proto.add_predictor_block_gradient_norms(norm);
  }
  proto.set_other_gradient_norm(telemetry.other_gradient_norm);
  proto.set_collapse_suspected(telemetry.collapse_suspected);
  return proto;
}

void CopyData(const jepa::DataReport& report, v1::DataReport* proto) {
  const auto count = [&](jepa::BadReason reason) {
    return report.bad_reasons[static_cast<size_t>(reason)];
  };
  proto->set_empty(count(jepa::BadReason::kEmpty));
  proto->set_truncated(count(jepa::BadReason::kTruncated));
  proto->set_corrupt(count(jepa::BadReason::kCorrupt));
  proto->set_too_large(count(jepa::BadReason::kTooLarge));
  proto->set_unreadable(count(jepa::BadReason::kUnreadable));
  proto->set_vanished(count(jepa::BadReason::kVanished));
  proto->set_ready_batches(report.ready_batches);
  proto->set_max_batches(report.max_batches);
  proto->set_seconds_per_image(report.seconds_per_image);
  proto->set_read_bytes_per_second(report.read_bytes_per_second);
  proto->set_wait_seconds(report.wait_seconds);
  proto->set_decode_seconds_per_image(report.decode_seconds_per_image);
}

v1::StepReport ToProto(const jepa::StepReport& report) {
  v1::StepReport proto;
  proto.set_step(report.step);
  proto.set_total_steps(report.total_steps);
  proto.set_steps_per_epoch(report.steps_per_epoch);
  proto.set_images_seen(report.images_seen);
  proto.set_loss(report.loss);
  proto.set_lr(report.lr);
  proto.set_weight_decay(report.weight_decay);
  proto.set_ema_momentum(report.ema_momentum);
  proto.set_images_per_second(report.images_per_second);
  proto.set_context_patches(report.context_patches);
  proto.set_target_patches(report.target_patches);
  proto.set_data_wait_share(report.data_wait_share);
  proto.set_bad_images(report.bad_images);
  proto.set_gradient_norm(report.gradient_norm);
  if (report.telemetry.has_value()) *proto.mutable_telemetry() = ToProto(*report.telemetry);
  proto.set_non_finite_steps(report.non_finite_steps);
  proto.set_non_finite_rollbacks(report.non_finite_rollbacks);
  CopyData(report.data, proto.mutable_data());
  proto.set_compute_seconds(report.compute_seconds);
  proto.set_peer_wait_seconds(report.peer_wait_seconds);
  return proto;
}

v1::NetworkLink ToProto(const jepa::NetworkLink& link) {
  v1::NetworkLink proto;
  proto.set_from_rank(link.from_rank);
  proto.set_from_node(link.from_node);
  proto.set_to_rank(link.to_rank);
  proto.set_to_node(link.to_node);
  proto.set_gbps(link.gbps);
  return proto;
}

v1::NetworkCheck ToProto(const jepa::NetworkReport& report) {
  v1::NetworkCheck proto;
  proto.set_bus_gigabytes_per_second(report.bus_gigabytes_per_second);
  proto.set_bytes(report.bytes);
  proto.set_seconds(report.seconds);
  *proto.mutable_slowest() = ToProto(report.slowest);
  for (const jepa::NetworkLink& link : report.slow) *proto.add_slow() = ToProto(link);
  return proto;
}

v1::ProbeReport ToProto(const jepa::ProbeReport& report) {
  v1::ProbeReport proto;
  proto.set_step(report.step);
  proto.set_images_seen(report.images_seen);
  proto.set_effective_rank(report.effective_rank);
  for (const jepa::ProbeScore& score : report.scores) {
    v1::ProbeScore* out = proto.add_scores();
    out->set_target(score.target);
    out->set_method(score.method);
    out->set_accuracy(score.accuracy);
    out->set_low(score.low);
    out->set_high(score.high);
    out->set_classes(score.classes);
    out->set_images(score.images);
  }
  return proto;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LinkHost>> LinkHost::Start(Options options) {
  IJEPA_ASSIGN_OR_RETURN(UniqueFd listener, link::ListenUnix(options.folder, link::kSocketFile));
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return ErrnoStatus(errno, "making an eventfd for", options.folder);
  auto host =
      absl::WrapUnique(new LinkHost(std::move(options), std::move(listener), std::move(wake)));
  host->thread_ = std::thread([raw = host.get()] { raw->Loop(); });
  return host;
}

LinkHost::LinkHost(Options options, UniqueFd listener, UniqueFd wake)
    : options_(std::move(options)),
      listener_(std::move(listener)),
      drain_fd_open_(options_.drain_fd >= 0),
      wake_(std::move(wake)),
      outbox_(options_.outbox),
      detached_since_(options_.clock->Monotonic()) {}

LinkHost::~LinkHost() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  Wake();
  if (thread_.joinable()) thread_.join();
}

void LinkHost::Wake() {
  const uint64_t one = 1;
  // Fails only when the counter is full: then the thread is woken already.
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof(one));
}

int64_t LinkHost::Enqueue(v1::FromRank message) {
  MakeTextValid(message);
  int64_t sequence;
  {
    std::lock_guard lock(mutex_);
    sequence = outbox_.Add(std::move(message));
  }
  Wake();
  return sequence;
}

absl::StatusOr<v1::ToRank> LinkHost::Await(int64_t sequence, absl::Duration timeout,
                                           absl::string_view what) {
  std::unique_lock lock(mutex_);
  const absl::Duration deadline = options_.clock->Monotonic() + timeout;
  while (true) {
    if (std::optional<v1::ToRank> answer = outbox_.TakeAnswer(sequence)) return *std::move(answer);
    const absl::Status alive = AliveLocked();
    const absl::Duration left = deadline - options_.clock->Monotonic();
    if (!alive.ok() || left <= absl::ZeroDuration()) {
      outbox_.Forget(sequence);
      if (!alive.ok()) return alive;
      return absl::DeadlineExceededError(
          absl::StrCat(what, " was not answered within ", absl::FormatDuration(timeout)));
    }
    changed_.wait_for(lock, absl::ToChronoMicroseconds(std::min(left, kMaxSleep)));
  }
}

absl::Status LinkHost::Put(absl::string_view key, absl::string_view value) {
  if (value.size() > kMaxValueBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "rendezvous value of ", key, " has ", value.size(), " bytes; at most ", kMaxValueBytes));
  }
  v1::FromRank message;
  message.mutable_put()->set_key(std::string(key));
  message.mutable_put()->set_value(std::string(value));
  Enqueue(std::move(message));
  return Alive();
}

absl::StatusOr<std::string> LinkHost::Get(absl::string_view key, absl::Duration timeout) {
  v1::FromRank message;
  message.mutable_get()->set_key(std::string(key));
  IJEPA_ASSIGN_OR_RETURN(v1::ToRank answer, Await(Enqueue(std::move(message)), timeout,
                                                  absl::StrCat("rendezvous key ", key)));
  return std::move(*answer.mutable_value()->mutable_value());
}

void LinkHost::ReportStep(const jepa::StepReport& report) {
  v1::StepReport proto = ToProto(report);
  proto.set_rank(options_.rank);
  *proto.mutable_time() = Timestamp(options_.clock->Now());
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    newest_step_ = std::move(proto);
    // The thread sleeps until a pending report is due; it must be told of the first only.
    wake = !step_unsent_;
    step_unsent_ = true;
  }
  if (wake) Wake();
}

void LinkHost::ReportProbe(const jepa::ProbeReport& report) {
  v1::FromRank message;
  *message.mutable_probe() = ToProto(report);
  message.mutable_probe()->set_generation(options_.generation);
  *message.mutable_probe()->mutable_time() = Timestamp(options_.clock->Now());
  Enqueue(std::move(message));
}

void LinkHost::ReportNetwork(const jepa::NetworkReport& report) {
  v1::FromRank message;
  *message.mutable_network() = ToProto(report);
  Enqueue(std::move(message));
}

void LinkHost::Note(absl::string_view code, absl::string_view text, int64_t step) {
  v1::FromRank message;
  message.mutable_note()->set_code(std::string(code));
  message.mutable_note()->set_message(std::string(text));
  message.mutable_note()->set_step(step);
  if (Enqueue(std::move(message)) == 0) {
    LogWarning("note dropped, too many wait for the coordinator code=", code, " message=", text);
  }
}

void LinkHost::EnterPhase(jepa::RunPhase phase) {
  static constexpr v1::RunPhase kPhases[] = {v1::RUN_PHASE_STARTING, v1::RUN_PHASE_TRAINING,
                                             v1::RUN_PHASE_PROBING, v1::RUN_PHASE_SAVING};
  v1::FromRank message;
  message.mutable_phase()->set_phase(kPhases[static_cast<int>(phase)]);
  if (Enqueue(std::move(message)) == 0) {
    LogWarning("phase not told, too many messages wait for the coordinator");
  }
}

absl::StatusOr<std::vector<std::string>> LinkHost::Commit(const jepa::CheckpointInfo& checkpoint,
                                                          absl::Duration timeout) {
  v1::FromRank message;
  v1::Checkpoint* proto = message.mutable_checkpoint()->mutable_checkpoint();
  proto->set_step(checkpoint.step);
  proto->set_generation(options_.generation);
  proto->set_images_seen(checkpoint.images_seen);
  proto->set_path(checkpoint.path);
  proto->set_bytes(checkpoint.bytes);
  proto->set_stall_seconds(checkpoint.stall_seconds);
  proto->set_write_seconds(checkpoint.write_seconds);
  proto->set_steps_per_epoch(checkpoint.steps_per_epoch);
  IJEPA_ASSIGN_OR_RETURN(
      v1::ToRank answer,
      Await(Enqueue(std::move(message)), timeout,
            absl::StrCat("the commit of the checkpoint of step ", checkpoint.step)));
  const v1::CommitResult& result = answer.commit();
  if (!result.committed()) {
    return absl::FailedPreconditionError(absl::StrCat("the checkpoint of step ", checkpoint.step,
                                                      " was refused: ", result.message()));
  }
  return std::vector<std::string>(result.deletable().begin(), result.deletable().end());
}

bool LinkHost::DrainRequested() {
  std::lock_guard lock(mutex_);
  return drain_;
}

absl::Status LinkHost::Alive() {
  std::lock_guard lock(mutex_);
  return AliveLocked();
}

absl::Status LinkHost::AliveLocked() const {
  if (superseded_) {
    return absl::AbortedError(
        absl::StrCat("generation ", options_.generation, " is superseded by a newer one"));
  }
  if (!attached_ && options_.clock->Monotonic() - detached_since_ > options_.reattach_window) {
    return absl::AbortedError(absl::StrCat("no worker attached for ",
                                           absl::FormatDuration(options_.reattach_window),
                                           ": another attempt may be running"));
  }
  return absl::OkStatus();
}

void LinkHost::Leave(const absl::Status& why) {
  LogError("leaving: ", absl::StatusCodeToString(why.code()), ": ", why.message());
  const absl::Status flushed = Flush(kLeaveFlushTimeout);
  if (!flushed.ok()) LogWarning("last messages were not taken: ", flushed.message());
  const v1::RankExit record = FailureRecord(why, last_step(), options_.clock->Now());
  if (absl::Status written = WriteExitRecord(options_.folder, record); !written.ok()) {
    LogError("no exit record: ", written.message());
  }
  std::fflush(nullptr);
  std::_Exit(record.exit_code());
}

absl::Status LinkHost::Flush(absl::Duration timeout) {
  std::unique_lock lock(mutex_);
  const absl::Duration deadline = options_.clock->Monotonic() + timeout;
  step_sent_ = -absl::InfiniteDuration();  // The last report need not wait for its interval.
  lock.unlock();
  Wake();
  lock.lock();
  while (!outbox_.empty() || step_unsent_) {
    IJEPA_RETURN_IF_ERROR(AliveLocked());
    const absl::Duration left = deadline - options_.clock->Monotonic();
    if (left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError(absl::StrCat("the worker did not take everything within ",
                                                      absl::FormatDuration(timeout)));
    }
    changed_.wait_for(lock, absl::ToChronoMicroseconds(std::min(left, kMaxSleep)));
  }
  return absl::OkStatus();
}

int64_t LinkHost::last_step() {
  std::lock_guard lock(mutex_);
  return newest_step_ ? newest_step_->step() : 0;
}

int LinkHost::PollTimeout() {
  std::lock_guard lock(mutex_);
  absl::Duration sleep = kMaxSleep;
  if (connection_) {
    const absl::Duration now = options_.clock->Monotonic();
    sleep = std::min(sleep, outbox_.NextDue() - now);
    if (step_unsent_ && !connection_->wants_write()) {
      sleep = std::min(sleep, step_sent_ + options_.step_interval - now);
    }
  }
  // Rounded up, so that what is due is due at the wake-up.
  return static_cast<int>(absl::ToInt64Milliseconds(
      std::max(absl::ZeroDuration(), absl::Ceil(sleep, absl::Milliseconds(1)))));
}

void LinkHost::Loop() {
  while (true) {
    pollfd fds[4] = {{wake_.get(), POLLIN, 0},
                     {listener_.get(), POLLIN, 0},
                     {drain_fd_open_ ? options_.drain_fd : -1, POLLIN, 0},
                     {-1, POLLIN, 0}};
    if (connection_) {
      fds[3].fd = connection_->fd();
      if (connection_->wants_write()) fds[3].events |= POLLOUT;
    }
    if (::poll(fds, 4, PollTimeout()) < 0 && errno != EINTR) {
      LogError("the link's poll failed: ", ErrnoStatus(errno, "polling", "link").message());
    }
    uint64_t ignored;
    [[maybe_unused]] const ssize_t count = ::read(wake_.get(), &ignored, sizeof(ignored));
    {
      std::lock_guard lock(mutex_);
      if (stop_) return;
      if (fds[2].revents != 0 && !drain_) {
        LogInfo("asked to stop by a signal: saving at the next agreed step");
        drain_ = true;
      }
    }
    // One request is enough; the descriptor stays readable.
    if (fds[2].revents != 0) drain_fd_open_ = false;
    if (fds[1].revents != 0) Accept();
    if (connection_) ServeConnection();
    if (connection_) SendDue();
  }
}

void LinkHost::Accept() {
  UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd.valid()) return;
  connection_.emplace(std::move(fd));
  std::lock_guard lock(mutex_);
  attached_ = true;
  outbox_.Reconnected();
  // A new worker learns from it how far this rank is.
  step_unsent_ = newest_step_.has_value();
  step_sent_ = -absl::InfiniteDuration();
}

void LinkHost::Disconnect(const absl::Status& why) {
  LogWarning("the worker is gone, going on without it: ", why.message());
  connection_.reset();
  std::lock_guard lock(mutex_);
  attached_ = false;
  detached_since_ = options_.clock->Monotonic();
}

void LinkHost::ServeConnection() {
  absl::Status received = connection_->Receive();
  if (received.ok()) received = connection_->Flush();
  while (true) {
    absl::StatusOr<std::optional<std::string>> frame = connection_->Next();
    if (!frame.ok()) return Disconnect(frame.status());
    if (!frame->has_value()) break;
    v1::ToRank message;
    if (!message.ParseFromString(**frame)) {
      return Disconnect(absl::DataLossError("a frame of the worker is not a ToRank"));
    }
    Handle(message);
  }
  if (!received.ok()) Disconnect(received);
}

void LinkHost::Handle(const v1::ToRank& message) {
  {
    std::lock_guard lock(mutex_);
    if (message.has_drain()) {
      drain_ = true;
    } else if (message.has_superseded()) {
      superseded_ = true;
    } else {
      outbox_.Receive(message);
    }
  }
  changed_.notify_all();
}

void LinkHost::SendDue() {
  std::vector<v1::FromRank> due;
  {
    std::lock_guard lock(mutex_);
    const absl::Duration now = options_.clock->Monotonic();
    // Reports wait for a slow worker; the newest is sent when the socket has taken what it holds.
    if (step_unsent_ && !connection_->wants_write() && now - step_sent_ >= options_.step_interval) {
      *due.emplace_back().mutable_step() = *newest_step_;
      step_unsent_ = false;
      step_sent_ = now;
    }
    std::vector<v1::FromRank> reliable = outbox_.Due(now);
    std::move(reliable.begin(), reliable.end(), std::back_inserter(due));
  }
  for (const v1::FromRank& message : due) {
    if (absl::Status sent = connection_->Send(message); !sent.ok()) return Disconnect(sent);
  }
  if (!due.empty()) changed_.notify_all();
}

}  // namespace ijepa::rank
