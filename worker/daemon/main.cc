// ijepa-worker: runs the ranks of one node as the coordinator wants them.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "common/file.h"
#include "common/log.h"
#include "common/metrics_server.h"
#include "common/status_macros.h"
#include "proto/spec/settings_reader.h"
#include "worker/daemon/cgroup.h"
#include "worker/daemon/inventory.h"
#include "worker/daemon/network.h"
#include "worker/daemon/settings.h"
#include "worker/daemon/state_lock.h"
#include "worker/daemon/worker.h"
#include "worker/daemon/worker_metrics.h"

namespace ijepa::worker {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

// Flags over the file that --config names over defaults. Ends the program for --help, --version and
// flags that it does not know.
absl::StatusOr<Settings> ReadCommandLine(int argc, char** argv) {
  CLI::App app(
      "Runs the ranks of one node for ijepa-coordinator.\n"
      "SIGTERM and SIGUSR1 drain it: its ranks save at one agreed step and stop, then it ends; a "
      "second one ends it at once. SIGINT ends it and leaves its ranks running: the next worker on "
      "the same state folder adopts them.");
  app.set_version_flag("--version", "ijepa-worker " IJEPA_VERSION);
  std::string config;
  Settings flags;
  app.add_option("--config", config, "YAML file of settings; flags go over it");
  app.add_option("--coordinator", flags.coordinator, "HOST:PORT of its worker listener")
      ->capture_default_str();
  app.add_option("--node", flags.node, "name of this node (default: the host name)");
  app.add_option("--slots", flags.slots, "ranks at a time; auto: one per GPU, else per core")
      ->capture_default_str();
  app.add_option("--state-dir", flags.state_dir, "folder for the ranks' records, local disk");
  app.add_option("--rank-binary", flags.rank_binary, "default: ijepa-rank beside this program");
  app.add_option("--metrics-listen", flags.metrics_listen, "HOST:PORT for /metrics, or none")
      ->capture_default_str();
  app.add_option("--drain-seconds", flags.drain_seconds, "for ranks to save when it is drained")
      ->capture_default_str();
  app.add_option("--cgroup", flags.cgroup, "for a group per rank: auto, none, or a cgroup2 folder")
      ->capture_default_str();
  app.add_option("--tls-certificate", flags.tls_certificate,
                 "PEM file; its common name is the node");
  app.add_option("--tls-key", flags.tls_key, "PEM file with its key");
  app.add_option("--tls-authority", flags.tls_authority,
                 "PEM file of the authority that certifies the coordinator");
  app.add_option("--allocation", flags.allocation,
                 "UID:GENERATION:HOST of the attempt that it is for (set by backends)");
  app.add_option("--leave-ranks", flags.leave_ranks,
                 "yes: ranks outlive the worker and wait for the next one; no: they end with it")
      ->capture_default_str();
  app.add_option("--labels", flags.labels, "where it is: island=a,rack=r7,block=b1");
  app.add_option("--host-address", flags.host_address, "where ranks of other nodes reach this one")
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error) == 0 ? 0 : kExitUsage);
  }
  Settings settings = flags;
  if (!config.empty()) {
    IJEPA_ASSIGN_OR_RETURN(std::string text, ReadFile(config));
    std::map<std::string, std::string*> fields = SettingFields(settings);
    std::vector<std::string> keys;
    for (const auto& [key, field] : fields) keys.push_back(key);
    IJEPA_ASSIGN_OR_RETURN(auto values, spec::ReadSettings(text, config, keys));
    for (const auto& [key, value] : values) {
      std::string flag = "--" + key;
      std::replace(flag.begin(), flag.end(), '_', '-');
      if (app.count(flag) == 0) *fields.at(key) = value;
    }
  }
  return Resolve(std::move(settings));
}

// Blocks the signals for all threads and makes a descriptor of them.
absl::StatusOr<UniqueFd> WatchSignals(std::initializer_list<int> numbers) {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int number : numbers) ::sigaddset(&signals, number);
  if (const int error = ::pthread_sigmask(SIG_BLOCK, &signals, nullptr); error != 0) {
    return ErrnoStatus(error, "blocking", "signals");
  }
  UniqueFd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, "watching", "signals");
  return fd;
}

// What the node has, and where it is.
void AddFacts(const Settings& settings, const Inventory& inventory, v1::NodeInfo& info) {
  info.set_gpu_model(inventory.gpu_model);
  info.set_compute_capability(inventory.compute_capability);
  for (const std::string& feature : inventory.cpu_features) info.add_cpu_features(feature);
  for (const auto& [key, value] : settings.label_map) {
    v1::NodeLabel& label = *info.add_labels();
    label.set_key(key);
    label.set_value(value);
  }
  *info.mutable_network() =
      FindNetwork("/sys", settings.host_address, InterfaceOf(settings.host_address));
}

// Says for which attempt the worker was started, where a backend did that.
absl::Status TakeAllocation(const Settings& settings, Worker::Options& options) {
  if (settings.allocation.empty()) return absl::OkStatus();
  IJEPA_ASSIGN_OR_RETURN(const AllocationParts parts, ParseAllocation(settings.allocation));
  v1::NodeAllocation& allocation = *options.info.mutable_allocation();
  allocation.set_job_uid(parts.job_uid);
  allocation.set_generation(parts.generation);
  allocation.set_host(parts.host);
  const char* token = std::getenv(kAllocationToken);
  options.allocation_token = token == nullptr ? "" : token;
  // Ranks have no use for it.
  ::unsetenv(kAllocationToken);
  return absl::OkStatus();
}

