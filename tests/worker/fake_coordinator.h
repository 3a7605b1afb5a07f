// A coordinator that remembers what a worker tells it, and does what the test says.
#ifndef IJEPA_TESTS_WORKER_FAKE_COORDINATOR_H_
#define IJEPA_TESTS_WORKER_FAKE_COORDINATOR_H_

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "ijepa/v1/worker.grpc.pb.h"
#include "worker/daemon/rank_key.h"

namespace ijepa::worker {

// What it was told.
struct Seen {
  int hellos = 0;
  v1::Hello hello;  // The newest.
  int reports = 0;
  v1::NodeReport report;  // The newest, the one in Hello counts.
  std::map<RankKey, std::vector<v1::FromRank>> messages;
  std::map<RankKey, std::string> logs;
  std::map<std::string, std::string> values;  // Of the rendezvous.

  // Of the newest report; unset if the rank is not in it.
  v1::RankStatus Status(const RankKey& key) const;
  bool HasNote(const RankKey& key, const std::string& code) const;
};

// Welcomes, sends the desired state, acknowledges what has a sequence, commits, stores logs and
// rendezvous values.
class FakeCoordinator final : public v1::WorkerService::Service {
 public:
  struct Options {
    int port = 0;
    int64_t epoch = 1;
    double heartbeat_interval_seconds = 0.1;
    double reattach_window_seconds = 600;
    bool acknowledge_reports = true;
    bool acknowledge_logs = true;
    bool answer_ranks = true;
    // Logs as an earlier coordinator had stored them.
    std::map<RankKey, std::string> logs;
  };
  explicit FakeCoordinator(Options options);
  ~FakeCoordinator() override;

  int port() const { return port_; }
  // Replaces the desired state; `state.revision` is set here.
  void Want(v1::DesiredState state);
  // Waits until `condition` holds, a minute at most. Returns whether it does.
  bool WaitFor(const std::function<bool(const Seen&)>& condition);
  Seen seen();

 private:
  using Stream = grpc::ServerReaderWriter<v1::CoordinatorMessage, v1::WorkerMessage>;
  grpc::Status Connect(grpc::ServerContext* context, Stream* stream) override;
  void Handle(Stream& stream, const v1::WorkerMessage& message);
  void HandleRank(Stream& stream, const v1::RankMessage& message);
  void HandleLog(Stream& stream, const v1::LogChunk& chunk);
  void Write(Stream& stream, v1::CoordinatorMessage message);

  const Options options_;
  int port_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  Seen seen_;
  v1::DesiredState desired_;
  Stream* stream_ = nullptr;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace ijepa::worker

#endif  // IJEPA_TESTS_WORKER_FAKE_COORDINATOR_H_
