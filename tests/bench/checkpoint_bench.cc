// What checkpoints cost a run: the whole loop on one rank, saving every few steps, then a second
// run that resumes. Prints how long training waited for each, how fast they were written and read,
// and how much slower steps were while one was being written.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/file.h"
#include "tests/bench/bench_output.h"
#include "tests/bench/median.h"
#include "tests/fakes/memory_host.h"
#include "tests/fakes/temporary_folder.h"
#include "tests/fakes/vit_model.h"
#include "worker/jepa/checkpoint/checkpoint.h"
#include "worker/jepa/data/scene_generator.h"
#include "worker/jepa/plan/arithmetic.h"
#include "worker/jepa/trainer.h"

namespace jepa {
namespace {

constexpr int kCrop = 224;
constexpr double kGiga = 1e9;

struct Options {
  std::string model = "vit_small";
  int patch = 16;
  int batch = 16;
  int threads = 1;
  int saves = 5;
  int steps_between = 4;
  std::string folder;
  bool json = false;
};

struct Figures {
  std::vector<double> step_seconds;          // Without a save or a write beside them.
  std::vector<double> written_step_seconds;  // While a checkpoint was being written.
  std::vector<CheckpointInfo> commits;
  double restore_seconds = 0;
};

TrainConfig ConfigOf(const Options& options, const std::string& images) {
  TrainConfig config;
  config.data.path = images;
  config.data.batch_size = options.batch;
  config.data.crop_size = {kCrop, kCrop};
  config.mask.patch_size = options.patch;
  config.model = VitModel(options.model, options.patch, kCrop, /*pred_depth=*/6).value();
  config.cpu_threads = options.threads;
  config.optimization.epochs = options.saves * options.steps_between;  // One step each.
  config.checkpoint.every_steps = options.steps_between;
  config.job_uid = "bench";
  return config;
}

// A step counts as calm when nothing was saved or written from its start to its end.
absl::StatusOr<Figures> Measure(const Options& options, TrainConfig config) {
  ijepa::Clock& clock = ijepa::Clock::Real();
  MemoryRendezvous rendezvous;
  MemoryHost host(rendezvous);
  Figures figures;
  absl::Duration last = clock.Monotonic();
  host.on_step = [&](const StepReport& report) {
    const absl::Duration now = clock.Monotonic();
    const double seconds = absl::ToDoubleSeconds(now - last);
    const int64_t since_save = (report.step - 1) % options.steps_between;
    if (report.step > options.steps_between && since_save == 0) {
      figures.written_step_seconds.push_back(seconds);
    } else if (since_save >= options.steps_between / 2) {
      figures.step_seconds.push_back(seconds);
    }
    last = now;
  };
  if (const auto trained = Train(config, host); !trained.ok()) return trained.status();
  figures.commits = host.commits;

  const absl::Duration start = clock.Monotonic();
  const absl::StatusOr<CheckpointReader> opened = CheckpointReader::Open(host.commits.back().path);
  if (!opened.ok()) return opened.status();
  std::vector<char> tensor;
  for (const TensorEntry& entry : opened->tensors()) {
    tensor.resize(static_cast<size_t>(entry.bytes));
    const absl::Status read = opened->Read(entry.name, entry.type, entry.shape, tensor.data());
    if (!read.ok()) return read;
  }
  figures.restore_seconds = absl::ToDoubleSeconds(clock.Monotonic() - start);
  return figures;
}

void Print(const Options& options, const Figures& figures) {
  std::vector<double> stalls, writes;
  for (const CheckpointInfo& commit : figures.commits) {
    stalls.push_back(commit.stall_seconds);
    writes.push_back(commit.write_seconds);
  }
  const double bytes = static_cast<double>(figures.commits.back().bytes);
  const double step = bench::Median(figures.step_seconds);
  const double stall = bench::Median(stalls);
  const nlohmann::ordered_json row = {
      {"bench", "checkpoint"},
      {"config", options.model + "/" + std::to_string(options.patch)},
      {"batch", options.batch},
      {"threads", options.threads},
      {"bytes", figures.commits.back().bytes},
      {"saves", figures.commits.size()},
      {"stall_ms", 1e3 * stall},
      {"write_s", bench::Median(writes)},
      {"write_gb_per_s", bytes / kGiga / bench::Median(writes)},
      {"restore_s", figures.restore_seconds},
      {"restore_gb_per_s", bytes / kGiga / figures.restore_seconds},
      {"step_ms", 1e3 * step},
      {"step_beside_write_ms", 1e3 * bench::Median(figures.written_step_seconds)},
      {"stall_share_at_100_steps", stall / (100 * step + stall)}};
  bench::PrintRow(row, options.json);
}

int Run(const Options& options) {
  const std::string folder =
      options.folder.empty() ? ijepa::MakeTemporaryFolder() : options.folder + "/checkpoint_bench";
  const std::string images = folder + "/images";
  absl::Status status = WriteSceneSet(images, /*seed=*/1, options.batch, kCrop);
  if (status.ok()) {
    TrainConfig config = ConfigOf(options, images);
    config.checkpoint.folder = folder + "/checkpoints";
    const absl::StatusOr<Figures> figures = Measure(options, config);
    status = figures.status();
    if (figures.ok()) Print(options, *figures);
  }
  ijepa::RemoveTree(folder).IgnoreError();
  return bench::EndBench("checkpoint_bench", status);
}

}  // namespace
}  // namespace jepa

int main(int argc, char** argv) {
  jepa::Options options;
  CLI::App app("Measures what checkpoints cost a run.");
  app.add_flag("--json", options.json, "One JSON object per line");
  app.add_option("--model", options.model, "vit_tiny ... vit_giant");
  app.add_option("--patch", options.patch, "Patch side")->check(CLI::Range(1, 64));
  app.add_option("--batch", options.batch, "Images per step")->check(CLI::Range(1, 4096));
  app.add_option("--threads", options.threads, "OpenMP threads")->check(CLI::Range(1, 1024));
  app.add_option("--saves", options.saves, "Checkpoints")->check(CLI::Range(1, 1000));
  app.add_option("--steps-between", options.steps_between, "Steps from one to the next")
      ->check(CLI::Range(2, 1000));
  app.add_option("--folder", options.folder, "On the storage to measure; default a temporary one");
  CLI11_PARSE(app, argc, argv);
  return jepa::Run(options);
}
