// See standalone.h.
#include "client/standalone.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace ijepa::client {
namespace {

constexpr absl::Duration kServing = absl::Seconds(30);
// Beyond the time that ranks have to save.
constexpr absl::Duration kEndOfWorkers = absl::Seconds(20);
constexpr std::chrono::milliseconds kPoll(50);
constexpr size_t kLogTail = 600;

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string Program(const StandaloneOptions& options, const std::string& name) {
  return options.programs.empty() ? name : options.programs + "/" + name;
}

// The end of a log, for an error about its program.
std::string Tail(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return "";
  return text->size() <= kLogTail ? *text : text->substr(text->size() - kLogTail);
}

// Two ports that nobody listens on now, as text. They are named, not left to the coordinator, so
// that a restarted one is found where it was.
absl::StatusOr<std::pair<std::string, std::string>> FreePorts() {
  UniqueFd sockets[2];
  std::string ports[2];
  for (int i = 0; i < 2; ++i) {
    sockets[i].Reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof(address);
    if (!sockets[i].valid() || ::bind(sockets[i].get(), generic, size) != 0 ||
        ::getsockname(sockets[i].get(), generic, &size) != 0) {
      return ErrnoStatus(errno, "finding", "a free port");
    }
    ports[i] = absl::StrCat(ntohs(address.sin_port));
  }
  return std::pair(ports[0], ports[1]);
}

}  // namespace

absl::StatusOr<Allocation> FindAllocation() {
  Allocation found;
  found.job_id = Variable("SLURM_JOB_ID");
  if (found.job_id.empty()) return found;
  const std::string nodes = Variable("SLURM_JOB_NUM_NODES");
  if (!absl::SimpleAtoi(nodes, &found.nodes) || found.nodes < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("SLURM_JOB_NUM_NODES is \"", nodes, "\" in SLURM job ", found.job_id,
                     "; must be a positive number; run inside sbatch or salloc"));
  }
  found.tasks_per_node = Variable("SLURM_NTASKS_PER_NODE");
  return found;
}

std::vector<std::string> WorkerCommand(const StandaloneOptions& options,
                                       const Allocation& allocation, const std::string& port) {
  const std::string program = Program(options, "ijepa-worker");
  const std::string drain = absl::StrCat(absl::ToInt64Seconds(options.drain_time));
  std::string slots = options.slots;
  if (slots == "auto" && !allocation.tasks_per_node.empty()) slots = allocation.tasks_per_node;
  if (allocation.nodes == 0) {
    return {program,
            "--coordinator",
            "127.0.0.1:" + port,
            "--slots",
            slots,
            "--state-dir",
            options.folder + "/worker",
            "--drain-seconds",
            drain,
            "--metrics-listen",
            "none"};
  }
  // Each node fills in its own name and the address that srun came from. Sockets of ranks need a
  // short path on a local disk.
  const std::string script = absl::StrCat(
      "exec '", program, "' --node \"$SLURMD_NODENAME\"",
      " --coordinator \"$SLURM_LAUNCH_NODE_IPADDR:", port, "\"",
      " --state-dir \"${TMPDIR:-/tmp}/ijepa-", allocation.job_id, "-$SLURMD_NODENAME\"",
      " --slots ", slots, " --drain-seconds ", drain, " --leave-ranks no --metrics-listen none");
  const std::string nodes = absl::StrCat(allocation.nodes);
  // A worker that fails is started again by the next srun; the others train on meanwhile.
  return {"srun",
          "--nodes",
          nodes,
          "--ntasks",
          nodes,
          "--ntasks-per-node",
          "1",
          "--cpu-bind=none",
          "--kill-on-bad-exit=0",
          "--overlap",
          "--wait=0",
          "--export=ALL",
          "/bin/sh",
          "-c",
          script};
}

absl::StatusOr<std::unique_ptr<Standalone>> Standalone::Start(const StandaloneOptions& options,
                                                              const Allocation& allocation) {
  std::error_code error;
  std::filesystem::create_directories(options.folder + "/coordinator", error);
  if (error) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot make ", options.folder, ": ", error.message()));
  }
  auto cluster = absl::WrapUnique(new Standalone(options));
  IJEPA_RETURN_IF_ERROR(cluster->StartCoordinator(/*one_machine=*/allocation.nodes == 0));
  Supervised::Options workers;
  workers.command = WorkerCommand(options, allocation, cluster->worker_port_);
  workers.log_file = options.folder + "/workers.log";
  workers.on_given_up = options.on_given_up;
  cluster->workers_ = std::make_unique<Supervised>(std::move(workers));
  return cluster;
}

absl::Status Standalone::StartCoordinator(bool one_machine) {
  IJEPA_ASSIGN_OR_RETURN(const auto ports, FreePorts());
  worker_port_ = ports.second;
  const std::string data = options_.folder + "/coordinator";
  const std::string addresses = data + "/addresses.json";
  std::error_code error;
  std::filesystem::remove(addresses, error);
  Supervised::Options coordinator;
  coordinator.command = {Program(options_, "ijepa-coordinator"),
                         "--listen",
                         "127.0.0.1:" + ports.first,
                         "--worker-listen",
                         (one_machine ? "127.0.0.1:" : "0.0.0.0:") + ports.second,
                         "--metrics-listen",
                         "none",
                         "--data-dir",
                         data,
                         "--checkpoint-root",
                         options_.checkpoint_root};
  if (!one_machine) coordinator.command.push_back("--insecure");
  coordinator.log_file = options_.folder + "/coordinator.log";
  coordinator.on_given_up = options_.on_given_up;
  coordinator_ = std::make_unique<Supervised>(std::move(coordinator));
  Clock& clock = Clock::Real();
  const absl::Duration deadline = clock.Monotonic() + kServing;
  while (!std::filesystem::exists(addresses, error)) {
    const absl::Status ended = coordinator_->status();
    if (!ended.ok() || clock.Monotonic() > deadline) {
      return absl::UnavailableError(
          absl::StrCat("the coordinator does not serve: ", std::string(ended.message()), "\n",
                       Tail(options_.folder + "/coordinator.log")));
    }
    std::this_thread::sleep_for(kPoll);
  }
  address_ = "127.0.0.1:" + ports.first;
  return absl::OkStatus();
}

absl::Status Standalone::status() {
  IJEPA_RETURN_IF_ERROR(coordinator_->status());
  return workers_->status();
}

absl::Status Standalone::Drain() {
  // srun passes it on to each worker.
  if (workers_->Stop(SIGUSR1, options_.drain_time + kEndOfWorkers)) return absl::OkStatus();
  return absl::DeadlineExceededError(
      absl::StrCat("the workers did not end within ",
                   absl::FormatDuration(options_.drain_time + kEndOfWorkers), " of being drained"));
}

}  // namespace ijepa::client
