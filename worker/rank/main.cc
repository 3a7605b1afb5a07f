// ijepa-rank: one training process of a job. Started by ijepa-worker, which it outlives.
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "proto/spec/summary.h"
#include "proto/spec/train_config.h"
#include "worker/jepa/trainer.h"
#include "worker/link/rank_folder.h"
#include "worker/rank/exit_record.h"
#include "worker/rank/link_host.h"
#include "worker/rank/nccl_environment.h"
#include "worker/rank/node_facts.h"
#include "worker/rank/stack_signal.h"

namespace ijepa::rank {
namespace {

// The last probes and notes wait for a coordinator that restarts; an error is told by the exit
// record as well and waits less.
constexpr absl::Duration kFlushTimeout = absl::Minutes(10);
constexpr absl::Duration kFailureFlushTimeout = absl::Seconds(5);

absl::StatusOr<v1::RankLaunch> ReadLaunch(const std::string& folder) {
  IJEPA_ASSIGN_OR_RETURN(std::string data, ReadFile(absl::StrCat(folder, "/", link::kLaunchFile)));
  v1::RankLaunch launch;
  if (!launch.ParseFromString(data)) {
    return absl::DataLossError(
        absl::StrCat(folder, "/", link::kLaunchFile, " is not a RankLaunch"));
  }
  return launch;
}

// SIGTERM asks for a drain. Blocked before any thread starts, so that only the descriptor sees it.
absl::StatusOr<UniqueFd> DrainSignal() {
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  if (const int error = ::pthread_sigmask(SIG_BLOCK, &signals, nullptr); error != 0) {
    return ErrnoStatus(error, "blocking", "SIGTERM");
  }
  UniqueFd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, "watching", "SIGTERM");
  return fd;
}

absl::StatusOr<jepa::TrainOutcome> TrainFrom(const v1::RankLaunch& launch, LinkHost& host) {
  std::vector<std::string> warnings;
  IJEPA_ASSIGN_OR_RETURN(
      jepa::TrainConfig config,
      spec::TrainConfigFrom(
          launch, FindNodeFacts("/proc", "/dev", std::getenv("CUDA_VISIBLE_DEVICES")), &warnings));
  config.device_index = 0;  // The worker lets this process see its own device only.
  if (launch.rank() == 0) {
    std::printf("%s", spec::SpecTable(launch.spec(), launch.spec()).c_str());
    std::fflush(stdout);
    LogInfo("network host_address=", launch.host_address(),
            " nccl_environment=", NcclEnvironment(environ));
    for (const std::string& warning : warnings) host.Note("PRECISION_FALLBACK", warning, 0);
  }
  return jepa::Train(config, host);
}

// Returns the exit code. The record is the last act.
int Run(const std::string& folder) {
  v1::RankExit record;
  const absl::Status status = [&]() -> absl::Status {
    IJEPA_ASSIGN_OR_RETURN(v1::RankLaunch launch, ReadLaunch(folder));
    LogInfo("ijepa-rank ", IJEPA_VERSION, " job=", launch.job_uid(), " name=", launch.job_name(),
            " generation=", launch.generation(), " rank=", launch.rank(), "/", launch.world_size());
    IJEPA_ASSIGN_OR_RETURN(UniqueFd drain, DrainSignal());
    LinkHost::Options options;
    options.folder = folder;
    options.rank = launch.rank();
    options.generation = launch.generation();
    options.drain_fd = drain.get();
    IJEPA_ASSIGN_OR_RETURN(std::unique_ptr<LinkHost> host, LinkHost::Start(std::move(options)));
    const absl::StatusOr<jepa::TrainOutcome> outcome = TrainFrom(launch, *host);
    const absl::Status flushed = host->Flush(outcome.ok() ? kFlushTimeout : kFailureFlushTimeout);
    if (!flushed.ok()) LogWarning("last messages were not taken: ", flushed.message());
    const absl::Time now = Clock::Real().Now();
    record = outcome.ok()
                 ? SuccessRecord(*outcome == jepa::TrainOutcome::kDrained, host->last_step(), now)
                 : FailureRecord(outcome.status(), host->last_step(), now);
    return outcome.status();
  }();
  if (!status.ok()) {
    LogError("failed: ", absl::StatusCodeToString(status.code()), ": ", status.message());
    if (record.outcome() == v1::RANK_OUTCOME_UNSPECIFIED) {
      record = FailureRecord(status, 0, Clock::Real().Now());
    }
  }
  if (absl::Status written = WriteExitRecord(folder, record); !written.ok()) {
    LogError("no exit record: ", written.message());
  }
  return record.exit_code();
}

}  // namespace
}  // namespace ijepa::rank

int main(int argc, char** argv) {
  ijepa::rank::InstallStackSignal();
  ijepa::InitLog("ijepa-rank");
  CLI::App app("One training process of a job; ijepa-worker starts it.");
  app.set_version_flag("--version", "ijepa-rank " IJEPA_VERSION);
  app.require_subcommand(1);
  std::string folder;
  CLI::App* run = app.add_subcommand("run", "Trains as launch.pb in the folder says");
  run->add_option("--folder", folder, "folder of the rank, made by the worker")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? ijepa::rank::kExitSuccess : ijepa::rank::kExitUsage;
  }
  const int code = ijepa::rank::Run(folder);
  std::fflush(nullptr);
  // The teardown of LibTorch and CUDA is skipped: a crash in it would hide how the rank ended.
  std::_Exit(code);
}
