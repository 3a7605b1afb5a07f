// The scheduler's indexes, told of change after change, against the same made anew, and what they
// answer against walks over every node and gang by name, on random clusters.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/core/preemption.h"
#include "coordinator/core/reservations.h"
#include "random_cluster.h"

namespace ijepa::coordinator {
namespace {

constexpr int kClusters = 40;
constexpr int kRounds = 60;
constexpr v1::TopologyLevel kLevels[] = {v1::TOPOLOGY_LEVEL_NODE, v1::TOPOLOGY_LEVEL_ISLAND,
                                         v1::TOPOLOGY_LEVEL_RACK, v1::TOPOLOGY_LEVEL_BLOCK,
                                         v1::TOPOLOGY_LEVEL_CLUSTER};

// Lets clusters change, and calls `check` after every few changes.
template <typename Check>
void OnRandomClusters(const Check& check) {
  for (int seed = 1; seed <= kClusters; ++seed) {
    RandomCluster random(static_cast<uint32_t>(seed));
    for (int round = 0; round < kRounds; ++round) {
      for (int changes = 1 + random.Draw(4); changes > 0; --changes) random.Change();
      random.waiting.Wake(random.now());
      SCOPED_TRACE(absl::StrCat("seed ", seed, ", round ", round));
      check(random);
      if (::testing::Test::HasFailure()) return;
    }
  }
}

// All that a plan says, without its order of equals.
std::vector<std::string> Describe(const Plan& plan) {
  std::vector<std::string> lines;
  for (const Start& start : plan.starts) {
    lines.push_back(absl::StrCat("start ", start.id));
    for (const std::string& node : start.nodes) absl::StrAppend(&lines.back(), " ", node);
  }
  for (const Preemption& stop : plan.preemptions) {
    lines.push_back(absl::StrCat("stop ", stop.id, " for ", stop.by));
  }
  for (const std::string& id : plan.bypassed) lines.push_back(absl::StrCat("bypassed ", id));
  std::set<std::string> verdicts;
  for (const Verdict& verdict : plan.verdicts) {
    verdicts.insert(absl::StrCat(verdict.group->key, ": ", verdict.reason->ShortDebugString()));
  }
  lines.insert(lines.end(), verdicts.begin(), verdicts.end());
  lines.push_back(absl::StrCat(plan.free, " free, held back ", plan.held_back));
  return lines;
}

TEST(SchedulerIndexesTest, APlanIsTheSameAsFromIndexesThatAreMadeAnew) {
  size_t starts = 0;
  size_t stops = 0;
  size_t bypassed = 0;
  OnRandomClusters([&](RandomCluster& random) {
    const Plan plan = random.PlanWith(random.waiting, random.running);
    WaitingJobs waiting;
    random.FillFresh(waiting);
    waiting.Wake(random.now());
    RunningGangs running = random.FreshGangs();
    EXPECT_EQ(Describe(plan), Describe(random.PlanWith(waiting, running)));
    starts += plan.starts.size();
    stops += plan.preemptions.size();
    bypassed += plan.bypassed.size();
  });
  EXPECT_GT(starts, 1000);
  EXPECT_GT(stops, 100);
  EXPECT_GT(bypassed, 40);
}

// Of every part of the level, as the index orders them.
std::vector<int64_t> FreeByPart(const ClusterIndex& cluster, const Selection& selection,
                                v1::TopologyLevel level) {
  std::vector<int64_t> free;
  for (const Scope& part : cluster.Parts(selection, level)) {
    free.push_back(cluster.Count(part).free);
  }
  return free;
}

TEST(SchedulerIndexesTest, NodesAreCountedAsInAnIndexThatIsMadeAnew) {
  OnRandomClusters([](RandomCluster& random) {
    const ClusterIndex fresh = random.FreshCluster();
    const auto same = [](const Totals& a, const Totals& b) {
      return std::tie(a.nodes, a.slots, a.free) == std::tie(b.nodes, b.slots, b.free);
    };
    EXPECT_EQ(random.cluster.nodes(), fresh.nodes());
    for (const Pool pool : {kGpu, kCpu}) {
      for (const bool bf16 : {false, true}) {
        const Selection selection{pool, bf16};
        EXPECT_TRUE(same(random.cluster.Count(selection), fresh.Count(selection)));
        for (const v1::TopologyLevel level : kLevels) {
          EXPECT_EQ(random.cluster.LargestPart(selection, level),
                    fresh.LargestPart(selection, level));
          if (level != v1::TOPOLOGY_LEVEL_CLUSTER) {
            const std::vector<int64_t> free = FreeByPart(random.cluster, selection, level);
            EXPECT_TRUE(std::is_sorted(free.begin(), free.end()));
            std::vector<int64_t> wanted = FreeByPart(fresh, selection, level);
            std::sort(wanted.begin(), wanted.end());
            EXPECT_EQ(free, wanted);
          }
          for (const auto& [name, node] : random.nodes()) {
            const Scope here{selection, level, random.cluster.PartNumber(level, name)};
            const Scope there{selection, level, fresh.PartNumber(level, name)};
            EXPECT_TRUE(same(random.cluster.Count(here), fresh.Count(there))) << name;
          }
        }
      }
    }
  });
}

// Open slots of a node within the scope.
int OpenIn(const ClusterIndex& cluster, const Scope& scope, const std::string& name) {
  const NodeView& view = *cluster.Find(name);
  const bool inside = cluster.SlotsIn(scope, {{name, 1}}) > 0;
  return inside && view.usable ? std::max(0, view.free) : 0;
}

// As PlaceOutside is to choose, from all nodes.
std::vector<Piece> WalkOutside(const RandomCluster& random, const Selection& selection, int size,
                               const Scope& without) {
  const ClusterIndex& cluster = random.cluster;
  struct Open {
    int slots;
    int number;
    std::string name;
  };
  std::vector<Open> nodes;
  for (const auto& [name, node] : random.nodes()) {
    const int slots = OpenIn(cluster, {selection, v1::TOPOLOGY_LEVEL_CLUSTER, -1}, name);
    const bool kept = cluster.SlotsIn(without, {{name, 1}}) > 0;
    if (slots > 0 && !kept) nodes.push_back({slots, cluster.NumberOf(name), name});
  }
  std::sort(nodes.begin(), nodes.end(), [](const Open& a, const Open& b) {
    return std::tie(b.slots, a.number) < std::tie(a.slots, b.number);
  });
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
    if (node->slots >= size) return {{node->name, size}};
  }
  std::vector<Piece> pieces;
  for (const Open& node : nodes) {
    if (size == 0) break;
    pieces.push_back({node.name, std::min(node.slots, size)});
    size -= pieces.back().slots;
  }
  return size == 0 ? pieces : std::vector<Piece>();
}

TEST(SchedulerIndexesTest, PlacesOutsideAPartAsAWalkOverAllNodesDoes) {
  int spread = 0;
  OnRandomClusters([&](RandomCluster& random) {
    const Selection selection = random.DrawSelection();
    for (const v1::TopologyLevel level : kLevels) {
      for (const Scope& without : random.cluster.Parts(random.DrawSelection(), level)) {
        const int size = 1 + random.Draw(16);
        const std::vector<Piece> wanted = WalkOutside(random, selection, size, without);
        EXPECT_EQ(
            random.cluster.PlaceOutside(selection, size, without).value_or(std::vector<Piece>()),
            wanted);
        spread += wanted.size() > 1;
      }
    }
  });
  EXPECT_GT(spread, 100);
}

TEST(SchedulerIndexesTest, TheFreestPartsAreThoseOfAllParts) {
  OnRandomClusters([](RandomCluster& random) {
    const Selection selection = random.DrawSelection();
    for (const v1::TopologyLevel level : kLevels) {
      const int size = 1 + random.Draw(10);
      std::vector<int> wanted;
      std::optional<int> freest;
      for (const Scope& part : random.cluster.Parts(selection, level)) {
        const Totals totals = random.cluster.Count(part);
        if (totals.slots < size) continue;
        wanted.insert(wanted.begin(), part.part);
        const bool freer =
            !freest.has_value() ||
            totals.free > random.cluster.Count(Scope{selection, level, *freest}).free;
        if (freer) freest = part.part;
      }
      wanted.resize(std::min<size_t>(wanted.size(), 3));
      std::vector<int> found;
      for (const Scope& part : random.cluster.FreestParts(selection, level, size, 3)) {
        found.push_back(part.part);
      }
      EXPECT_EQ(found, wanted);
      EXPECT_EQ(random.cluster.FreestPart(selection, level, size), freest);
    }
  });
}

// Slots of the gang by part, of pieces that the selection has.
std::map<int, int> SlotsByPart(const ClusterIndex& cluster, const Scope& scope,
                               const std::vector<Piece>& pieces) {
  std::map<int, int> slots;
  const Scope whole{scope.selection, v1::TOPOLOGY_LEVEL_CLUSTER, -1};
  for (const Piece& piece : pieces) {
    const int inside = cluster.SlotsIn(whole, {piece});
    if (inside > 0) slots[cluster.PartNumber(scope.level, piece.node)] += inside;
  }
  return slots;
}

// When a part of the level first has `size` free slots, if all gangs end as they say; and what is
// then left in that part.
std::pair<absl::Duration, std::map<int, int64_t>> WalkEnds(const RandomCluster& random,
                                                           const Scope& scope, int size) {
  std::map<int, int64_t> free;
  for (const Scope& part : random.cluster.Parts(scope.selection, scope.level)) {
    const Totals totals = random.cluster.Count(part);
    if (totals.slots >= size) free[part.part] = totals.free;
  }
  std::map<absl::Duration, std::vector<const RunningGang*>> ends;
  for (const auto& [at, gang] : random.running.ends()) {
    ends[std::max(at.first, random.now())].push_back(gang);
  }
  for (const auto& [end, gangs] : ends) {
    for (const RunningGang* gang : gangs) {
      for (const auto& [part, slots] : SlotsByPart(random.cluster, scope, gang->pieces)) {
        if (free.count(part) > 0) free[part] += slots;
      }
    }
    std::map<int, int64_t> enough;
    for (const auto& [part, slots] : free) {
      if (slots >= size) enough[part] = slots - size;
    }
    if (!enough.empty()) return {end, enough};
  }
  return {absl::InfiniteDuration(), {}};
}

TEST(SchedulerIndexesTest, AReservationStartsWhenAWalkOverAllEndsSays) {
  int known = 0;
  OnRandomClusters([&](RandomCluster& random) {
    QueuedJob job = random.DrawJob();
    const Selection selection = SelectionsOf(job)[0];
    const Scope scope{selection, job.required, -1};
    const int size = job.sizes.back();
    // It is asked for where a job fits nowhere now.
    if (random.cluster.Place(selection, size, job.required, job.required).has_value()) return;
    random.running.Settle(random.cluster);
    const ScheduleView view = random.View(random.waiting, random.running, random.cluster);
    Reservations reservations(view);
    const Reservation* found = reservations.Reserve(job, job.id, selection);
    EXPECT_EQ(found == nullptr,
              !random.cluster.FreestPart(selection, job.required, size).has_value());
    if (found == nullptr) return;
    const auto [time, parts] = WalkEnds(random, scope, size);
    EXPECT_EQ(found->time, time);
    if (time == absl::InfiniteDuration()) return;
    ++known;
    ASSERT_EQ(parts.count(found->scope.part), 1);
    EXPECT_EQ(found->extra, parts.at(found->scope.part));
  });
  EXPECT_GT(known, 100);
}

TEST(SchedulerIndexesTest, VictimsAreThoseOfAWalkOverAllGangs) {
  int in_parts = 0;
  OnRandomClusters([&](RandomCluster& random) {
    const QueuedJob job = random.DrawJob();
    const Scope scope{SelectionsOf(job)[0], job.required, -1};
    random.running.Settle(random.cluster);
    const PreemptionAsk ask{random.now(),    job,         job.sizes.back(), random.Draw(2) == 0,
                            scope.selection, scope.level, random.rules,     random.running,
                            random.cluster};
    const std::vector<Scope> parts =
        random.cluster.FreestParts(scope.selection, scope.level, ask.size, 4);
    std::set<int> asked;
    for (const Scope& part : parts) asked.insert(part.part);
    std::set<std::tuple<int, std::string, int>> wanted;
    for (const auto& [id, gang] : random.running.all()) {
      const bool lower = gang.class_value < job.class_value;
      const bool equal =
          gang.class_value == job.class_value && ask.within_nominal && gang.queue != job.queue;
      const bool may = gang.preemptible && !gang.ending &&
                       random.now() - gang.start >= random.rules.min_run_time && (lower || equal);
      if (!gang.ending && !may) continue;
      for (const auto& [part, slots] : SlotsByPart(random.cluster, scope, gang.pieces)) {
        if (asked.count(part) > 0) wanted.insert({part, id, slots});
      }
    }
    std::set<std::tuple<int, std::string, int>> found;
    for (const auto& [part, gangs] : FindVictims(ask, parts)) {
      for (const GangInPart& here : gangs) found.insert({part, here.gang->id, here.slots});
    }
    EXPECT_EQ(found, wanted);
    in_parts += scope.level != v1::TOPOLOGY_LEVEL_CLUSTER && !found.empty();
  });
  EXPECT_GT(in_parts, 100);
}

}  // namespace
}  // namespace ijepa::coordinator
