#include "worker/daemon/coordinator_link.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/valid_text.h"
#include "ijepa/v1/worker.grpc.pb.h"

namespace ijepa::worker {
namespace {

// A silent network is noticed within 45 s (control plane: keepalive 30 s, 15 s for the answer).
constexpr int kKeepaliveMilliseconds = 30000;
constexpr int kKeepaliveTimeoutMilliseconds = 15000;
// A desired state names every rank's resume list; a log chunk has 64 KiB.
constexpr int kMaxMessageBytes = 32 << 20;
// An unreachable address must not hold the link for the minutes that TCP would take.
constexpr int kConnectTimeoutMilliseconds = 5000;
// A coordinator that takes the stream and never welcomes is as good as none.
constexpr absl::Duration kWelcomeTimeout = absl::Seconds(30);

std::shared_ptr<grpc::ChannelCredentials> CredentialsFor(const LinkTls& tls) {
  if (tls.authority.empty()) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = tls.authority;
  options.pem_private_key = tls.key;
  options.pem_cert_chain = tls.certificate;
  return grpc::SslCredentials(options);
}

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address, const LinkTls& tls) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMilliseconds);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMilliseconds);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectTimeoutMilliseconds);
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  // The back-off is ours: a channel of its own for every attempt.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, CredentialsFor(tls), arguments);
}

}  // namespace

// One call. Reads are asked for one at a time by the loop thread, so that a slow loop slows the
// coordinator down; writes are queued.
class CoordinatorStream final
    : public grpc::ClientBidiReactor<v1::WorkerMessage, v1::CoordinatorMessage> {
 public:
  CoordinatorStream(const CoordinatorLink::Options& options, const v1::WorkerMessage& hello)
      : wake_(options.wake),
        stub_(v1::WorkerService::NewStub(MakeChannel(options.address, options.tls))) {
    stub_->async()->Connect(&context_, this);
    AddHold();  // Writes start outside of reactions.
    QueueLocked(hello);
    writing_ = true;
    StartWrite(&queue_.front());
    StartRead(&incoming_);
    StartCall();
  }

  ~CoordinatorStream() override {
    Cancel();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return done_; });
  }

  // The next message, if one is there; asks for the one after it.
  std::optional<v1::CoordinatorMessage> Take() {
    std::lock_guard lock(mutex_);
    if (!has_message_) return std::nullopt;
    std::optional<v1::CoordinatorMessage> message = std::move(incoming_);
    incoming_.Clear();
    has_message_ = false;
    if (held_) StartRead(&incoming_);  // Without the hold the call may be over.
    return message;
  }

  // The final status, once the call is over.
  std::optional<grpc::Status> Ended() {
    std::lock_guard lock(mutex_);
    if (read_ended_ && !done_) ReleaseHoldLocked();
    if (!done_) return std::nullopt;
    return status_;
  }

  bool Send(const v1::WorkerMessage& message, size_t max_queued_bytes) {
    std::lock_guard lock(mutex_);
    if (write_failed_ || read_ended_ || queued_bytes_ > max_queued_bytes) return false;
    QueueLocked(message);
    WriteNextLocked();
    return true;
  }

  size_t queued_bytes() {
    std::lock_guard lock(mutex_);
    return queued_bytes_;
  }

  void Cancel() {
    context_.TryCancel();
    std::lock_guard lock(mutex_);
    ReleaseHoldLocked();
  }

  void OnReadDone(bool ok) override {
    {
      std::lock_guard lock(mutex_);
      has_message_ = ok;
      read_ended_ = !ok;
    }
    wake_();
  }

  void OnWriteDone(bool ok) override {
    std::lock_guard lock(mutex_);
    queued_bytes_ -= queue_.front().ByteSizeLong();
    queue_.pop_front();
    writing_ = false;
    // The call ends once everything that the coordinator had sent is read.
    write_failed_ = write_failed_ || !ok;
    WriteNextLocked();
  }

  void OnDone(const grpc::Status& status) override {
    // All under the lock: the loop thread may destroy this as soon as it sees done_.
    std::lock_guard lock(mutex_);
    status_ = status;
    done_ = true;
    changed_.notify_all();
    wake_();
  }

 private:
  void QueueLocked(const v1::WorkerMessage& message) {
    queue_.push_back(message);
    MakeTextValid(queue_.back());
    queued_bytes_ += queue_.back().ByteSizeLong();
  }

  void WriteNextLocked() {
    if (writing_ || write_failed_ || read_ended_ || queue_.empty()) return;
    writing_ = true;
    StartWrite(&queue_.front());
  }

  void ReleaseHoldLocked() {
    read_ended_ = true;
    if (!held_) return;
    held_ = false;
    RemoveHold();
  }

  const std::function<void()> wake_;
  std::unique_ptr<v1::WorkerService::Stub> stub_;
  grpc::ClientContext context_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_; incoming_ is gRPC's between StartRead and OnReadDone.
  v1::CoordinatorMessage incoming_;
  bool has_message_ = false;
  std::deque<v1::WorkerMessage> queue_;  // The front is gRPC's while writing_.
  size_t queued_bytes_ = 0;
  bool writing_ = false;
  bool held_ = true;
  bool write_failed_ = false;
  bool read_ended_ = false;  // No read or write is begun any more.
  bool done_ = false;
  grpc::Status status_;
};

