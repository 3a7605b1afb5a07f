// The worker's stream to the coordinator: connects, says hello, connects again with back-off.
#ifndef IJEPA_WORKER_DAEMON_COORDINATOR_LINK_H_
#define IJEPA_WORKER_DAEMON_COORDINATOR_LINK_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ijepa/v1/worker.pb.h"

namespace ijepa::worker {

class CoordinatorStream;

// Contents of PEM files. All empty: no TLS.
struct LinkTls {
  // Of this node: its common name is the node's.
  std::string certificate;
  std::string key;
  // By which the coordinator must be certified.
  std::string authority;
};

// Owned by the loop thread; gRPC's threads only fill a mailbox of one message and call `wake`.
// Never blocks, but for its end: it waits until gRPC has let go of the stream.
class CoordinatorLink {
 public:
  struct Options {
    std::string address;  // HOST:PORT
    LinkTls tls;
    absl::Duration min_back_off = absl::Milliseconds(200);
    absl::Duration max_back_off = absl::Seconds(5);
    // Messages queued beyond this are refused.
    size_t max_queued_bytes = size_t{8} << 20;
    // Called from threads of gRPC when Poll has something to do.
    std::function<void()> wake;
  };
  explicit CoordinatorLink(Options options);
  ~CoordinatorLink();

  // Opens a stream, with `hello` as its first message, if there is none and the back-off is over.
  // `now` is monotonic.
  void ConnectIfDue(absl::Duration now, const std::function<v1::WorkerMessage()>& hello);
  // The next message of the coordinator; nothing if there is none now. A stream that ended, or
  // whose coordinator has a lower epoch than one seen before, is closed here.
  std::optional<v1::CoordinatorMessage> Poll(absl::Duration now);
  // Queues a message. False if there is no stream or the queue is full: say it again later.
  bool Send(const v1::WorkerMessage& message);

  // A connected coordinator that says nothing for this long is given up, and another stream is
  // opened: a network that lost it without a word would keep the stream for minutes. It answers
  // every report, so this must be several heartbeats. Infinite until it is set.
  void SetSilenceLimit(absl::Duration limit) { silence_limit_ = limit; }

  // True once the coordinator has answered on the present stream.
  bool connected() const { return connected_; }
  // Streams that were answered so far.
  int connections() const { return connections_; }
  int64_t epoch() const { return epoch_; }
  // Bytes that gRPC has not taken yet.
  size_t queued_bytes() const;
  // Time of the next attempt; InfiniteDuration while there is a stream.
  absl::Duration NextAttempt() const;

 private:
  void Lost(absl::Duration now, const absl::Status& why);

  const Options options_;
  std::unique_ptr<CoordinatorStream> stream_;
  bool connected_ = false;
  int connections_ = 0;
  int64_t epoch_ = 0;  // Highest seen.
  int failures_ = 0;   // In a row.
  std::string last_failure_;
  absl::Duration opened_;  // When stream_ was.
  absl::Duration heard_;   // When the coordinator said something on it.
  absl::Duration silence_limit_ = absl::InfiniteDuration();
  absl::Duration next_attempt_ = -absl::InfiniteDuration();
  std::minstd_rand jitter_;  // Spreads reconnections of many workers; no secret.
};

}  // namespace ijepa::worker

#endif  // IJEPA_WORKER_DAEMON_COORDINATOR_LINK_H_
