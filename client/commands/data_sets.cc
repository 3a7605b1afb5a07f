// ijepactl data index, verify, stats and pack: a look at images before a job does it, and tars made
// of them.
#include <google/protobuf/struct.pb.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "client/commands/commands.h"
#include "client/render/format.h"
#include "client/render/table.h"
#include "worker/jepa/data/index_store.h"
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
  jepa::PixelFormat format;
};

// A bar on stderr, where that is a terminal.
class ProgressBar {
 public:
  explicit ProgressBar(Context& context) : shown_(context.err().tty) {}
  ~ProgressBar() {
    if (shown_) std::fprintf(stderr, "\r\033[K");
  }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void Show(int64_t done, int64_t total) {
    const int64_t percent = total > 0 ? done * 100 / total : 100;
    if (!shown_ || (percent == percent_ && total == total_)) return;
    percent_ = percent;
    total_ = total;
    const std::string bar(static_cast<size_t>(percent * kBarWidth / 100), '#');
    std::fprintf(stderr, "\r[%-*s] %3d %%  %s/%s", kBarWidth, bar.c_str(),
                 static_cast<int>(percent), FormatCount(done).c_str(), FormatCount(total).c_str());
    std::fflush(stderr);
  }

 private:
  const bool shown_;
  int64_t total_ = 0;
  int64_t percent_ = -1;
};

ExitCode FailData(Context& context, const absl::Status& status, const std::string& where) {
  const ExitCode code = absl::IsNotFound(status)        ? ExitCode::kNotFound
                        : absl::IsAlreadyExists(status) ? ExitCode::kConflict
                                                        : ExitCode::kFailed;
  return context.Fail(code, {std::string(status.message()), where, ""});
}

jepa::Survey SurveyWithBar(Context& context, const jepa::ImageSource& source,
                           const DataSetOptions& options) {
  const int processors = static_cast<int>(std::thread::hardware_concurrency());
  ProgressBar bar(context);
  jepa::SurveyOptions survey;
  survey.threads = options.threads > 0 ? options.threads : std::max(processors, 1);
  survey.on_progress = [&](int64_t done) { bar.Show(done, source.size()); };
  survey.format = options.format;
  return jepa::SurveyImages(source, survey);
}