CoordinatorLink::CoordinatorLink(Options options)
    : options_(std::move(options)), jitter_(std::random_device()()) {}

CoordinatorLink::~CoordinatorLink() = default;

void CoordinatorLink::ConnectIfDue(absl::Duration now,
                                   const std::function<v1::WorkerMessage()>& hello) {
  if (stream_ != nullptr || now < next_attempt_) return;
  opened_ = now;
  stream_ = std::make_unique<CoordinatorStream>(options_, hello());
}

std::optional<v1::CoordinatorMessage> CoordinatorLink::Poll(absl::Duration now) {
  if (stream_ == nullptr) return std::nullopt;
  if (std::optional<v1::CoordinatorMessage> message = stream_->Take()) {
    if (message->coordinator_epoch() < epoch_) {
      Lost(now, absl::FailedPreconditionError(
                    absl::StrCat("the coordinator has epoch ", message->coordinator_epoch(),
                                 ", one of epoch ", epoch_, " was seen: it is stale")));
      return std::nullopt;
    }
    epoch_ = message->coordinator_epoch();
    heard_ = now;
    if (!connected_) {
      LogInfo("connected to the coordinator address=", options_.address, " epoch=", epoch_);
      connected_ = true;
      failures_ = 0;
      last_failure_.clear();
      ++connections_;
    }
    return message;
  }
  if (std::optional<grpc::Status> status = stream_->Ended()) {
    Lost(now,
         absl::Status(static_cast<absl::StatusCode>(status->error_code()),
                      status->ok() ? "the coordinator ended the stream" : status->error_message()));
  } else if (!connected_ && now - opened_ > kWelcomeTimeout) {
    Lost(now, absl::DeadlineExceededError("the coordinator did not welcome this worker"));
  } else if (connected_ && now - heard_ > silence_limit_) {
    Lost(now, absl::DeadlineExceededError("the coordinator has been silent for too long"));
  }
  return std::nullopt;
}

void CoordinatorLink::Lost(absl::Duration now, const absl::Status& why) {
  stream_.reset();
  connected_ = false;
  const absl::Duration full =
      std::min(options_.max_back_off, options_.min_back_off * std::pow(2, std::min(failures_, 16)));
  ++failures_;
  const double share = std::uniform_real_distribution<double>(0.5, 1.0)(jitter_);
  next_attempt_ = now + full * share;
  // A coordinator that stays away is one line, not one per attempt.
  if (last_failure_ == why.message()) return;
  last_failure_ = std::string(why.message());
  LogWarning("not connected to the coordinator, trying again address=", options_.address,
             " reason=", last_failure_);
}

bool CoordinatorLink::Send(const v1::WorkerMessage& message) {
  return connected_ && stream_->Send(message, options_.max_queued_bytes);
}

size_t CoordinatorLink::queued_bytes() const {
  return stream_ == nullptr ? 0 : stream_->queued_bytes();
}

absl::Duration CoordinatorLink::NextAttempt() const {
  return stream_ == nullptr ? next_attempt_ : absl::InfiniteDuration();
}

}  // namespace ijepa::worker
