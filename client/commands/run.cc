// ijepactl run --standalone: one job on a cluster of its own, from start to end, inside a SLURM
// allocation or on this machine.
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/commands/commands.h"
#include "client/commands/submit.h"
#include "client/commands/values.h"
#include "client/follow.h"
#include "client/interrupt.h"
#include "client/render/job_text.h"
#include "client/standalone.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace ijepa::client {
namespace {

constexpr absl::Duration kWorkersThere = absl::Seconds(60);
constexpr absl::Duration kPoll = absl::Milliseconds(200);

struct RunOptions {
  SubmitOptions submit;
  StandaloneOptions cluster;
  std::string folder = "ijepa-run";
  bool standalone = false;
};

// Waits for all workers, so that a job that fits nowhere is refused with the numbers.
absl::Status WaitForWorkers(Context& context, Interrupt& interrupt, Standalone& cluster,
                            int workers) {
  const absl::Duration deadline = context.clock().Monotonic() + kWorkersThere;
  for (;;) {
    const absl::StatusOr<v1::ListNodesResponse> nodes = context.api().ListNodes();
    int ready = 0;
    if (nodes.ok()) {
      for (const v1::Node& node : nodes->nodes()) {
        ready += node.state() == v1::NODE_STATE_READY ? 1 : 0;
      }
    }
    if (ready >= workers) return absl::OkStatus();
    IJEPA_RETURN_IF_ERROR(cluster.status());
    if (interrupt.happened()) return absl::CancelledError("stopped before the workers were there");
    if (context.clock().Monotonic() > deadline) {
      return absl::DeadlineExceededError(absl::StrCat(ready, " of ", workers,
                                                      " workers are there after ",
                                                      absl::FormatDuration(kWorkersThere)));
    }
    interrupt.WaitFor(kPoll);
  }
}

// The job of the folder: the one of an earlier run there, else a new one. Nothing when `exit` says
// why there is none.
std::optional<std::string> FindOrSubmit(Context& context, const RunOptions& options,
                                        ExitCode& exit) {
  const std::string note = options.cluster.folder + "/job";
  if (const absl::StatusOr<std::string> earlier = ReadFile(note); earlier.ok()) {
    std::string name(absl::StripSuffix(*earlier, "\n"));
    context.Say(absl::StrCat("going on with ", ShortName(name), " of ", options.cluster.folder,
                             "; its settings stay as they were"));
    return name;
  }
  const std::optional<std::string> name = SubmitJob(context, options.submit, exit);
  if (!name.has_value()) return std::nullopt;
  const absl::Status noted = WriteFileAtomically(note, *name + "\n");
  if (!noted.ok()) {
    exit = context.FailFile(noted);
    return std::nullopt;
  }
  return name;
}

ExitCode FailCluster(Context& context, const RunOptions& options, const absl::Status& status) {
  return context.Fail(ExitCode::kFailed,
                      {std::string(status.message()), options.cluster.folder,
                       "coordinator.log and workers.log there say more; the same command goes on"});
}

// Saves, and says how to go on.
ExitCode StopRun(Context& context, const RunOptions& options, Standalone& cluster) {
  const absl::Status status = cluster.status();
  context.Say("stopping: ranks save and end");
  const absl::Status drained = cluster.Drain();
  if (!status.ok()) return FailCluster(context, options, status);
  if (!drained.ok()) return FailCluster(context, options, drained);
  context.Say(absl::StrCat("stopped; the same command with --folder ", options.cluster.folder,
                           " goes on from there"));
  return ExitCode::kStopped;
}

ExitCode RunOnCluster(Context& context, const RunOptions& options, const Allocation& allocation,
                      Interrupt& interrupt, Standalone& cluster) {
  const absl::Status there =
      WaitForWorkers(context, interrupt, cluster, std::max(1, allocation.nodes));
  if (interrupt.happened()) return StopRun(context, options, cluster);
  if (!there.ok()) return FailCluster(context, options, there);
  ExitCode exit = ExitCode::kOk;
  const std::optional<std::string> name = FindOrSubmit(context, options, exit);
  if (!name.has_value()) return exit;
  FollowOptions follow = options.submit.follow;
  follow.stream = stderr;
  follow.say_detached = false;
  exit = FollowJob(context, interrupt, *name, follow);
  const bool unfinished = exit == ExitCode::kInterrupted || exit == ExitCode::kTimeout;
  return unfinished ? StopRun(context, options, cluster) : exit;
}

ExitCode Run(Context& context, RunOptions& options) {
  if (!options.standalone) {
    return context.Fail(ExitCode::kUsage, {"run needs --standalone", "",
                                           "to give a job to a coordinator: `ijepactl submit`"});
  }
  const absl::StatusOr<Allocation> allocation = FindAllocation();
  if (!allocation.ok()) {
    return context.Fail(ExitCode::kUsage, {std::string(allocation.status().message()), "", ""});
  }
  std::error_code error;
  StandaloneOptions& cluster = options.cluster;
  cluster.folder = std::filesystem::absolute(options.folder, error).lexically_normal().string();
  cluster.checkpoint_root = cluster.folder + "/checkpoints";
  cluster.programs = std::filesystem::read_symlink("/proc/self/exe", error).parent_path().string();
  cluster.drain_time = std::max(cluster.drain_time, absl::Seconds(1));
  // Before anything starts threads.
  std::atomic<Api*> api = nullptr;
  Interrupt interrupt([&api] {
    if (Api* calls = api.load()) calls->Cancel();
  });
  cluster.on_given_up = [&interrupt] { interrupt.Trigger(); };
  absl::StatusOr<std::unique_ptr<Standalone>> started = Standalone::Start(cluster, *allocation);
  if (!started.ok()) return FailCluster(context, options, started.status());
  context.coordinator = (*started)->address();
  // Those of another cluster.
  context.token_file.clear();
  context.tls_authority.clear();
  api = &context.api();
  context.Say(absl::StrCat("coordinator on ", context.coordinator, ", ",
                           allocation->nodes == 0
                               ? std::string("worker on this machine")
                               : absl::StrCat("workers on ", allocation->nodes,
                                              " nodes of SLURM job ", allocation->job_id),
                           ", logs in ", cluster.folder));
  return RunOnCluster(context, options, *allocation, interrupt, **started);
}

}  // namespace

