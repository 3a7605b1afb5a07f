// jepa::RunHost over the socket that a rank listens on and its worker connects to.
#ifndef IJEPA_WORKER_RANK_LINK_HOST_H_
#define IJEPA_WORKER_RANK_LINK_HOST_H_

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/file.h"
#include "ijepa/v1/rank_link.pb.h"
#include "worker/jepa/run_host.h"
#include "worker/link/frame_socket.h"
#include "worker/rank/outbox.h"

namespace ijepa::rank {

// A link thread owns the socket and serves one worker at a time; a newer connection takes the place
// of the older, as after a restart of the worker. What wants an acknowledgement is sent again on
// every new connection and while it has none. Public functions are thread-safe.
class LinkHost final : public jepa::RunHost {
 public:
  struct Options {
    // Folder of the rank; link.sock is made in it.
    std::string folder;
    int rank = 0;
    int64_t generation = 1;
    // Readable when the process was asked to stop (a signalfd); then a drain is requested. -1:
    // none. Not owned.
    int drain_fd = -1;
    // Without any worker for this long, Alive says to stop: another attempt may be running.
    absl::Duration reattach_window = absl::Minutes(10);
    // Step reports are sent at most this often; the newest wins.
    absl::Duration step_interval = absl::Milliseconds(250);
    Outbox::Options outbox;
    // Outlives the host.
    Clock* clock = &Clock::Real();
  };

  // Listens and starts the link thread.
  static absl::StatusOr<std::unique_ptr<LinkHost>> Start(Options options);
  // Stops the link thread; what was not acknowledged is lost.
  ~LinkHost() override;

  absl::Status Put(absl::string_view key, absl::string_view value) override;
  absl::StatusOr<std::string> Get(absl::string_view key, absl::Duration timeout) override;
  void ReportStep(const jepa::StepReport& report) override;
  void EnterPhase(jepa::RunPhase phase) override;
  void ReportProbe(const jepa::ProbeReport& report) override;
  void ReportNetwork(const jepa::NetworkReport& report) override;
  void Note(absl::string_view code, absl::string_view message, int64_t step) override;
  absl::StatusOr<std::vector<std::string>> Commit(const jepa::CheckpointInfo& checkpoint,
                                                  absl::Duration timeout) override;
  bool DrainRequested() override;
  absl::Status Alive() override;
  // Sends what is due for 5 s at most, writes the exit record and ends the process; no thread is
  // joined and nothing is destroyed.
  void Leave(const absl::Status& why) override;

  // Waits until everything is acknowledged and the newest step report is sent, at most `timeout`.
  // Returns DeadlineExceeded, or the error of Alive.
  absl::Status Flush(absl::Duration timeout);
  // Step of the newest report; 0 before the first.
  int64_t last_step();

 private:
  LinkHost(Options options, UniqueFd listener, UniqueFd wake);

  void Loop();
  // Milliseconds the link thread may sleep.
  int PollTimeout();
  void Accept();
  void ServeConnection();
  void Handle(const v1::ToRank& message);
  void SendDue();
  void Disconnect(const absl::Status& why);
  void Wake();
  int64_t Enqueue(v1::FromRank message);
  // Waits for the answer to `sequence`; `what` names it in errors.
  absl::StatusOr<v1::ToRank> Await(int64_t sequence, absl::Duration timeout,
                                   absl::string_view what);
  absl::Status AliveLocked() const;

  const Options options_;

  // Of the link thread.
  const UniqueFd listener_;
  std::optional<link::FrameSocket> connection_;
  bool drain_fd_open_ = true;

  const UniqueFd wake_;  // An eventfd.
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_ from here on.
  Outbox outbox_;
  std::optional<v1::StepReport> newest_step_;
  bool step_unsent_ = false;
  absl::Duration step_sent_ = -absl::InfiniteDuration();
  bool attached_ = false;
  absl::Duration detached_since_;
  bool drain_ = false;
  bool superseded_ = false;
  bool stop_ = false;

  std::thread thread_;  // Last: it uses everything above.
};

}  // namespace ijepa::rank

#endif  // IJEPA_WORKER_RANK_LINK_HOST_H_
