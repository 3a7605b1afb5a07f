// ijepactl data: looks at and makes data sets. `scenes` renders the demo's.
#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "worker/jepa/data/scene_generator.h"

namespace ijepa::client {
namespace {

struct ScenesOptions {
  std::string folder;
  int64_t count = 1000;
  int size = 64;
  uint64_t seed = 0;
};

ExitCode RunScenes(Context& context, const ScenesOptions& options) {
  absl::Status status =
      jepa::WriteSceneSet(options.folder, options.seed, options.count, options.size);
  if (!status.ok()) {
    return context.Fail(ExitCode::kFailed, {std::string(status.message()), options.folder, ""});
  }
  context.Print(absl::StrCat(options.folder, "\n"));
  context.Say(absl::StrCat(options.count, " scenes of ", options.size, " pixels, labels.csv with ",
                           "class, count and depth"));
  return ExitCode::kOk;
}

}  // namespace

void AddData(CLI::App& app, Context& context, ExitCode& exit) {
  CLI::App* command = app.add_subcommand("data", "Checks, packs and makes data sets");
  command->require_subcommand(1);
  command->footer("Examples:\n  ijepactl data scenes /tmp/scenes --count 100");
  AddDataSets(*command, context, exit);
  auto options = std::make_shared<ScenesOptions>();
  CLI::App* scenes = command->add_subcommand(
      "scenes", "Renders lit solids on a plane as JPEGs, with exact labels: class, count, depth");
  scenes->add_option("DIR", options->folder, "Folder to write; prints it when done")->required();
  scenes->add_option("--count", options->count, "Scenes [1000]")
      ->check(CLI::Range(int64_t{1}, int64_t{10'000'000}))
      ->type_name("N");
  scenes->add_option("--size", options->size, "Side in pixels [64]")
      ->check(CLI::Range(16, 2048))
      ->type_name("N");
  scenes->add_option("--seed", options->seed, "Same seed, same pixels [0]")->type_name("N");
  scenes->footer(
      "Does nothing when the folder already holds the same scenes.\n\n"
      "Examples:\n"
      "  ijepactl data scenes /tmp/scenes --count 100 --size 64 --seed 1");
  scenes->callback([options, &context, &exit] { exit = RunScenes(context, *options); });
}

}  // namespace ijepa::client
