// ijepactl submit: reads a job file, checks it here, hands it to the coordinator.
#include "client/commands/submit.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/commands/commands.h"
#include "client/commands/values.h"
#include "client/follow.h"
#include "client/interrupt.h"
#include "client/job_file.h"
#include "client/render/format.h"
#include "client/render/job_text.h"
#include "proto/spec/spec_reader.h"
#include "proto/spec/summary.h"
#include "proto/spec/train_config.h"

namespace ijepa::client {
namespace {

// Errors take at most this many lines.
constexpr size_t kMostLines = 3;

// Explains an invalid job: one line per problem as the reader words them, and how many more.
ExitCode FailSpec(Context& context, const absl::Status& status, const JobOptions& options) {
  if (!absl::IsInvalidArgument(status)) {
    return context.Fail(ExitCode::kInvalidSpec, {std::string(status.message()), options.file, ""});
  }
  std::vector<std::string> lines =
      absl::StrSplit(std::string(status.message()), '\n', absl::SkipEmpty());
  for (size_t i = 0; i < lines.size() && i < kMostLines; ++i) {
    if (i + 1 == kMostLines && lines.size() > kMostLines) {
      absl::StrAppend(&lines[i], " (and ", lines.size() - kMostLines, " more)");
    }
    context.Fail(ExitCode::kInvalidSpec, {lines[i], "", ""});
  }
  return ExitCode::kInvalidSpec;
}

struct DataPath {
  std::string key;
  const char* flag;
  std::string path;
  // Given on the command line, so it is meant to be here.
  bool given = false;
};

// Counts the images of one path of the job; -1 when it is not here and need not be.
std::optional<int64_t> CountOrExplain(Context& context, const SubmitOptions& options,
                                      const DataPath& data) {
  absl::StatusOr<int64_t> images = CountImages(data.path);
  if (images.ok()) return *images;
  std::string message(images.status().message());
  if (absl::IsNotFound(images.status()) && options.dry_run && !data.given) {
    context.Say(absl::StrCat("note: ", data.key, " ", data.path,
                             " is not here, so the steps are unknown; give ", data.flag, " PATH"));
    return -1;
  }
  context.Fail(ExitCode::kInvalidSpec,
               {message, absl::StrCat(data.key, " = ", data.path),
                absl::StrCat("give ", data.flag,
                             " PATH, a folder or tar of .jpg, .jpeg, .png or .webp files; "
                             "--no-data-check when only the workers see it")});
  return std::nullopt;
}

// Images of the training data, -1 when unknown; nothing when a problem has been explained.
std::optional<int64_t> CheckData(Context& context, const SubmitOptions& options,
                                 const v1::JobSpec& resolved) {
  if (options.no_data_check) return -1;
  const JobOptions& job = options.job;
  for (const DataPath& data :
       {DataPath{"eval.path", "--eval", resolved.eval().path(), job.eval.has_value()},
        DataPath{"eval.fit_path", "--eval-fit", resolved.eval().fit_path(),
                 job.eval_fit.has_value()}}) {
    if (!data.path.empty() && !CountOrExplain(context, options, data)) return std::nullopt;
  }
  std::string path = spec::ImagePath(resolved.data());
  if (path.empty()) return -1;
  return CountOrExplain(context, options,
                        {resolved.data().has_path() ? "data.path" : "data.root_path", "--data",
                         path, job.data.has_value()});
}

ExitCode ShowDryRun(Context& context, const JobFile& job, const spec::JobSummary& summary) {
  if (context.output == OutputFormat::kJson) return context.PrintMessage(job.resolved);
  if (context.output == OutputFormat::kYaml) {
    context.Print(spec::WriteJobSpec(job.resolved));
    return ExitCode::kOk;
  }
  context.Print(
      absl::StrCat(spec::SpecTable(job.sparse, job.resolved), "\n", spec::SummaryTable(summary)));
  return ExitCode::kOk;
}

ExitCode FailCreate(Context& context, const absl::Status& status, const SubmitOptions& options) {
  if (absl::IsInvalidArgument(status)) return FailSpec(context, status, options.job);
  bool told = absl::StrContains(status.message(), "--queue-anyway");
  if (absl::IsFailedPrecondition(status) && !options.queue_anyway && !told) {
    return context.Fail(ExitCode::kConflict,
                        {std::string(status.message()), "",
                         "ask for fewer --ranks, add workers, or wait for them with "
                         "--queue-anyway"});
  }
  return context.FailCall(status, "");
}

// The name of the job that was made; nothing when `exit` says why there is none.
std::optional<std::string> Create(Context& context, const SubmitOptions& options,
                                  const JobFile& job, ExitCode& exit) {
  v1::CreateJobRequest request;
  *request.mutable_spec() = job.sparse;
  request.set_request_id(options.request_id.empty() ? NewRequestId() : options.request_id);
  request.set_queue_anyway(options.queue_anyway);
  request.set_hold(options.hold);
  absl::StatusOr<v1::Job> created = context.api().CreateJob(request);
  if (!created.ok()) {
    exit = FailCreate(context, created.status(), options);
    return std::nullopt;
  }
  std::string id = ShortName(created->name());
  if (context.output == OutputFormat::kTable) {
    context.Print(absl::StrCat(id, "\n"));
  } else {
    context.PrintMessage(*created);
  }
  std::fflush(stdout);
  return created->name();
}

// A file with a matrix: prints the array's id.
ExitCode CreateSweep(Context& context, const SubmitOptions& options, const JobFile& job) {
  v1::CreateArrayRequest request;
  *request.mutable_spec() = job.sparse;
  for (const spec::MatrixAxis& axis : job.axes) {
    v1::MatrixAxis& sent = *request.add_matrix();
    sent.set_path(axis.path);
    for (const std::string& value : axis.values) sent.add_values(value);
  }
  request.set_request_id(options.request_id.empty() ? NewRequestId() : options.request_id);
  request.set_queue_anyway(options.queue_anyway);
  request.set_hold(options.hold);
  absl::StatusOr<v1::JobArray> array = context.api().CreateArray(request);
  if (!array.ok()) return FailCreate(context, array.status(), options);
  if (context.output != OutputFormat::kTable) return context.PrintMessage(*array);
  const std::string id = ShortName(array->name());
  context.Print(absl::StrCat(id, "\n"));
  context.Say(absl::StrCat(array->jobs_size(), " jobs; see them with `ijepactl array ", id, "`"));
  return ExitCode::kOk;
}

// The job as the options say it, checked; nothing when `exit` says what is wrong with it.
std::optional<JobFile> Check(Context& context, const SubmitOptions& options, ExitCode& exit) {
  const auto fail = [&](ExitCode code) {
    exit = code;
    return std::nullopt;
  };
  absl::StatusOr<JobFile> job = ReadJobFile(options.job);
  if (!job.ok()) return fail(FailSpec(context, job.status(), options.job));
  absl::Status valid = ValidateJob(*job, /*need_data=*/!options.dry_run);
  if (!valid.ok()) return fail(FailSpec(context, valid, options.job));
  std::optional<int64_t> images = CheckData(context, options, job->resolved);
  if (!images.has_value()) return fail(ExitCode::kInvalidSpec);
  absl::StatusOr<spec::JobSummary> summary = spec::Summarise(job->resolved, *images);
  if (!summary.ok()) return fail(FailSpec(context, summary.status(), options.job));
  if (summary->total_steps == 0) {
    return fail(context.Fail(
        ExitCode::kInvalidSpec,
        {absl::StrCat("the data has ", *images, " images, which is no step: one step takes ",
                      summary->global_batch, " (shards * data.batch_size)"),
         spec::ImagePath(job->resolved.data()), "lower data.batch_size, or give more images"}));
  }
  if (options.dry_run) return fail(ShowDryRun(context, *job, *summary));
  return *std::move(job);
}

ExitCode RunSubmit(Context& context, const SubmitOptions& options) {
  // From here on Ctrl-C means: let go of the job.
  std::optional<Interrupt> interrupt;
  if (options.watch) {
    Api& api = context.api();
    interrupt.emplace([&api] { api.Cancel(); });
  }
  ExitCode exit = ExitCode::kOk;
  const std::optional<std::string> name = SubmitJob(context, options, exit);
  if (!name.has_value()) return exit;
  if (options.watch) {
    FollowOptions follow = options.follow;
    follow.stream = stderr;
    return FollowJob(context, *interrupt, *name, follow);
  }
  if (context.err().tty) {
    const std::string id = ShortName(*name);
    context.Say(absl::StrCat("follow it with `ijepactl watch ", id, "`, see its output with ",
                             "`ijepactl logs -f ", id, "`, stop it with `ijepactl cancel ", id,
                             "`"));
  }
  return ExitCode::kOk;
}

}  // namespace

std::optional<std::string> SubmitJob(Context& context, const SubmitOptions& options,
                                     ExitCode& exit) {
  const std::optional<JobFile> job = Check(context, options, exit);
  if (job.has_value() && !job->axes.empty()) {
    exit = CreateSweep(context, options, *job);
    return std::nullopt;
  }
  return job.has_value() ? Create(context, options, *job, exit) : std::nullopt;
}

void AddJobOptions(CLI::App& command, JobOptions* job) {
  command.add_option("FILE", job->file, "Job file in YAML; - reads stdin")->required();
  command.add_option("--set", job->settings, "Value over the file's; repeatable")
      ->type_name("PATH=VALUE")
      ->allow_extra_args(false);
  command.add_option("--ranks", job->ranks, "Ranks, one per GPU or CPU slot")->type_name("N");
  command.add_option("--name", job->name, "Name of the job [the file's]")->type_name("NAME");
  command
      .add_option("--data", job->data,
                  "Images to train on: a folder, tar or manifest of JPEG, PNG and WebP")
      ->type_name("PATH");
  command.add_option("--eval", job->eval, "Labelled images to probe on")->type_name("PATH");
  command.add_option("--eval-fit", job->eval_fit, "Labelled images to fit the probes on")
      ->type_name("PATH");
}

void AddSubmit(CLI::App& app, Context& context, ExitCode& exit) {
  auto options = std::make_shared<SubmitOptions>();
  CLI::App* command =
      app.add_subcommand("submit", "Submits a job; prints its id, and nothing else, on stdout");
  AddJobOptions(*command, &options->job);
  command->add_flag("--dry-run", options->dry_run,
                    "Show the resolved job, its parameters, GFLOP, memory and steps; needs no "
                    "coordinator");
  command->add_flag("--watch", options->watch, "Follow the job to its end, on stderr");
  AddDuration(*command, "--timeout", &options->follow.timeout,
              "With --watch: leave with code 124 after this long");
  command->add_flag("--queue-anyway", options->queue_anyway,
                    "Accept a job that needs more slots than there are");
  command->add_flag("--hold", options->hold, "The job waits until it is released");
  command->add_flag("--no-data-check", options->no_data_check,
                    "Do not look for the data here: only the workers see it");
  command
      ->add_option("--request-id", options->request_id,
                   "Submits once however often it is repeated [a new one]")
      ->type_name("UUID");
  command->footer(
      "The values of the file are overridden by --set, those by the other options. Relative paths\n"
      "are made absolute against the current folder. -o yaml with --dry-run writes the resolved\n"
      "job as a job file.\n\n"
      "Examples:\n"
      "  ijepactl submit configs/jobs/demo.yaml --data photos --eval labelled --watch\n"
      "  ijepactl submit configs/published/in1k_vith14_ep300.yaml --ranks 16 --dry-run\n"
      "  ijepactl submit configs/jobs/demo.yaml --data photos --set optimization.lr=5e-4");
  command->callback([options, &context, &exit] { exit = RunSubmit(context, *options); });
}

}  // namespace ijepa::client
