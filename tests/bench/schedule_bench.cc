// The scheduler over 10,000 nodes and 100,000 queued jobs with quotas, classes, limits and
// topology.
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control_bench.h"
#include "coordinator/core/placing.h"
#include "coordinator/core/scheduler.h"
#include "coordinator/store/sqlite_store.h"
#include "large_cluster.h"

namespace ijepa::bench {
namespace {

constexpr int kNodes = 10000;
constexpr int kJobs = 100000;

// As many jobs run as fit, for longer than min_run_time; the rest waits.
LargeCluster FullCluster(int nodes, int jobs) {
  LargeCluster cluster(nodes);
  cluster.Connect();
  for (int i = 0; i < jobs; ++i) cluster.Submit(i);
  cluster.Apply(coordinator::RunScheduler{});
  cluster.Pass(absl::Minutes(11));
  for (int n = 0; n < nodes; ++n) cluster.Apply(cluster.Report(NodeName(n), 1));
  // What ran out of slots waits; submit again as many as were started.
  for (int i = jobs; cluster.state().queued.size() < static_cast<size_t>(jobs); ++i) {
    cluster.Submit(i);
  }
  // Everybody is told why it waits, so that a pass is measured and not its echo.
  for (int i = 0; i < jobs / 1000; ++i) cluster.Apply(coordinator::Tick{});
  return cluster;
}

// Of the wall clock, and of this thread's processor time: the same however busy the machine is.
struct Times {
  std::vector<double> wall;
  std::vector<double> cpu;

  template <typename Body>
  void Measure(const Body& body) {
    const double before = CpuMilliseconds();
    wall.push_back(MillisecondsOf(body));
    cpu.push_back(CpuMilliseconds() - before);
  }
  void DropLast() {
    wall.pop_back();
    cpu.pop_back();
  }
};

void AddPercentiles(Times times, Row& row) {
  row["p50_ms"] = Percentile(times.wall, 0.5);
  row["p99_ms"] = Percentile(times.wall, 0.99);
  row["p50_cpu_ms"] = Percentile(times.cpu, 0.5);
  row["p99_cpu_ms"] = Percentile(times.cpu, 0.99);
}

}  // namespace

// A pass over all groups, from the state as it is, and everything that leads to it from nothing.
std::vector<Row> BenchSchedulePass(const ControlOptions& options) {
  LargeCluster cluster = FullCluster(kNodes, kJobs);
  Times passes;
  for (int i = 0; i < (options.quick ? 100 : 500); ++i) {
    passes.Measure([&] { cluster.Apply(coordinator::RunScheduler{}); });
  }
  Row row = {{"bench", "schedule_pass"},
             {"nodes", kNodes},
             {"jobs", cluster.state().queued.size()},
             {"groups", cluster.state().waiting.groups().size()},
             {"running", cluster.state().active.size()},
             {"queues", LargeCluster::kQueues}};
  AddPercentiles(passes, row);
  return {row};
}

namespace {

Row IncrementalRow(const char* event, Times times) {
  Row row = {
      {"bench", "schedule_incremental"}, {"event", event}, {"nodes", kNodes}, {"jobs", kJobs}};
  AddPercentiles(std::move(times), row);
  return row;
}

// A gang that has its slots and has not been asked to stop; empty if there is none.
std::string FindPlaced(const coordinator::State& state) {
  for (const std::string& id : state.active) {
    const coordinator::Job& job = state.jobs.at(id);
    const bool up = job.state() == v1::JOB_STATE_STARTING || job.state() == v1::JOB_STATE_RUNNING;
    if (up && !job.gang->draining) return id;
  }
  return "";
}

// Gangs that run are cancelled, save and stop, one after the other: from what the nodes report of
// that to the end of the pass that gives the slots to others.
Row MeasureFreedSlots(LargeCluster& cluster, int rounds) {
  const coordinator::State& state = cluster.state();
  Times times;
  int64_t slots = 0;
  const int64_t starts_before = state.figures.starts;
  for (int i = 0; i < rounds; ++i) {
    const std::string id = FindPlaced(state);
    if (id.empty()) break;
    const std::string uid = state.jobs.at(id).proto.uid();
    const coordinator::Gang& gang = *state.jobs.at(id).gang;
    const auto held = static_cast<int64_t>(gang.ranks.size());
    const std::set<std::string> nodes = coordinator::NodesOf(gang);
    for (const std::string& node : nodes) cluster.Apply(cluster.Report(node, 1));
    cluster.Apply(coordinator::CancelJob{1, id});
    std::vector<coordinator::Command> reports;
    for (const std::string& node : nodes) reports.push_back(cluster.ReportStopped(node, uid));
    times.Measure([&] {
      for (const coordinator::Command& report : reports) cluster.Apply(report);
      cluster.ScheduleIfNeeded();
    });
    // Only what gave its slots back counts.
    if (state.active.count(id) > 0) {
      times.DropLast();
      continue;
    }
    slots += held;
  }
  const auto freed = static_cast<double>(times.wall.size());
  Row row = IncrementalRow("slots freed", std::move(times));
  row["rounds"] = rounds;
  row["gangs_freed"] = freed;
  row["slots_freed"] = slots;
  row["gangs_started"] = state.figures.starts - starts_before;
  return row;
}

}  // namespace

// A new job like others that wait, one like no other, and one whose gang gives its slots back: the
// command, and the pass if it asks for one.
std::vector<Row> BenchScheduleIncremental(const ControlOptions& options) {
  LargeCluster cluster = FullCluster(kNodes, kJobs);
  const int rounds = options.quick ? 100 : 500;
  Times submits;
  for (int i = 0; i < rounds; ++i) {
    submits.Measure([&] {
      cluster.Submit(10 * kJobs + i);
      cluster.ScheduleIfNeeded();
    });
  }
  Times others;
  for (int i = 0; i < rounds; ++i) {
    others.Measure([&] {
      cluster.Submit(20 * kJobs + i, absl::StrCat(3601 + i, "s"));
      cluster.ScheduleIfNeeded();
    });
  }
  return {IncrementalRow("submit", std::move(submits)),
          IncrementalRow("submit of another kind", std::move(others)),
          MeasureFreedSlots(cluster, rounds)};
}

// From an empty cluster: gangs started in one pass, decided, and made durable.
std::vector<Row> BenchPlacements(const ControlOptions& options) {
  LargeCluster cluster(kNodes);
  cluster.Connect();
  for (int i = 0; i < (options.quick ? kJobs / 10 : kJobs); ++i) cluster.Submit(i);
  coordinator::Outcome outcome;
  const double pass = MillisecondsOf([&] { outcome = cluster.Apply(coordinator::RunScheduler{}); });
  const auto started = static_cast<double>(cluster.state().active.size());
  const std::string folder = options.folder + "/placements";
  auto store = coordinator::SqliteStore::Open(folder);
  if (!store.ok())
    return {{{"bench", "placements"}, {"error", std::string(store.status().message())}}};
  coordinator::Batch batch;
  batch.writes = std::move(outcome.writes);
  absl::Status committed;
  const double commit = MillisecondsOf([&] { committed = (*store)->Commit(batch); });
  Row row = {{"bench", "placements"}, {"nodes", kNodes},
             {"gangs", started},      {"decide_ms", pass},
             {"commit_ms", commit},   {"per_second", started / ((pass + commit) / 1000)}};
  if (!committed.ok()) row["error"] = std::string(committed.message());
  return {row};
}

}  // namespace ijepa::bench
