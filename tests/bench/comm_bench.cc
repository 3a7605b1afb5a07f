// Collectives over Gloo among processes of this machine: bus bandwidth for each size of message,
// and the milliseconds that summing the gradient adds to a training step, with and without overlap,
// beside the cost model of performance.md section 7; and the longest shard with and without
// mask.balance.
//
//   comm_bench [--json] [--ranks N]... [--steps N] [--width D] [--depth N] [--bucket MIB]...
//
// Bus bandwidth is bytes * f / time with f = 2 (n - 1) / n for all-reduce, (n - 1) / n for the
// others: what a link carries in each direction. "Exposed" is the time from the end of the backward
// pass to the end of the sum, at the rank that came last, so that waiting for a slower rank does
// not count.
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench_output.h"
#include "common/status_macros.h"
#include "file_rendezvous.h"
#include "median.h"
#include "tests/fakes/temporary_folder.h"
#include "worker/jepa/dist/communicator.h"
#include "worker/jepa/gradient_exchange.h"
#include "worker/jepa/model/learner.h"
#include "worker/jepa/plan/arithmetic.h"
#include "worker/jepa/plan/fixed_masks.h"
#include "worker/jepa/plan/masks.h"
#include "worker/jepa/plan/random.h"

namespace jepa::bench {
namespace {

using nlohmann::json;

struct Flags {
  std::vector<int> ranks = {2, 4};
  std::vector<int> buckets = {0, 1, 4};
  int steps = 12, width = 192, depth = 6;
  bool json = false;
};

constexpr absl::Duration kTimeout = absl::Minutes(2);
constexpr double kHopSeconds = 20e-6;  // performance.md 7, as the next two.
constexpr double kNeverHidden = 0.04;
constexpr double kWindow = 0.8;  // Of the backward pass.

double Seconds() { return absl::ToDoubleSeconds(ijepa::Clock::Real().Monotonic()); }

double Rounded(double value) { return std::round(value * 1000) / 1000; }

struct Collective {
  const char* name;
  double factor;  // Times (n - 1) / n.
  std::function<absl::Status(Communicator&, float*, int64_t)> call;
};

const std::vector<Collective>& Collectives() {
  static const auto* collectives = new std::vector<Collective>{
      {"all_reduce", 2,
       [](Communicator& peers, float* data, int64_t count) {
         return peers.AllReduceSum(data, count);
       }},
      {"reduce_scatter", 1,
       [](Communicator& peers, float* data, int64_t count) {
         return peers.ReduceScatterSum(data, count, Precision::kFp32);
       }},
      {"all_gather", 1,
       [](Communicator& peers, float* data, int64_t count) {
         return peers.AllGatherPieces(data, count, Precision::kFp32);
       }},
      {"all_reduce_bf16", 2,
       [](Communicator& peers, float* data, int64_t count) {
         IJEPA_RETURN_IF_ERROR(peers.ReduceScatterSum(data, count, Precision::kBf16));
         return peers.AllGatherPieces(data, count, Precision::kBf16);
       }},
  };
  return *collectives;
}

// Sets `bus` to the bandwidth of the largest all-reduce, bytes per second.
absl::Status TimeCollectives(const Flags& flags, Communicator& peers, double& bus) {
  constexpr int64_t kBytes[] = {4, 4 << 10, 64 << 10, 1 << 20, 8 << 20, 64 << 20};
  const double share = (peers.world_size() - 1.0) / peers.world_size();
  for (const Collective& collective : Collectives()) {
    for (const int64_t bytes : kBytes) {
      const int64_t count = bytes / static_cast<int64_t>(sizeof(float));
      std::vector<float> data(static_cast<size_t>(count), 1e-3f);
      std::vector<double> seconds;
      const int rounds = bytes > (1 << 20) ? 9 : 101;
      for (int round = 0; round < rounds; ++round) {
        IJEPA_RETURN_IF_ERROR(peers.Barrier());
        const double start = Seconds();
        IJEPA_RETURN_IF_ERROR(collective.call(peers, data.data(), count));
        if (round > 0) seconds.push_back(Seconds() - start);
      }
      const double median = Median(seconds);
      const double bandwidth = static_cast<double>(bytes) * collective.factor * share / median;
      if (&collective == &Collectives().front()) bus = bandwidth;
      if (peers.rank() != 0) continue;
      PrintRow({{"bench", "collective"},
                {"operation", collective.name},
                {"ranks", peers.world_size()},
                {"bytes", bytes},
                {"milliseconds", Rounded(median * 1e3)},
                {"bus_gb_per_second", Rounded(bandwidth / 1e9)}},
               flags.json);
    }
  }
  return absl::OkStatus();
}

TrainConfig StepConfig(const Flags& flags, const Communicator& peers) {
  TrainConfig config;
  config.rank = peers.rank();
  config.world_size = config.shards = peers.world_size();
  config.data.batch_size = 8;
  config.data.crop_size = {64, 64};
  config.mask.patch_size = 8;
  config.mask.mode = MaskMode::kFixed;
  config.mask.min_keep = 4;
  config.model = {.grid_height = 8,
                  .grid_width = 8,
                  .patch_size = 8,
                  .embed_dim = flags.width,
                  .depth = flags.depth,
                  .num_heads = flags.width / 32,
                  .mlp_hidden = 4 * flags.width,
                  .pred_depth = 2,
                  .pred_embed_dim = flags.width,
                  .pred_mlp_hidden = 4 * flags.width};
  return config;
}

Batch RandomBatch(const TrainConfig& config) {
  Batch batch;
  batch.images = config.data.batch_size;
  batch.pixels.resize(static_cast<size_t>(batch.images) * 3 * config.data.crop_size.height *
                      config.data.crop_size.width);
  Philox random(static_cast<uint64_t>(config.rank), Purpose::kCrop, 0, 0);
  for (uint8_t& pixel : batch.pixels) pixel = static_cast<uint8_t>(random.Below(256));
  return batch;
}

// Sums over steps.
struct MaskFigures {
  double mean = 0;     // Patches of the context over shards.
  double longest = 0;  // Of the shard that the others wait for.
  double seconds = 0;  // Of drawing, for a rank of one shard.
};

void AddStep(const std::vector<int>& kept, double seconds, MaskFigures& figures) {
  for (const int patches : kept) figures.mean += patches / static_cast<double>(kept.size());
  figures.longest += *std::max_element(kept.begin(), kept.end());
  figures.seconds += seconds;
}

// Masks with and without mask.balance, on a 16 x 16 grid with batches of 128.
absl::Status TimeMasks(const Flags& flags, int shard_count) {
  constexpr int kSteps = 20, kBatch = 128;
  MaskConfig config;
  config.mode = MaskMode::kFixed;
  std::vector<FixedMaskSampler> shards;
  std::vector<int> all;
  for (int shard = 0; shard < shard_count; ++shard) {
    shards.emplace_back(config, MaskGrid{16, 16}, /*seed=*/1, shard);
    all.push_back(shard);
  }
  MaskFigures drawn, dealt;
  for (int step = 0; step < kSteps; ++step) {
    std::vector<int> kept;
    const double start = Seconds();
    for (FixedMaskSampler& shard : shards) {
      IJEPA_ASSIGN_OR_RETURN(const MaskBatch masks, shard.Sample(step, kBatch));
      kept.push_back(masks.context_patches);
    }
    AddStep(kept, (Seconds() - start) / shard_count, drawn);
    kept.clear();
    IJEPA_ASSIGN_OR_RETURN(const auto batches, SampleBalanced(shards, all, step, kBatch));
    for (const MaskBatch& masks : batches) kept.push_back(masks.context_patches);
    const double again = Seconds();
    IJEPA_RETURN_IF_ERROR(SampleBalanced(shards, {0}, step, kBatch).status());
    AddStep(kept, Seconds() - again, dealt);
  }
  for (const bool balance : {false, true}) {
    const MaskFigures& figures = balance ? dealt : drawn;
    PrintRow({{"bench", "masks"},
              {"balance", balance},
              {"shards", shard_count},
              {"context_patches_mean", Rounded(figures.mean / kSteps)},
              {"context_patches_longest", Rounded(figures.longest / kSteps)},
              {"draw_milliseconds", Rounded(figures.seconds / kSteps * 1e3)}},
             flags.json);
  }
  return absl::OkStatus();
}

struct StepTimes {
  double step = 0;
  double pass = 0;  // Forward and backward.
  double exposed = 0;
};

// One way to sum the gradient, and its times.
struct Variant {
  int bucket_mib;  // 0: one sum after the backward pass.
  std::unique_ptr<GradientExchange> exchange;
  std::vector<StepTimes> times;
};

absl::StatusOr<StepTimes> TimeStep(Communicator& peers, Learner& learner, const Batch& batch,
                                   const MaskBatch& masks, GradientExchange& exchange) {
  IJEPA_RETURN_IF_ERROR(peers.Barrier());
  const double start = Seconds();
  exchange.Begin(learner.gradient());
  learner.WatchNextShard([&](int64_t floats) { exchange.Ready(floats); });
  IJEPA_RETURN_IF_ERROR(learner.AccumulateShard(batch, masks, {}));
  const double passed = Seconds();
  IJEPA_RETURN_IF_ERROR(exchange.Finish());
  const double summed = Seconds();
  IJEPA_RETURN_IF_ERROR(learner.Update({.lr = 1e-6, .ema_momentum = 0.99}));
  IJEPA_RETURN_IF_ERROR(learner.TakeResult().status());
  const float mine[3] = {static_cast<float>(Seconds() - start), static_cast<float>(passed - start),
                         static_cast<float>(summed - passed)};
  std::vector<float> all(3 * static_cast<size_t>(peers.world_size()));
  IJEPA_RETURN_IF_ERROR(peers.AllGather(mine, 3, all.data()));
  StepTimes times{.exposed = all[2]};
  for (size_t rank = 0; rank < all.size(); rank += 3) {
    times.step = std::max<double>(times.step, all[rank]);
    times.pass = std::max<double>(times.pass, all[rank + 1]);
    times.exposed = std::min<double>(times.exposed, all[rank + 2]);
  }
  return times;
}

double MedianOf(const std::vector<StepTimes>& times, double StepTimes::*part) {
  std::vector<double> values;
  for (const StepTimes& step : times) values.push_back(step.*part);
  return Median(values);
}

// The variants take turns, so that other load on the machine falls on all alike.
absl::Status TimeOverlap(const Flags& flags, Communicator& peers, double bus) {
  const TrainConfig config = StepConfig(flags, peers);
  IJEPA_ASSIGN_OR_RETURN(const std::unique_ptr<Learner> learner, Learner::Create(config));
  const MaskGrid grid{config.model.grid_height, config.model.grid_width};
  const auto sampler = NewMaskSampler(config.mask, grid, 1, peers.rank());
  IJEPA_ASSIGN_OR_RETURN(const MaskBatch masks, sampler->Sample(0, config.data.batch_size));
  const int64_t floats = learner->gradient().count - kStepScalars;
  std::vector<Variant> variants;
  for (const int bucket_mib : flags.buckets) {
    variants.push_back({bucket_mib, std::make_unique<GradientExchange>(
                                        peers, BucketsOf(floats, bucket_mib),
                                        ExchangeOptions{.overlap = bucket_mib > 0})});
  }
  const Batch batch = RandomBatch(config);
  for (int step = 0; step < flags.steps + 2; ++step) {
    for (Variant& variant : variants) {
      IJEPA_ASSIGN_OR_RETURN(const StepTimes times,
                             TimeStep(peers, *learner, batch, masks, *variant.exchange));
      if (step >= 2) variant.times.push_back(times);  // The first ones compile and allocate.
    }
  }
  const StepFlop flop = FlopPerImage(
      config.model, config.mask,
      {static_cast<double>(masks.context_patches), static_cast<double>(masks.target_patches)});
  // Two thirds of the arithmetic of context and predictor are their backward pass.
  const double backward_share = (flop.context + flop.predictor) * 2 / 3 / flop.total();
  const double ranks = peers.world_size();
  const auto bytes = static_cast<double>(floats) * sizeof(float);
  const double sum = 2 * (ranks - 1) / ranks * bytes / bus + kHopSeconds * std::log2(ranks);
  for (const Variant& variant : variants) {
    if (peers.rank() != 0) break;
    const double pass = MedianOf(variant.times, &StepTimes::pass);
    const double hidden = kWindow * backward_share * pass;
    const bool overlap = variant.bucket_mib > 0;
    PrintRow({{"bench", "step"},
              {"ranks", peers.world_size()},
              {"gradient_bytes", floats * static_cast<int64_t>(sizeof(float))},
              {"bucket_mib", variant.bucket_mib},
              {"overlap", overlap},
              {"step_milliseconds", Rounded(MedianOf(variant.times, &StepTimes::step) * 1e3)},
              {"pass_milliseconds", Rounded(pass * 1e3)},
              {"exposed_milliseconds", Rounded(MedianOf(variant.times, &StepTimes::exposed) * 1e3)},
              {"model_sum_milliseconds", Rounded(sum * 1e3)},
              {"model_exposed_milliseconds",
               Rounded((overlap ? std::max(kNeverHidden * sum, sum - hidden) : sum) * 1e3)}},
             flags.json);
  }
  return absl::OkStatus();
}

absl::Status RunRank(const Flags& flags, int rank, int ranks, const std::string& folder) {
  TrainConfig config;
  config.rank = rank;
  config.world_size = ranks;
  FileRendezvous rendezvous(folder);
  IJEPA_ASSIGN_OR_RETURN(const std::unique_ptr<Communicator> peers,
                         NewCommunicator(config, rendezvous, kTimeout));
  double bus = 0;
  IJEPA_RETURN_IF_ERROR(TimeCollectives(flags, *peers, bus));
  return TimeOverlap(flags, *peers, bus);
}

// Starts the ranks, which are forked before there is any thread. Every rank says what it met.
absl::Status RunGang(const Flags& flags, int ranks) {
  const ijepa::TemporaryFolder folder;
  std::vector<pid_t> children;
  for (int rank = 0; rank < ranks; ++rank) {
    const pid_t child = fork();
    if (child == 0) {
      const int code = EndBench(absl::StrCat("comm_bench: rank ", rank),
                                RunRank(flags, rank, ranks, folder.path()));
      std::fflush(stdout);
      _exit(code);
    }
    children.push_back(child);
  }
  int failed = 0;
  for (const pid_t child : children) {
    int status = 0;
    if (waitpid(child, &status, 0) != child || status != 0) ++failed;
  }
  if (failed == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(failed, " of ", ranks, " ranks failed"));
}

}  // namespace
}  // namespace jepa::bench

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);  // As a rank's main does.
  jepa::bench::Flags flags;
  CLI::App app("Bus bandwidth of collectives and exposed time of a step's sum, over Gloo");
  app.add_flag("--json", flags.json, "One JSON object per line");
  app.add_option("--ranks", flags.ranks, "Processes");
  app.add_option("--steps", flags.steps, "Timed steps");
  app.add_option("--width", flags.width, "Width of both networks");
  app.add_option("--depth", flags.depth, "Encoder blocks");
  app.add_option("--bucket", flags.buckets, "optimization.bucket_mib");
  CLI11_PARSE(app, argc, argv);
  absl::Status status;
  for (const int shards : {16, 64}) status.Update(jepa::bench::TimeMasks(flags, shards));
  for (const int ranks : flags.ranks) status.Update(jepa::bench::RunGang(flags, ranks));
  return jepa::bench::EndBench("comm_bench", status);
}
