// Benches of the control plane, one file each. They measure, they assert nothing.
#ifndef IJEPA_TESTS_BENCH_CONTROL_BENCH_H_
#define IJEPA_TESTS_BENCH_CONTROL_BENCH_H_

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/bench/median.h"

namespace ijepa::bench {

struct ControlOptions {
  // Smaller and shorter, so that all benches together take less than a minute.
  bool quick = false;
  // Of which the median is shown.
  int repeats = 5;
  // An empty folder on a disk.
  std::string folder;
};

using Row = nlohmann::ordered_json;

// Rows to print, best as {"bench": NAME, ...}.
std::vector<Row> BenchDurableSubmits(const ControlOptions& options);
std::vector<Row> BenchRecovery(const ControlOptions& options);
std::vector<Row> BenchSchedulePass(const ControlOptions& options);
std::vector<Row> BenchScheduleIncremental(const ControlOptions& options);
std::vector<Row> BenchPlacements(const ControlOptions& options);
std::vector<Row> BenchHeartbeats(const ControlOptions& options);
std::vector<Row> BenchHeartbeatStreams(const ControlOptions& options);

// Milliseconds that `body` takes.
template <typename Body>
double MillisecondsOf(const Body& body) {
  const absl::Time start = absl::Now();
  body();
  return absl::ToDoubleMilliseconds(absl::Now() - start);
}

// Of this thread, since it began.
double CpuMilliseconds();

using jepa::bench::Median;
// `share` in [0, 1]: 0.99 is the value that one in a hundred exceeds. `values` is sorted.
double Percentile(std::vector<double>& values, double share);

}  // namespace ijepa::bench

#endif  // IJEPA_TESTS_BENCH_CONTROL_BENCH_H_
