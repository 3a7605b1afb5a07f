// ijepactl data verify, stats and pack: a look at images before a job does it, and tars made of
// them.
#include <google/protobuf/struct.pb.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/commands/commands.h"
#include "client/render/format.h"
#include "client/render/table.h"
#include "worker/jepa/data/survey.h"
#include "worker/jepa/data/tar_shards.h"

namespace ijepa::client {
namespace {

constexpr int kBarWidth = 30;
constexpr int64_t kMebibyte = int64_t{1} << 20;

struct DataSetOptions {
  std::string path;
  std::string folder;
  int threads = 0;  // 0: one per processor.
  int64_t shard_mebibytes = 1024;
};

// A bar on stderr, where that is a terminal.
class ProgressBar {
 public:
  ProgressBar(Context& context, int64_t total) : shown_(context.err().tty), total_(total) {}
  ~ProgressBar() {
    if (shown_) std::fprintf(stderr, "\r\033[K");
  }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void Show(int64_t done) {
    const int64_t percent = total_ > 0 ? done * 100 / total_ : 100;
    if (!shown_ || percent == percent_) return;
    percent_ = percent;
    const std::string bar(static_cast<size_t>(percent * kBarWidth / 100), '#');
    std::fprintf(stderr, "\r[%-*s] %3d %%  %s/%s", kBarWidth, bar.c_str(),
                 static_cast<int>(percent), FormatCount(done).c_str(), FormatCount(total_).c_str());
    std::fflush(stderr);
  }