void AddRun(CLI::App& app, Context& context, ExitCode& exit) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command = app.add_subcommand(
      "run", "Runs one job to its end on a cluster of its own; no coordinator is needed");
  command->add_flag("--standalone", options->standalone,
                    "Start a coordinator and workers for this job: on the nodes of the SLURM "
                    "allocation, else on this machine");
  AddJobOptions(*command, &options->submit.job);
  command
      ->add_option(
          "--folder", options->folder,
          "Store, logs and checkpoints of the run, on storage that all nodes see; the same "
          "folder goes on with the same job [ijepa-run]")
      ->type_name("DIR");
  command
      ->add_option("--slots", options->cluster.slots,
                   "Ranks on each node [SLURM's tasks per node, else one per GPU, else per core]")
      ->type_name("N");
  AddDuration(*command, "--drain", &options->cluster.drain_time,
              "For ranks to save when the run is stopped [2m]");
  AddDuration(*command, "--timeout", &options->submit.follow.timeout,
              "Save and stop, with code 75, after this long");
  command->add_flag("--no-data-check", options->submit.no_data_check,
                    "Do not look for the data here: only the workers see it");
  command->footer(
      "SIGINT, SIGTERM and SIGUSR1 stop the run: ranks save at one agreed step and end, and the "
      "code\n"
      "is 75. A second signal ends it at once. deploy/slurm/standalone.sbatch is a batch "
      "script.\n\n"
      "Example:\n"
      "  ijepactl run --standalone configs/jobs/demo.yaml --data photos --folder runs/demo");
  command->callback([options, &context, &exit] { exit = Run(context, *options); });
}

}  // namespace ijepa::client
