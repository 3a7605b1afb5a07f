#include "worker/daemon/reconcile.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"

namespace ijepa::worker {
namespace {

absl::Time DeadlineOf(const v1::Drain& drain) {
  if (!drain.has_deadline()) return absl::InfiniteFuture();
  return absl::FromUnixSeconds(drain.deadline().seconds()) +
         absl::Nanoseconds(drain.deadline().nanos());
}

// What to do with a rank that is here and running.
void ReconcileRunning(const ActualRank& rank, const v1::DesiredGang* wanted,
                      int64_t newest_generation, absl::Time now, Actions& actions) {
  if (rank.killed) return;
  if (wanted == nullptr) {
    const bool superseded = newest_generation > rank.key.generation;
    actions.kill.push_back({rank.key, superseded,
                            superseded
                                ? absl::StrCat("superseded by generation ", newest_generation)
                                : "no longer wanted by the coordinator"});
    return;
  }
  if (wanted->collect_stacks() && !rank.stacks_asked) actions.collect_stacks.push_back(rank.key);
  if (!wanted->has_drain()) return;
  const v1::Drain& drain = wanted->drain();
  if (now >= DeadlineOf(drain)) {
    actions.kill.push_back({rank.key, false, "not stopped by the deadline of the drain"});
  } else if (!rank.draining) {
    actions.drain.push_back({rank.key, drain});
  }
}

}  // namespace

Actions Reconcile(const v1::DesiredState& desired, const std::vector<ActualRank>& actual, int slots,
                  absl::Time now) {
  std::map<RankKey, const v1::DesiredGang*> wanted;
  std::map<std::string, int64_t> newest_generation;
  for (const v1::DesiredGang& gang : desired.gangs()) {
    int64_t& newest = newest_generation[gang.job_uid()];
    newest = std::max(newest, gang.generation());
    for (const int rank : gang.ranks()) {
      wanted[{gang.job_uid(), gang.generation(), rank}] = &gang;
    }
  }

  Actions actions;
  std::set<RankKey> known;
  std::set<int> used_slots;
  std::map<std::string, std::set<int64_t>> running_generations;
  for (const ActualRank& rank : actual) {
    known.insert(rank.key);
    const auto it = wanted.find(rank.key);
    if (!rank.running) {
      if (it == wanted.end() && rank.settled) actions.forget.push_back(rank.key);
      continue;
    }
    used_slots.insert(rank.slot);
    running_generations[rank.key.job_uid].insert(rank.key.generation);
    const auto newest = newest_generation.find(rank.key.job_uid);
    ReconcileRunning(rank, it == wanted.end() ? nullptr : it->second,
                     newest == newest_generation.end() ? 0 : newest->second, now, actions);
  }

  int slot = 0;
  for (const auto& [key, gang] : wanted) {
    if (known.contains(key)) continue;
    if (gang->has_drain()) {
      actions.drain_unstarted.push_back(key);
      continue;
    }
    const std::set<int64_t>& generations = running_generations[key.job_uid];
    const bool fenced = std::any_of(generations.begin(), generations.end(),
                                    [&](int64_t other) { return other != key.generation; });
    if (fenced || key.generation < newest_generation[key.job_uid]) continue;
    while (used_slots.contains(slot)) ++slot;
    if (slot >= slots) continue;
    used_slots.insert(slot);
    actions.start.push_back({key, slot});
  }
  return actions;
}

v1::RankLaunch LaunchOf(const v1::DesiredState& desired, const RankKey& key, int slot) {
  v1::RankLaunch launch;
  for (const v1::DesiredGang& gang : desired.gangs()) {
    if (gang.job_uid() == key.job_uid && gang.generation() == key.generation) {
      launch = gang.launch();
    }
  }
  launch.set_job_uid(key.job_uid);
  launch.set_generation(key.generation);
  launch.set_rank(key.rank);
  launch.set_slot(slot);
  return launch;
}

}  // namespace ijepa::worker