// "[0.4850, 0.4560]".
std::string PerChannel(const std::vector<double>& values) {
  const auto text = [](std::string* out, double value) {
    absl::StrAppendFormat(out, "%.4f", value);
  };
  return absl::StrCat("[", absl::StrJoin(values, ", ", text), "]");
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

// Lists once more where the data changed a moment ago: by then it has settled.
absl::StatusOr<jepa::FoundIndex> IndexWithBar(Context& context, const DataSetOptions& options) {
  jepa::IndexStoreOptions store{.folder = options.folder, .listing = {}};
  if (options.threads > 0) store.listing.threads = options.threads;
  ProgressBar bar(context);
  store.listing.on_progress = [&bar](const jepa::IndexProgress& progress) {
    bar.Show(progress.done, progress.known);
  };
  absl::StatusOr<jepa::FoundIndex> found = jepa::FindIndex(options.path, store);
  if (!found.ok() || !found->is_too_new) return found;
  absl::SleepFor(jepa::kIndexSettles);
  return jepa::FindIndex(options.path, store);
}

ExitCode RunIndex(Context& context, const DataSetOptions& options) {
  const absl::StatusOr<jepa::FoundIndex> found = IndexWithBar(context, options);
  if (!found.ok()) return FailData(context, found.status(), options.path);
  if (!found->is_kept) {
    return FailData(context, absl::UnavailableError(found->why_not_kept), options.folder);
  }
  context.Print(absl::StrCat(found->file, "\n"));
  context.Say(absl::StrCat(FormatCount(found->index.images()), " images in ",
                           FormatCount(static_cast<int64_t>(found->index.stamps.size())),
                           " folders, tars and lists; ",
                           found->was_kept ? "the kept index is current" : "listed now"));
  if (found->was_corrupt) context.Say(absl::StrCat("replaced: ", found->why_listed));
  return ExitCode::kOk;
}

ExitCode RunVerify(Context& context, const DataSetOptions& options) {
  const auto source = jepa::OpenImageSource(options.path);
  if (!source.ok()) return FailData(context, source.status(), options.path);
  return PrintBad(context, **source, SurveyWithBar(context, **source, options));
}

using ReasonCounts = std::map<std::string, int64_t>;

ReasonCounts CountReasons(const jepa::Survey& survey) {
  ReasonCounts counts;
  for (const jepa::BadFile& file : survey.bad) {
    ++counts[std::string(jepa::BadReasonName(file.reason))];
  }
  return counts;
}

// "598 corrupt, 2 empty".
std::string ReasonsText(const ReasonCounts& counts) {
  return absl::StrJoin(counts, ", ", [](std::string* out, const auto& count) {
    absl::StrAppend(out, FormatCount(count.second), " ", count.first);
  });
}

// Without a single image there is nothing to tell but why.
ExitCode FailStats(Context& context, const jepa::ImageSource& source, const jepa::Survey& survey) {
  const jepa::BadFile& first = survey.bad.front();
  return context.Fail(ExitCode::kFailed,
                      {absl::StrCat("none of ", FormatCount(source.size()),
                                    " images can be used: ", ReasonsText(CountReasons(survey)),
                                    "; the first: ", first.message),
                       source.name(first.index), "see all with `ijepactl data verify`"});
}

ExitCode RunStats(Context& context, const DataSetOptions& options) {
  const auto source = jepa::OpenImageSource(options.path);
  if (!source.ok()) return FailData(context, source.status(), options.path);
  const jepa::Survey survey = SurveyWithBar(context, **source, options);
  if (survey.images == 0) return FailStats(context, **source, survey);
  const ReasonCounts reasons = CountReasons(survey);
  if (context.output != OutputFormat::kTable) {
    google::protobuf::Struct proto;
    auto& fields = *proto.mutable_fields();
    fields["images"] = Number(static_cast<double>(survey.images));
    fields["bad"] = Number(static_cast<double>(survey.bad.size()));
    for (const auto& [reason, count] : reasons) {
      (*fields["bad_reasons"].mutable_struct_value()->mutable_fields())[reason] =
          Number(static_cast<double>(count));
    }
    fields["bytes"] = Number(static_cast<double>(survey.bytes));
    fields["min_side"] = Number(survey.min_side);
    fields["max_side"] = Number(survey.max_side);
    fields["mean_pixels"] = Number(survey.mean_pixels);
    for (size_t c = 0; c < survey.mean.size(); ++c) {
      *fields["mean"].mutable_list_value()->add_values() = Number(survey.mean[c]);
      *fields["std"].mutable_list_value()->add_values() = Number(survey.deviation[c]);
    }
    return context.PrintMessage(proto);
  }
  context.Print(absl::StrFormat(
      "images       %s (%s bad%s)\nfiles        %s\nsides        %d to %d pixels\n"
      "mean pixels  %s\nmean         %s\nstd          %s\n",
      FormatCount(survey.images), FormatCount(static_cast<int64_t>(survey.bad.size())),
      reasons.empty() ? "" : absl::StrCat(": ", ReasonsText(reasons)), FormatBytes(survey.bytes),
      survey.min_side, survey.max_side, FormatCount(static_cast<int64_t>(survey.mean_pixels)),
      PerChannel(survey.mean), PerChannel(survey.deviation)));
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
    ProgressBar bar(context);
    pack.on_progress = [&](int64_t done) { bar.Show(done, (*source)->size()); };
    shards = jepa::PackImages(**source, options.folder, pack);
  }
  if (!shards.ok()) return FailData(context, shards.status(), options.folder);
  context.Print(absl::StrCat(options.folder, "\n"));
  context.Say(absl::StrCat(
      FormatCount((*source)->size()), " images in ", *shards, " tars",
      labels.ok() ? absl::StrCat(", labels ", labels->front().name) : std::string(", no labels")));
  return ExitCode::kOk;
}

void AddIndex(CLI::App& data, const std::shared_ptr<DataSetOptions>& options, Context& context,
              ExitCode& exit) {
  CLI::App* index = data.add_subcommand(
      "index", "Lists the images once and keeps the list, which ranks then take; prints its file");
  index->add_option("PATH", options->path, "Folder, tar, manifest or pattern")->required();
  index->add_option("DIR", options->folder, "Where lists are kept: data.index_folder")->required();
  index->add_option("--threads", options->threads, "Listing threads [8]")
      ->check(CLI::Range(1, 64))
      ->type_name("N");
  index->footer(
      "PATH as in data.path. Does nothing while nothing changed.\n\n"
      "Examples:\n  ijepactl data index /data/photos /shared/index");
  index->callback([options, &context, &exit] {
    // As a job writes it: the list is found by its path.
    options->path = std::filesystem::absolute(options->path).lexically_normal().string();
    exit = RunIndex(context, *options);
  });
}

CLI::App* AddSurvey(CLI::App& data, DataSetOptions& options, const char* name, const char* help) {
  CLI::App* command = data.add_subcommand(name, help);
  command->add_option("PATH", options.path, "Folder, tar, manifest or pattern")->required();
  command->add_option("--threads", options.threads, "Decoding threads [one per processor]")
      ->check(CLI::Range(1, 64))
      ->type_name("N");
  command->add_option("--channels", options.format.channels, "As data.channels [3]")
      ->check(CLI::Range(1, 4))
      ->type_name("N");
  command->add_option("--bit-depth", options.format.bit_depth, "As data.bit_depth [8]")
      ->check(CLI::IsMember({8, 16}))
      ->type_name("N");
  return command;
}

}  // namespace

void AddDataSets(CLI::App& data, Context& context, ExitCode& exit) {
  auto options = std::make_shared<DataSetOptions>();
  AddIndex(data, options, context, exit);
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
