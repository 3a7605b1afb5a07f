// coordinator_sim --runs N --seed S: N runs of the coordinator's core with faults, from seeds S on.
// Exits with 1 at the first run in which something does not hold, after saying which seed gives it.
// stderr says now and then how far it got, so that a long one that is cut off has shown something.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <optional>
#include <set>
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

// Which runs, and how.
struct Plan {
  uint64_t first = 1;
  uint64_t runs = 1000;
  Sabotage sabotage = Sabotage::kNone;
  int threads = 1;
  // Runs from one line on stderr to the next; 0: none.
  uint64_t progress = 0;
};

// Seeds without a gap in which all holds, from the first on. Threads finish them in any order.
class Held {
 public:
  explicit Held(const Plan& plan) : plan_(plan) {}

  void Add(uint64_t run) {
    ahead_.insert(run);
    for (auto it = ahead_.begin(); it != ahead_.end() && *it == held_; it = ahead_.erase(it)) {
      if (++held_ % std::max<uint64_t>(1, plan_.progress) == 0 && plan_.progress > 0) Say();
    }
  }

 private:
  void Say() const {
    std::fprintf(stderr, "all holds in %llu of %llu runs (seeds %llu to %llu)\n",
                 static_cast<unsigned long long>(held_),
                 static_cast<unsigned long long>(plan_.runs),
                 static_cast<unsigned long long>(plan_.first),
                 static_cast<unsigned long long>(plan_.first + held_ - 1));
  }

  const Plan& plan_;
  uint64_t held_ = 0;
  std::set<uint64_t> ahead_;
};

// The failure of the lowest seed that was found.
std::optional<Failure> RunAll(const Plan& plan, Totals& totals) {
  std::atomic<uint64_t> next{0};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::optional<Failure> failure;
  Held held(plan);
  const auto work = [&] {
    for (uint64_t i = next++; i < plan.runs && !stop; i = next++) {
      const RunResult result = RunSimulation({plan.first + i, plan.sabotage, 0});
      std::lock_guard lock(mutex);
      Add(result, totals);
      if (result.violation.empty()) {
        held.Add(i);
        continue;
      }
      stop = true;
      if (!failure.has_value() || plan.first + i < failure->seed) {
        failure = {plan.first + i, result.violation};
      }
    }
  };
  std::vector<std::thread> pool;
  for (int i = 0; i < plan.threads; ++i) pool.emplace_back(work);
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
  Plan plan;
  plan.threads = static_cast<int>(std::thread::hardware_concurrency());
  plan.progress = 10'000;
  int trace = 40;
  std::string sabotage = "none";
  CLI::App app(
      "Runs the coordinator's core in virtual time with seeded faults and checks I1 to I9.");
  app.add_option("--runs", plan.runs, "how many, from --seed on")->capture_default_str();
  app.add_option("--seed", plan.first, "of the first run; the same seed gives the same run")
      ->capture_default_str();
  app.add_option("--threads", plan.threads, "at a time")->check(CLI::Range(1, 256));
  app.add_option("--progress", plan.progress, "runs from one line on stderr to the next; 0: none")
      ->capture_default_str();
  app.add_option("--trace", trace, "commands shown of a run that failed")->capture_default_str();
  app.add_option("--sabotage", sabotage, "a bug to plant, to see that it is found");
  CLI11_PARSE(app, argc, argv);
  for (const PlantedBug& bug : PlantedBugs()) {
    if (sabotage == bug.name) plan.sabotage = bug.sabotage;
  }
  if (plan.sabotage == Sabotage::kNone && sabotage != "none") {
    std::fprintf(stderr, "--sabotage is %s; must be none", sabotage.c_str());
    for (const PlantedBug& bug : PlantedBugs()) std::fprintf(stderr, ", %s", bug.name);
    std::fprintf(stderr, "\n");
    return 2;
  }
  Totals totals;
  const std::optional<Failure> failure = RunAll(plan, totals);
  std::printf(
      "runs %llu (seeds %llu to %llu), steps %llu, commands %llu; jobs: %lld succeeded, %lld "
      "failed, "
      "%lld cancelled, %lld restarts; %lld restarts of the coordinator\n",
      static_cast<unsigned long long>(totals.runs), static_cast<unsigned long long>(plan.first),
      static_cast<unsigned long long>(plan.first + plan.runs - 1),
      static_cast<unsigned long long>(totals.steps),
      static_cast<unsigned long long>(totals.commands), static_cast<long long>(totals.succeeded),
      static_cast<long long>(totals.failed), static_cast<long long>(totals.cancelled),
      static_cast<long long>(totals.restarts), static_cast<long long>(totals.crashes));
  if (!failure.has_value()) return 0;
  Show(failure->seed, plan.sabotage, trace);
  return 1;
}

}  // namespace
}  // namespace ijepa::sim

int main(int argc, char** argv) { return ijepa::sim::Main(argc, argv); }
