// The scheduler over 10,000 nodes and 100,000 queued jobs with quotas, classes, limits and
// topology.
#include <string>
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

// As many jobs run as fit; the rest waits.
LargeCluster FullCluster(int nodes, int jobs) {
  LargeCluster cluster(nodes);
  cluster.Connect();
  for (int i = 0; i < jobs; ++i) cluster.Submit(i);
  cluster.Apply(coordinator::RunScheduler{});
  // What ran out of slots waits; submit again as many as were started.
  for (int i = jobs; cluster.state().queued.size() < static_cast<size_t>(jobs); ++i) {
    cluster.Submit(i);
  }
  // Everybody is told why it waits, so that a pass is measured and not its echo.
  for (int i = 0; i < jobs / 1000; ++i) cluster.Apply(coordinator::Tick{});
  return cluster;
}

void AddPercentiles(std::vector<double> times, Row& row) {
  row["p50_ms"] = Percentile(times, 0.5);
  row["p99_ms"] = Percentile(times, 0.99);
}

}  // namespace

// A pass over all groups, from the state as it is, and everything that leads to it from nothing.
std::vector<Row> BenchSchedulePass(const ControlOptions& options) {
  LargeCluster cluster = FullCluster(kNodes, kJobs);
  std::vector<double> passes;
  for (int i = 0; i < (options.quick ? 100 : 500); ++i) {
    passes.push_back(MillisecondsOf([&] { cluster.Apply(coordinator::RunScheduler{}); }));
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

// A new job like others that wait, one like no other, and one that is cancelled so that its slots
// are free: the command, and the pass if it asks for one.
std::vector<Row> BenchScheduleIncremental(const ControlOptions& options) {
  LargeCluster cluster = FullCluster(kNodes, kJobs);
  const int rounds = options.quick ? 100 : 500;
  std::vector<double> submits;
  for (int i = 0; i < rounds; ++i) {
    submits.push_back(MillisecondsOf([&] {
      cluster.Submit(10 * kJobs + i);
      cluster.ScheduleIfNeeded();
    }));
  }
  std::vector<double> others;
  for (int i = 0; i < rounds; ++i) {
    others.push_back(MillisecondsOf([&] {
      cluster.Submit(20 * kJobs + i, absl::StrCat(3601 + i, "s"));
      cluster.ScheduleIfNeeded();
    }));
  }
  std::vector<double> frees;
  for (int i = 0; i < rounds && !cluster.state().active.empty(); ++i) {
    const std::string id = *cluster.state().active.begin();
    const coordinator::Gang& gang = *cluster.state().jobs.at(id).gang;
    std::vector<std::string> nodes;
    for (const coordinator::RankState& rank : gang.ranks) {
      if (nodes.empty() || nodes.back() != rank.node) nodes.push_back(rank.node);
    }
    cluster.Apply(coordinator::CancelJob{1, id});
    frees.push_back(MillisecondsOf([&] {
      for (const std::string& node : nodes) {
        cluster.Apply(cluster.Report(std::stoi(node.substr(5)), 1));
      }
      cluster.ScheduleIfNeeded();
    }));
  }
  Row submit = {
      {"bench", "schedule_incremental"}, {"event", "submit"}, {"nodes", kNodes}, {"jobs", kJobs}};
  AddPercentiles(submits, submit);
  Row other = {{"bench", "schedule_incremental"},
               {"event", "submit of another kind"},
               {"nodes", kNodes},
               {"jobs", kJobs}};
  AddPercentiles(others, other);
  Row free = {{"bench", "schedule_incremental"},
              {"event", "slots freed"},
              {"nodes", kNodes},
              {"jobs", kJobs}};
  AddPercentiles(frees, free);
  return {submit, other, free};
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