// A folder of its own, made for one attempt. Where it is a mount point, as in a pod, it stays.
void RemoveState(const std::string& state_dir) {
  const absl::Status removed = RemoveTree(state_dir);
  if (!removed.ok()) LogInfo("the state folder stays: ", removed.message());
}

// The exit code.
absl::StatusOr<int> RunWorker(const Settings& settings) {
  ::signal(SIGPIPE, SIG_IGN);
  IJEPA_ASSIGN_OR_RETURN(const UniqueFd stop, WatchSignals({SIGINT}));
  IJEPA_ASSIGN_OR_RETURN(const UniqueFd drain, WatchSignals({SIGTERM, SIGUSR1}));
  // What a dying rank leaves behind comes to us, not to a parent that never reaps.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  IJEPA_ASSIGN_OR_RETURN(UniqueFd lock, LockStateFolder(settings.state_dir));
  std::string no_cgroup;
  IJEPA_ASSIGN_OR_RETURN(
      const std::string cgroup,
      MakeCgroupBase(settings.cgroup, settings.state_dir, CgroupSources(), no_cgroup));
  const Inventory inventory =
      TakeInventory({.visible_devices = std::getenv("CUDA_VISIBLE_DEVICES")});
  IJEPA_ASSIGN_OR_RETURN(const int slots, SlotCount(settings.slots, inventory));

  Worker::Options options;
  const std::unique_ptr<GpuErrors> gpu_errors =
      GpuErrors::Listen(InventorySources().nvml, inventory.devices);
  options.gpu_errors = gpu_errors.get();
  std::unique_ptr<MetricsServer> server;
  std::unique_ptr<WorkerMetrics> metrics;
  if (settings.metrics_listen != "none") {
    IJEPA_ASSIGN_OR_RETURN(server, MetricsServer::Start(settings.metrics_listen));
    metrics = std::make_unique<WorkerMetrics>(server->registry(), slots);
    options.metrics = metrics.get();
    options.info.set_metrics_address(server->address());
  }
  options.state_dir = settings.state_dir;
  options.rank_binary = settings.rank_binary;
  options.coordinator = settings.coordinator;
  if (!settings.tls_authority.empty()) {
    IJEPA_ASSIGN_OR_RETURN(options.tls.certificate, ReadFile(settings.tls_certificate));
    IJEPA_ASSIGN_OR_RETURN(options.tls.key, ReadFile(settings.tls_key));
    IJEPA_ASSIGN_OR_RETURN(options.tls.authority, ReadFile(settings.tls_authority));
  }
  options.host_address = settings.host_address;
  options.devices = inventory.devices;
  options.cgroup_base = cgroup;
  options.stop_fd = stop.get();
  options.drain_fd = drain.get();
  options.drain_time = settings.drain_time;
  options.leave_ranks = settings.leave_ranks == "yes" && settings.allocation.empty();
  options.info.set_node(settings.node);
  options.info.set_slots(slots);
  options.info.set_version(IJEPA_VERSION);
  IJEPA_RETURN_IF_ERROR(TakeAllocation(settings, options));
  AddFacts(settings, inventory, options.info);

  const nlohmann::json about = {{"pid", ::getpid()},
                                {"node", settings.node},
                                {"version", IJEPA_VERSION},
                                {"cgroup", cgroup},
                                {"metrics_address", options.info.metrics_address()}};
  IJEPA_RETURN_IF_ERROR(
      WriteFileAtomically(settings.state_dir + "/worker.json", about.dump() + "\n"));
  LogInfo("ijepa-worker ", IJEPA_VERSION, " node=", settings.node, " slots=", slots,
          " gpu=", inventory.gpu_model.empty() ? "none" : inventory.gpu_model,
          " coordinator=", settings.coordinator, " state_dir=", settings.state_dir,
          " metrics=", options.info.metrics_address(),
          " network=", DescribeNetwork(options.info.network()), " cgroup=",
          cgroup.empty() ? absl::StrCat("none, ranks are process groups: ", no_cgroup) : cgroup);
  IJEPA_ASSIGN_OR_RETURN(std::unique_ptr<Worker> worker, Worker::Create(std::move(options)));
  const int code = worker->Run();
  if (worker->AllocationOver()) {
    worker.reset();
    RemoveState(settings.state_dir);
  }
  return code;
}

}  // namespace
}  // namespace ijepa::worker

int main(int argc, char** argv) {
  ijepa::InitLog("ijepa-worker");
  const absl::StatusOr<ijepa::worker::Settings> settings =
      ijepa::worker::ReadCommandLine(argc, argv);
  if (!settings.ok()) {
    std::fprintf(stderr, "ijepa-worker: %s\n", std::string(settings.status().message()).c_str());
    return ijepa::worker::kExitUsage;
  }
  const absl::StatusOr<int> code = ijepa::worker::RunWorker(*settings);
  if (code.ok()) return *code;
  std::fprintf(stderr, "ijepa-worker: %s\n", std::string(code.status().message()).c_str());
  return ijepa::worker::kExitFailed;
}