 private:
  const bool shown_;
  const int64_t total_;
  int64_t percent_ = -1;
};

ExitCode FailData(Context& context, const absl::Status& status, const std::string& where) {
  const ExitCode code = absl::IsNotFound(status)        ? ExitCode::kNotFound
                        : absl::IsAlreadyExists(status) ? ExitCode::kConflict
                                                        : ExitCode::kFailed;
  return context.Fail(code, {std::string(status.message()), where, ""});
}

jepa::Survey SurveyWithBar(Context& context, const jepa::ImageSource& source, int threads) {
  const int processors = static_cast<int>(std::thread::hardware_concurrency());
  ProgressBar bar(context, source.size());
  return jepa::SurveyImages(source, {threads > 0 ? threads : std::max(processors, 1),
                                     [&bar](int64_t done) { bar.Show(done); }});
}

google::protobuf::Value Number(double value) {
  google::protobuf::Value proto;
  proto.set_number_value(value);
  return proto;
}

google::protobuf::Value Text(absl::string_view value) {
  google::protobuf::Value proto;
  proto.set_string_value(std::string(value));
  return proto;
}

ExitCode PrintBad(Context& context, const jepa::ImageSource& source, const jepa::Survey& survey) {
  if (context.output != OutputFormat::kTable) {
    google::protobuf::Struct proto;
    (*proto.mutable_fields())["images"] = Number(static_cast<double>(source.size()));
    auto* bad = (*proto.mutable_fields())["bad"].mutable_list_value();
    for (const jepa::BadFile& file : survey.bad) {
      auto& fields = *bad->add_values()->mutable_struct_value()->mutable_fields();
      fields["path"] = Text(source.name(file.index));
      fields["reason"] = Text(jepa::BadReasonName(file.reason));
      fields["message"] = Text(file.message);
    }
    const ExitCode printed = context.PrintMessage(proto);
    return survey.bad.empty() ? printed : ExitCode::kFailed;
  }
  Table table({{"REASON"}, {"PATH"}, {"MESSAGE"}});
  for (const jepa::BadFile& file : survey.bad) {
    table.AddRow(
        {std::string(jepa::BadReasonName(file.reason)), source.name(file.index), file.message});
  }
  if (!table.empty()) context.Print(table.Render(context.out()));
  context.Say(absl::StrCat(FormatCount(source.size()), " images, ",
                           FormatCount(static_cast<int64_t>(survey.bad.size())), " bad"));
  return survey.bad.empty() ? ExitCode::kOk : ExitCode::kFailed;
}

ExitCode RunVerify(Context& context, const DataSetOptions& options) {
  const auto source = jepa::OpenImageSource(options.path);
  if (!source.ok()) return FailData(context, source.status(), options.path);
  return PrintBad(context, **source, SurveyWithBar(context, **source, options.threads));
}

ExitCode RunStats(Context& context, const DataSetOptions& options) {
  const auto source = jepa::OpenImageSource(options.path);
  if (!source.ok()) return FailData(context, source.status(), options.path);
  const jepa::Survey survey = SurveyWithBar(context, **source, options.threads);
  if (context.output != OutputFormat::kTable) {
    google::protobuf::Struct proto;
    auto& fields = *proto.mutable_fields();
    fields["images"] = Number(static_cast<double>(survey.images));
    fields["bad"] = Number(static_cast<double>(survey.bad.size()));
    fields["bytes"] = Number(static_cast<double>(survey.bytes));
    fields["min_side"] = Number(survey.min_side);
    fields["max_side"] = Number(survey.max_side);
    fields["mean_pixels"] = Number(survey.mean_pixels);
    for (size_t c = 0; c < 3; ++c) {
      *fields["mean"].mutable_list_value()->add_values() = Number(survey.mean[c]);
      *fields["std"].mutable_list_value()->add_values() = Number(survey.deviation[c]);
    }
    return context.PrintMessage(proto);
  }
  context.Print(absl::StrFormat(
      "images       %s (%s bad)\nfiles        %s\nsides        %d to %d pixels\n"
      "mean pixels  %s\nmean         [%.4f, %.4f, %.4f]\nstd          [%.4f, %.4f, %.4f]\n",
      FormatCount(survey.images), FormatCount(static_cast<int64_t>(survey.bad.size())),
      FormatBytes(survey.bytes), survey.min_side, survey.max_side,
      FormatCount(static_cast<int64_t>(survey.mean_pixels)), survey.mean[0], survey.mean[1],
      survey.mean[2], survey.deviation[0], survey.deviation[1], survey.deviation[2]));
  return ExitCode::kOk;
}

ExitCode RunPack(Context& context, const DataSetOptions& options) {
  const auto source = jepa::OpenImageSource(options.path);
  if (!source.ok()) return FailData(context, source.status(), options.path);
  const auto labels = jepa::ReadLabels(options.path, **source);
  jepa::PackOptions pack;
  pack.shard_bytes = options.shard_mebibytes * kMebibyte;
  if (labels.ok()) pack.labels = &labels->front();
  absl::StatusOr<int> shards;
  {
    ProgressBar bar(context, (*source)->size());
    pack.on_progress = [&bar](int64_t done) { bar.Show(done); };
    shards = jepa::PackImages(**source, options.folder, pack);
  }
  if (!shards.ok()) return FailData(context, shards.status(), options.folder);
  context.Print(absl::StrCat(options.folder, "\n"));
  context.Say(absl::StrCat(
      FormatCount((*source)->size()), " images in ", *shards, " tars",
      labels.ok() ? absl::StrCat(", labels ", labels->front().name) : std::string(", no labels")));
  return ExitCode::kOk;
}

CLI::App* AddSurvey(CLI::App& data, DataSetOptions& options, const char* name, const char* help) {
  CLI::App* command = data.add_subcommand(name, help);
  command->add_option("PATH", options.path, "Folder, tar, manifest or pattern")->required();
  command->add_option("--threads", options.threads, "Decoding threads [one per processor]")
      ->check(CLI::Range(1, 64))
      ->type_name("N");
  return command;
}

}  // namespace

void AddDataSets(CLI::App& data, Context& context, ExitCode& exit) {
  auto options = std::make_shared<DataSetOptions>();
  CLI::App* verify = AddSurvey(data, *options, "verify",
                               "Decodes every image whole and lists the bad ones; 1 if there are");
  verify->footer(
      "Examples:\n  ijepactl data verify /data/photos\n"
      "  ijepactl data verify '/data/shard-{000..127}.tar' -o json");
  verify->callback([options, &context, &exit] { exit = RunVerify(context, *options); });
  CLI::App* stats = AddSurvey(data, *options, "stats", "Sizes, mean and deviation of all images");
  stats->footer("Examples:\n  ijepactl data stats /data/photos");
  stats->callback([options, &context, &exit] { exit = RunStats(context, *options); });
  CLI::App* pack = data.add_subcommand(
      "pack", "Writes the images, bytes unchanged, as tars in WebDataset naming");
  pack->add_option("PATH", options->path, "Folder, tar, manifest or pattern")->required();
  pack->add_option("DIR", options->folder, "New folder; appears whole or not at all")->required();
  pack->add_option("--shard-size", options->shard_mebibytes, "Size of a tar in MiB [1024]")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->type_name("N");
  pack->footer("Examples:\n  ijepactl data pack /data/photos /data/packed --shard-size 256");
  pack->callback([options, &context, &exit] { exit = RunPack(context, *options); });
}

}  // namespace ijepa::client
