// A training step on CPU: images per second, where the time goes, and how that compares with eager
// PyTorch doing the same steps (same weights, pixels and masks) in the same run. Ours and the peers
// take turns step by step, so that other load on the machine falls on all alike; quote medians and
// their ratio.
//
//   step_bench [--json] [--config NAME] [--steps N] [--threads N] [--precision fp32|bf16]
//   [--against-eager] step_bench --model vit_small --patch 16 --crop 224 --batch 16 ...
#include <ATen/Parallel.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "bench_output.h"
#include "bench_step.h"
#include "common/status_macros.h"
#include "eager_peer.h"
#include "tests/fakes/vit_model.h"
#include "worker/jepa/plan/arithmetic.h"

namespace jepa::bench {
namespace {

struct Flags {
  std::string config, model, precision = "fp32";
  int patch = 16, crop = 224, batch = 16, threads = 1, steps = 20;
  bool json = false, against_eager = false;
};

constexpr double kGiga = 1e9;

ModelConfig Cifar(int width, int pred_width) {
  return {.grid_height = 8,
          .grid_width = 8,
          .patch_size = 4,
          .embed_dim = width,
          .depth = 4,
          .num_heads = 4,
          .mlp_hidden = 4 * width,
          .pred_depth = 2,
          .pred_embed_dim = pred_width,
          .pred_mlp_hidden = 4 * pred_width};
}

// The published pairing of a named encoder with the predictor, and the masks of such a grid.
absl::StatusOr<BenchConfig> NamedModel(const Flags& flags) {
  BenchConfig config{.name = absl::StrCat(flags.model, "/", flags.patch)};
  IJEPA_ASSIGN_OR_RETURN(config.model, VitModel(flags.model, flags.patch, flags.crop,
                                                flags.model == "vit_base" ? 6 : 12));
  config.mask.patch_size = flags.patch;
  config.mask.mode = DefaultMaskMode({config.model.grid_height, config.model.grid_width});
  return config;
}

absl::StatusOr<std::vector<BenchConfig>> Configs(const Flags& flags) {
  std::vector<BenchConfig> configs;
  if (!flags.model.empty()) {
    IJEPA_ASSIGN_OR_RETURN(BenchConfig config, NamedModel(flags));
    config.batch = flags.batch;
    configs.push_back(config);
  } else {
    const MaskConfig mask{.patch_size = 4, .min_keep = 4, .mode = MaskMode::kFixed};
    for (const BenchConfig& config : {BenchConfig{"cifar64", Cifar(64, 64), mask, 32},
                                      BenchConfig{"cifar96", Cifar(96, 96), mask, 32},
                                      BenchConfig{"cifar192", Cifar(192, 96), mask, 32}}) {
      if (flags.config.empty() || flags.config == config.name) configs.push_back(config);
    }
  }
  for (BenchConfig& config : configs) {
    config.threads = flags.threads;
    config.precision = flags.precision == "bf16" ? Precision::kBf16 : Precision::kFp32;
  }
  return configs;
}

double Quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
}

// What was measured of one implementation.
struct Samples {
  std::vector<double> wall_ms, cpu_ms;
  std::vector<std::string> part_names;
  std::map<std::string, std::vector<double>> parts;
  double first_loss = 0, last_loss = 0;
  int64_t peak_rss_bytes = 0;

