// coordinator_sim --runs N --seed S: N runs of the coordinator's core with faults, from seeds S on.
// Exits with 1 at the first run in which something does not hold, after saying which seed gives it.
#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "sabotage.h"
#include "simulation.h"

namespace ijepa::sim {
namespace {

struct Totals {
  uint64_t runs = 0;
  uint64_t steps = 0;
  uint64_t commands = 0;
  int64_t succeeded = 0;
  int64_t failed = 0;
  int64_t cancelled = 0;
  int64_t restarts = 0;
  int64_t crashes = 0;
};

struct Failure {
  uint64_t seed = 0;
  std::string violation;
};

void Add(const RunResult& result, Totals& totals) {
  ++totals.runs;
  totals.steps += result.steps;
  totals.commands += result.commands;
  totals.succeeded += result.succeeded;
  totals.failed += result.failed;
  totals.cancelled += result.cancelled;
  totals.restarts += result.restarts;
  totals.crashes += result.crashes;
}

// The failure of the lowest seed that was found.
std::optional<Failure> RunAll(uint64_t first, uint64_t runs, Sabotage sabotage, int threads,
                              Totals& totals) {
  std::atomic<uint64_t> next{0};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::optional<Failure> failure;
  const auto work = [&] {
    for (uint64_t i = next++; i < runs && !stop; i = next++) {
      const RunResult result = RunSimulation({first + i, sabotage, 0});
      std::lock_guard lock(mutex);
      Add(result, totals);
      if (result.violation.empty()) continue;
      stop = true;
      if (!failure.has_value() || first + i < failure->seed) {
        failure = {first + i, result.violation};
      }
    }
  };
  std::vector<std::thread> pool;
  for (int i = 0; i < threads; ++i) pool.emplace_back(work);
  for (std::thread& thread : pool) thread.join();
  return failure;
}

// The run again, with its last commands.
void Show(uint64_t seed, Sabotage sabotage, int trace) {
  const RunResult result = RunSimulation({seed, sabotage, static_cast<size_t>(trace)});
  for (const std::string& line : result.trace) std::printf("%s\n", line.c_str());
  std::printf("seed %llu step %llu: %s\n", static_cast<unsigned long long>(seed),
              static_cast<unsigned long long>(result.steps),
              result.violation.empty() ? "all holds" : result.violation.c_str());
}

int Main(int argc, char** argv) {
  uint64_t runs = 1000;
  uint64_t seed = 1;
  int threads = static_cast<int>(std::thread::hardware_concurrency());
  int trace = 40;
  std::string sabotage = "none";
  CLI::App app(
      "Runs the coordinator's core in virtual time with seeded faults and checks I1 to I9.");
  app.add_option("--runs", runs, "how many, from --seed on")->capture_default_str();
  app.add_option("--seed", seed, "of the first run; the same seed gives the same run")
      ->capture_default_str();
  app.add_option("--threads", threads, "at a time")->check(CLI::Range(1, 256));
  app.add_option("--trace", trace, "commands shown of a run that failed")->capture_default_str();
  app.add_option("--sabotage", sabotage, "a bug to plant, to see that it is found");
  CLI11_PARSE(app, argc, argv);
  Sabotage planted = Sabotage::kNone;
  for (const PlantedBug& bug : PlantedBugs()) {
    if (sabotage == bug.name) planted = bug.sabotage;
  }
  if (planted == Sabotage::kNone && sabotage != "none") {
    std::fprintf(stderr, "--sabotage is %s; must be none", sabotage.c_str());
    for (const PlantedBug& bug : PlantedBugs()) std::fprintf(stderr, ", %s", bug.name);
    std::fprintf(stderr, "\n");
    return 2;
  }
  Totals totals;
  const std::optional<Failure> failure = RunAll(seed, runs, planted, threads, totals);
  std::printf(
      "runs %llu (seeds %llu to %llu), steps %llu, commands %llu; jobs: %lld succeeded, %lld "
      "failed, "
      "%lld cancelled, %lld restarts; %lld restarts of the coordinator\n",
      static_cast<unsigned long long>(totals.runs), static_cast<unsigned long long>(seed),
      static_cast<unsigned long long>(seed + runs - 1),
      static_cast<unsigned long long>(totals.steps),
      static_cast<unsigned long long>(totals.commands), static_cast<long long>(totals.succeeded),
      static_cast<long long>(totals.failed), static_cast<long long>(totals.cancelled),
      static_cast<long long>(totals.restarts), static_cast<long long>(totals.crashes));
  if (!failure.has_value()) return 0;
  Show(failure->seed, planted, trace);
  return 1;
}

}  // namespace
}  // namespace ijepa::sim

int main(int argc, char** argv) { return ijepa::sim::Main(argc, argv); }
