// control_bench: what the coordinator does per second, and how soon. One line of JSON per figure.
#include "tests/bench/control_bench.h"

#include <grpc/support/log.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>

namespace ijepa::bench {
namespace {

struct NamedBench {
  const char* name;
  std::vector<Row> (*run)(const ControlOptions&);
};

// Every bench, in the order in which they run.
constexpr NamedBench kBenches[] = {
    {"durable_submits", BenchDurableSubmits}, {"recovery", BenchRecovery},
    {"schedule_pass", BenchSchedulePass},     {"schedule_incremental", BenchScheduleIncremental},
    {"placements", BenchPlacements},          {"heartbeats", BenchHeartbeats},
};

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
    for (const Row& row : bench.run(options)) {
      std::printf("%s\n", row.dump().c_str());
      std::fflush(stdout);
    }
    std::filesystem::remove_all(options.folder);
  }
  return 0;
}

}  // namespace

double Percentile(std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const auto index = static_cast<size_t>(share * static_cast<double>(values.size()));
  return values[std::min(index, values.size() - 1)];
}

}  // namespace ijepa::bench

int main(int argc, char** argv) { return ijepa::bench::Main(argc, argv); }
