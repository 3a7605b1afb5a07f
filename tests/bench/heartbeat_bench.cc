// Heartbeats of 10,000 workers through the core: a report of eight ranks each, every five seconds.
#include <algorithm>
#include <string>
#include <vector>

#include "control_bench.h"
#include "large_cluster.h"

namespace ijepa::bench {
namespace {

constexpr int kNodes = 10000;
constexpr int kTicksPerSecond = 4;
constexpr int kBeatSeconds = 5;

}  // namespace

std::vector<Row> BenchHeartbeats(const ControlOptions& options) {
  LargeCluster cluster(kNodes);
  cluster.Connect();
  for (int i = 0; i < 20000; ++i) cluster.Submit(i);
  cluster.Apply(coordinator::RunScheduler{});
  const int seconds = options.quick ? 20 : 60;
  int64_t lost = 0;
  std::vector<double> beats;
  double milliseconds = 0;
  for (int tick = 0; tick < seconds * kTicksPerSecond; ++tick) {
    cluster.Pass(absl::Seconds(1) / kTicksPerSecond);
    milliseconds += MillisecondsOf([&] { cluster.Apply(coordinator::Tick{}); });
    // A share of the nodes with each tick, all of them every five seconds.
    const int part = kBeatSeconds * kTicksPerSecond;
    for (int node = tick % part; node < kNodes; node += part) {
      // The report itself is the worker's work.
      const coordinator::Command report = cluster.Report(NodeName(node), tick + 1);
      beats.push_back(MillisecondsOf([&] { cluster.Apply(report); }));
      milliseconds += beats.back();
    }
  }
  for (const auto& [name, node] : cluster.state().nodes) {
    lost += node.state == v1::NODE_STATE_READY ? 0 : 1;
  }
  return {{{"bench", "heartbeats"},
           {"nodes", kNodes},
           {"running_jobs", cluster.state().active.size()},
           {"virtual_seconds", seconds},
           {"share_of_a_core", milliseconds / 1000 / seconds},
           {"beat_p50_ms", Percentile(beats, 0.5)},
           {"beat_p99_ms", Percentile(beats, 0.99)},
           {"false_expiries", lost}}};
}

}  // namespace ijepa::bench
