// ijepactl array: the jobs of a sweep in one table.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/commands/commands.h"
#include "client/render/format.h"
#include "client/render/job_text.h"
#include "client/render/table.h"

namespace ijepa::client {
namespace {

std::string SettingsText(const v1::Job& job) {
  return absl::StrJoin(job.array().settings(), " ",
                       [](std::string* out, const v1::MatrixSetting& setting) {
                         absl::StrAppend(out, setting.path(), "=", setting.value());
                       });
}

std::string ProbeText(const v1::Job& job) {
  const auto& probes = job.status().probes();
  if (probes.empty() || probes.rbegin()->scores().empty()) return "-";
  const v1::ProbeScore& score = probes.rbegin()->scores(0);
  return absl::StrCat(score.target(), " ", score.method(), " ", FormatPercent(score.accuracy()));
}

}  // namespace

ExitCode ShowArray(Context& context, const v1::JobArray& array) {
  if (context.output != OutputFormat::kTable) return context.PrintMessage(array);
  Table table({{"JOB"},
               {"STATE"},
               {"STEP", Align::kRight},
               {"LOSS", Align::kRight},
               {"PROBE"},
               {"SETTINGS"}});
  for (const v1::Job& job : array.jobs()) {
    const v1::JobStatus& status = job.status();
    const bool stepped = status.progress().total_steps() > 0;
    table.AddRow({ShortName(job.name()),
                  {StateName(status.state()), StateTone(status.state())},
                  stepped ? absl::StrCat(status.progress().step()) : "-",
                  stepped ? FormatNumber(status.progress().loss()) : "-",
                  ProbeText(job),
                  SettingsText(job)});
  }
  context.Print(table.Render(context.out()));
  context.Say(absl::StrJoin(array.states(), ", ", [](std::string* out, const v1::StateCount& c) {
    absl::StrAppend(out, c.count(), " ", StateName(c.state()));
  }));
  if (!array.best_job().empty()) {
    context.Say(absl::StrCat("best by its newest probes: ", ShortName(array.best_job())));
  }
  return ExitCode::kOk;
}

void AddArray(CLI::App& app, Context& context, ExitCode& exit) {
  auto name = std::make_shared<std::string>();
  auto cancel = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("array", "Shows the jobs of an array in one table");
  command->add_option("ARRAY", *name, "Array, as submit printed it")->required();
  command->add_flag("--cancel", *cancel, "Cancel all its jobs that have not ended");
  command->footer(
      "Examples:\n  ijepactl array sweep-k3q7xa\n  ijepactl array sweep-k3q7xa --cancel");
  command->callback([name, cancel, &context, &exit] {
    absl::StatusOr<v1::JobArray> array =
        *cancel ? context.api().CancelArray(*name) : context.api().GetArray(*name);
    exit = array.ok() ? ShowArray(context, *array) : context.FailCall(array.status(), *name);
  });
}

}  // namespace ijepa::client
