// control_bench: what the coordinator does per second, and how soon. One line of JSON per figure.
#include "tests/bench/control_bench.h"

#include <grpc/support/log.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <filesystem>

namespace ijepa::bench {
namespace {

struct NamedBench {
  const char* name;
  std::vector<Row> (*run)(const ControlOptions&);
};

// Every bench, in the order in which they run.
constexpr NamedBench kBenches[] = {
    {"durable_submits", BenchDurableSubmits},
    {"recovery", BenchRecovery},
    {"schedule_pass", BenchSchedulePass},
    {"schedule_incremental", BenchScheduleIncremental},
    {"placements", BenchPlacements},
    {"heartbeats", BenchHeartbeats},
    {"heartbeat_streams", BenchHeartbeatStreams},
};

// What a figure should be: no more than these, or no less. Of rows with `key` = `value`; an empty
// key means all of the bench.
struct Target {
  const char* bench;
  const char* key;
  Row value;
  const char* figure;
  bool at_most;
  double floor;
  double goal;
};

std::vector<Target> Targets() {
  return {
      {"durable_submits", "clients", 64, "per_second", false, 1000, 2500},
      {"durable_submits", "clients", 64, "p99_ms", true, 60, 60},
      {"durable_submits", "clients", 1, "per_second", false, 150, 250},
      {"recovery", "stored", 1'000'000, "seconds", true, 5, 2},
      {"recovery", "stored", 1'000'000, "rss_mb", true, 1500, 600},
      {"list", "stored", 1'000'000, "p99_ms", true, 50, 10},
      {"schedule_pass", "", {}, "p99_ms", true, 250, 50},
      {"schedule_incremental", "", {}, "p99_ms", true, 5, 5},
      {"placements", "", {}, "per_second", false, 1000, 3000},
      {"heartbeats", "", {}, "share_of_a_core", true, 0.6, 0.35},
      {"heartbeats", "", {}, "false_expiries", true, 0, 0},
      {"heartbeat_streams", "", {}, "ack_p99_ms", true, 50, 50},
      {"heartbeat_streams", "", {}, "false_expiries", true, 0, 0},
  };
}

// Adds to the row what is wanted of it, and whether it is met: goal, floor or missed.
void Judge(Row& row) {
  for (const Target& target : Targets()) {
    if (row.value("bench", "") != target.bench || !row.contains(target.figure)) continue;
    if (*target.key != '\0' && (!row.contains(target.key) || row[target.key] != target.value)) {
      continue;
    }
    const double measured = row[target.figure];
    const auto meets = [&](double wanted) {
      return target.at_most ? measured <= wanted : measured >= wanted;
    };
    row["wanted"][target.figure] = {{"floor", target.floor},
                                    {"goal", target.goal},
                                    {"met", meets(target.goal)    ? "goal"
                                            : meets(target.floor) ? "floor"
                                                                  : "missed"}};
  }
}

int Main(int argc, char** argv) {
  CLI::App app("Benches of the control plane; JSON rows, medians", "control_bench");
  ControlOptions options;
  std::vector<std::string> names;
  bool json = false;
  std::string under = std::filesystem::temp_directory_path();
  app.add_flag("--quick", options.quick, "Within a minute: smaller, shorter, three times each");
  app.add_flag("--json", json, "As always");
  app.add_option("--repeats", options.repeats, "Runs of which the median is shown [5]");
  app.add_option("--under", under, "Folder on the disk to measure on");
  app.add_option("BENCH", names, "Only these");
  CLI11_PARSE(app, argc, argv);
  if (options.quick) options.repeats = std::min(options.repeats, 3);
  gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
  for (const NamedBench& bench : kBenches) {
    if (!names.empty() && std::find(names.begin(), names.end(), bench.name) == names.end()) {
      continue;
    }
    options.folder = under + "/control_bench." + std::to_string(getpid()) + "." + bench.name;
    std::filesystem::create_directories(options.folder);
    for (Row& row : bench.run(options)) {
      Judge(row);
      std::printf("%s\n", row.dump().c_str());
      std::fflush(stdout);
    }
    std::filesystem::remove_all(options.folder);
  }
  return 0;
}

}  // namespace

double CpuMilliseconds() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return absl::ToDoubleMilliseconds(absl::DurationFromTimespec(time));
}

double Percentile(std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const auto index = static_cast<size_t>(share * static_cast<double>(values.size()));
  return values[std::min(index, values.size() - 1)];
}

}  // namespace ijepa::bench

int main(int argc, char** argv) { return ijepa::bench::Main(argc, argv); }