  void Add(double wall, double cpu, double loss, bool warm) {
    if (first_loss == 0) first_loss = loss;
    last_loss = loss;
    if (!warm) return;
    wall_ms.push_back(wall);
    cpu_ms.push_back(cpu);
  }
};

struct Run {
  BenchConfig config;
  std::map<std::string, Samples> by_impl;
  std::vector<double> context_patches, target_patches;
};

std::string InstructionSet() {
  std::string isa = "baseline";
  if (__builtin_cpu_supports("avx2")) isa = "avx2";
  if (__builtin_cpu_supports("avx512f")) isa = "avx512";
  if (__builtin_cpu_supports("avx512bf16")) isa += "+bf16";
  return isa;
}

// The file is removed once the peers have read it.
absl::StatusOr<std::map<std::string, std::unique_ptr<EagerPeer>>> StartPeers(
    const BenchConfig& config, const BenchStep& step) {
  std::map<std::string, std::unique_ptr<EagerPeer>> peers;
  const std::string file = absl::StrCat(P_tmpdir, "/step_bench.", getpid());
  IJEPA_RETURN_IF_ERROR(step.WriteStart(file));
  const ModelConfig& m = config.model;
  for (const char* impl : {"eager", "eager_strong"}) {
    auto peer =
        EagerPeer::Start({{"impl", impl},
                          {"file", file},
                          {"threads", config.threads},
                          {"batch", config.batch},
                          {"precision", config.precision == Precision::kBf16 ? "bf16" : "fp32"},
                          {"patch", m.patch_size},
                          {"grid_height", m.grid_height},
                          {"grid_width", m.grid_width},
                          {"embed_dim", m.embed_dim},
                          {"depth", m.depth},
                          {"num_heads", m.num_heads},
                          {"mlp_hidden", m.mlp_hidden},
                          {"pred_depth", m.pred_depth},
                          {"pred_embed_dim", m.pred_embed_dim},
                          {"pred_mlp_hidden", m.pred_mlp_hidden},
                          {"lr", kBenchLr},
                          {"weight_decay", kBenchWeightDecay},
                          {"ema", kBenchEma},
                          {"betas", {kBenchBeta1, kBenchBeta2}}});
    if (!peer.ok()) unlink(file.c_str());
    IJEPA_RETURN_IF_ERROR(peer.status());
    peers[impl] = *std::move(peer);
  }
  unlink(file.c_str());
  return peers;
}

void AddOurs(const StepTimes& times, bool warm, Samples* samples) {
  samples->Add(times.wall_ms, times.cpu_ms, times.loss, warm);
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  samples->peak_rss_bytes = usage.ru_maxrss * 1024;
  samples->part_names.clear();
  for (const auto& [part, milliseconds] : times.parts) {
    samples->part_names.push_back(part);
    if (warm) samples->parts[part].push_back(milliseconds);
  }
}

absl::StatusOr<Run> Measure(const BenchConfig& config, const Flags& flags) {
  Run run{.config = config};
  at::set_num_threads(config.threads);
  BenchStep step(config);
  std::map<std::string, std::unique_ptr<EagerPeer>> peers;
  if (flags.against_eager) {
    IJEPA_ASSIGN_OR_RETURN(peers, StartPeers(config, step));
  }
  const auto sampler =
      NewMaskSampler(config.mask, {config.model.grid_height, config.model.grid_width},
                     /*seed=*/1, /*shard=*/0);
  const int warm_up = flags.steps / 10 + 2;
  for (int i = 0; i < warm_up + flags.steps; ++i) {
    const bool warm = i >= warm_up;
    IJEPA_ASSIGN_OR_RETURN(const MaskBatch masks, sampler->Sample(i, config.batch));
    run.context_patches.push_back(masks.context_patches);
    run.target_patches.push_back(masks.target_patches);
    AddOurs(step.Run(masks), warm, &run.by_impl["ours"]);
    for (const auto& [impl, peer] : peers) {
      IJEPA_ASSIGN_OR_RETURN(const EagerStep theirs, peer->Step(masks));
      run.by_impl[impl].Add(theirs.wall_ms, theirs.cpu_ms, theirs.loss, warm);
      run.by_impl[impl].peak_rss_bytes = theirs.peak_rss_bytes;
    }
  }
  return run;
}

double Mean(const std::vector<double>& values) {
  double sum = 0;
  for (double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

nlohmann::ordered_json Row(const Run& run, const std::string& impl) {
  const BenchConfig& config = run.config;
  const Samples& samples = run.by_impl.at(impl);
  const double median = Quantile(samples.wall_ms, 0.5);
  const ExpectedMasks kept{Mean(run.context_patches), Mean(run.target_patches)};
  const double gflop = FlopPerImage(config.model, config.mask, kept).total() / kGiga;
  const double per_second = config.batch / median * 1e3;
  nlohmann::ordered_json row = {
      {"bench", "step"},
      {"impl", impl},
      {"config", config.name},
      {"crop", config.model.grid_height * config.model.patch_size},
      {"batch", config.batch},
      {"threads", config.threads},
      {"precision", config.precision == Precision::kBf16 ? "bf16" : "fp32"},
      {"isa", InstructionSet()},
      {"steps", samples.wall_ms.size()},
      {"images_per_s", per_second},
      {"step_ms", median},
      {"step_ms_p10", Quantile(samples.wall_ms, 0.1)},
      {"step_ms_p90", Quantile(samples.wall_ms, 0.9)},
      {"step_cpu_ms", Quantile(samples.cpu_ms, 0.5)},
      {"n_c", kept.context_patches},
      {"n_p", kept.target_patches},
      {"gflop_per_image", gflop},
      {"gflop_per_s", gflop * per_second},
      {"peak_rss_bytes", samples.peak_rss_bytes},
      {"first_loss", samples.first_loss},
      {"last_loss", samples.last_loss}};
  for (const std::string& part : samples.part_names) {
    row["parts_ms"][part] = Quantile(samples.parts.at(part), 0.5);
  }
  if (run.by_impl.count("eager") > 0) {
    row["speed_over_eager"] = Quantile(run.by_impl.at("eager").wall_ms, 0.5) / median;
    row["cpu_over_eager"] =
        Quantile(run.by_impl.at("eager").cpu_ms, 0.5) / Quantile(samples.cpu_ms, 0.5);
  }
  return row;
}

void PrintText(const nlohmann::ordered_json& row) {
  const auto text = [&](const char* key) { return row[key].get<std::string>(); };
  const auto number = [&](const char* key) { return row[key].get<double>(); };
  std::printf("%-13s %-14s %8.2f images/s  step %.1f ms [%.1f, %.1f]  CPU %.1f ms  %.0f GFLOP/s",
              text("impl").c_str(), text("config").c_str(), number("images_per_s"),
              number("step_ms"), number("step_ms_p10"), number("step_ms_p90"),
              number("step_cpu_ms"), number("gflop_per_s"));
  std::printf("  peak %.0f MB  loss %.6f .. %.6f", number("peak_rss_bytes") / 1e6,
              number("first_loss"), number("last_loss"));
  if (row.contains("speed_over_eager")) std::printf("  %.2fx eager", number("speed_over_eager"));
  std::printf("\n");
  if (!row.contains("parts_ms")) return;
  std::printf("    batch %.0f, %.0f threads, %s, %s, N_c %.1f, N_p %.1f, %.1f GFLOP an image; ms:",
              number("batch"), number("threads"), text("precision").c_str(), text("isa").c_str(),
              number("n_c"), number("n_p"), number("gflop_per_image"));
  for (const auto& [part, milliseconds] : row["parts_ms"].items()) {
    std::printf(" %s %.2f", part.c_str(), milliseconds.get<double>());
  }
  std::printf("\n");
}

absl::Status RunBenches(const Flags& flags) {
  IJEPA_ASSIGN_OR_RETURN(const std::vector<BenchConfig> configs, Configs(flags));
  if (configs.empty())
    return absl::InvalidArgumentError("--config is one of cifar64, cifar96, cifar192");
  for (const BenchConfig& config : configs) {
    IJEPA_ASSIGN_OR_RETURN(const Run run, Measure(config, flags));
    for (const auto& [impl, samples] : run.by_impl) {
      const nlohmann::ordered_json row = Row(run, impl);
      if (flags.json) {
        PrintRow(row, /*as_json=*/true);
      } else {
        PrintText(row);
      }
    }
    std::fflush(stdout);
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace jepa::bench

int main(int argc, char** argv) {
  jepa::bench::Flags flags;
  CLI::App app("Times a training step on CPU, alone or against eager PyTorch.");
  app.add_flag("--json", flags.json, "One JSON object per line");
  app.add_flag("--against-eager", flags.against_eager,
               "Take turns with eager_baseline.py on the same steps");
  app.add_option("--config", flags.config, "cifar64, cifar96 or cifar192; default all three");
  app.add_option("--model", flags.model, "vit_tiny ... vit_giant instead of a --config");
  app.add_option("--patch", flags.patch, "Patch side of --model")->check(CLI::Range(1, 64));
  app.add_option("--crop", flags.crop, "Image side of --model")->check(CLI::Range(8, 2048));
  app.add_option("--batch", flags.batch, "Images per step of --model")->check(CLI::Range(1, 4096));
  app.add_option("--threads", flags.threads, "OpenMP threads")->check(CLI::Range(1, 1024));
  app.add_option("--steps", flags.steps, "Timed steps")->check(CLI::Range(1, 100000));
  app.add_option("--precision", flags.precision, "fp32 or bf16")
      ->check(CLI::IsMember({"fp32", "bf16"}));
  CLI11_PARSE(app, argc, argv);
  return jepa::bench::EndBench("step_bench", jepa::bench::RunBenches(flags));
}
