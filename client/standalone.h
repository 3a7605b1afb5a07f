// A cluster for one run, without a coordinator at hand: a coordinator and workers as children of
// this process. Inside a SLURM allocation srun starts a worker on each of its nodes; elsewhere
// there is one worker, on this machine.
#ifndef IJEPA_CLIENT_STANDALONE_H_
#define IJEPA_CLIENT_STANDALONE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/supervised.h"

namespace ijepa::client {

// The allocation this process runs in.
struct Allocation {
  // Nodes of a SLURM allocation; 0 outside of one.
  int nodes = 0;
  // Ranks on each node: its tasks per node. Empty: not said.
  std::string tasks_per_node;
  std::string job_id;
};

// From SLURM_JOB_ID, SLURM_JOB_NUM_NODES and SLURM_NTASKS_PER_NODE. InvalidArgument if they
// contradict each other.
absl::StatusOr<Allocation> FindAllocation();

struct StandaloneOptions {
  // Store, logs, and the job's name, so that the same folder goes on with the same job. On storage
  // that every node sees.
  std::string folder;
  // Below it each job has a folder of checkpoints. On storage that every node sees.
  std::string checkpoint_root;
  // Folder of the programs; empty: they are looked up in PATH.
  std::string programs;
  // Ranks per worker: a number, or auto.
  std::string slots = "auto";
  // For ranks to save when the run is stopped.
  absl::Duration drain_time = absl::Seconds(120);
  // Called once, from a thread of its own, when one of the programs has ended too often; status()
  // then says which.
  std::function<void()> on_given_up;
};

// The command of the worker, or of srun with a worker on each node. `port`: of the coordinator's
// worker listener.
std::vector<std::string> WorkerCommand(const StandaloneOptions& options,
                                       const Allocation& allocation, const std::string& port);

// Thread-compatible. One at a time on a folder: the coordinator refuses a second.
class Standalone {
 public:
  // Starts both, and answers when the coordinator serves. Unavailable, with the end of its log, if
  // it does not within half a minute.
  static absl::StatusOr<std::unique_ptr<Standalone>> Start(const StandaloneOptions& options,
                                                           const Allocation& allocation);

  // HOST:PORT of the coordinator, for clients.
  const std::string& address() const { return address_; }

  // Says which program is no longer started again, and how it ended; OK while all is well.
  absl::Status status();

  // Ranks save at one agreed step and stop, then the workers end. DeadlineExceeded if they are not
  // done within drain_time and some seconds.
  absl::Status Drain();

 private:
  explicit Standalone(const StandaloneOptions& options) : options_(options) {}
  absl::Status StartCoordinator(bool one_machine);

  const StandaloneOptions options_;
  std::string address_;
  std::string worker_port_;
  // In this order, so that workers end first.
  std::unique_ptr<Supervised> coordinator_;
  std::unique_ptr<Supervised> workers_;
};

}  // namespace ijepa::client

#endif  // IJEPA_CLIENT_STANDALONE_H_
