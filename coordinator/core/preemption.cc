// See preemption.h.
#include "coordinator/core/preemption.h"

#include <algorithm>
#include <tuple>

namespace ijepa::coordinator {
namespace {

struct Candidate {
  const RunningGang* gang = nullptr;
  int64_t over_share = 0;
  // Rank-seconds that are done again.
  double lost = 0;
  // Within the scope.
  int slots = 0;
};

// Slots of a queue beyond its quota.
int64_t OverShare(const PreemptionAsk& ask, const std::string& queue) {
  return ask.running.UsedBy(queue) - RulesOf(ask.rules, queue).nominal.value_or(0);
}

bool MayTake(const PreemptionAsk& ask, const RunningGang& gang) {
  if (gang.ending || !gang.preemptible || ask.now - gang.start < ask.rules.min_run_time) {
    return false;
  }
  if (gang.class_value < ask.job.class_value) return true;
  return ask.within_nominal && gang.class_value == ask.job.class_value &&
         gang.queue != ask.job.queue && OverShare(ask, gang.queue) > 0;
}

std::vector<Candidate> Candidates(const PreemptionAsk& ask) {
  std::vector<Candidate> candidates;
  for (const auto& [value, ids] : ask.running.by_class()) {
    if (value > ask.job.class_value || (value == ask.job.class_value && !ask.within_nominal)) break;
    for (const std::string& id : ids) {
      const RunningGang& gang = *ask.running.Find(id);
      if (!MayTake(ask, gang)) continue;
      const int slots = ask.cluster.SlotsIn(ask.scope, gang.pieces);
      if (slots == 0) continue;
      const double lost = gang.slots * absl::ToDoubleSeconds(ask.now - gang.safe);
      candidates.push_back({&gang, OverShare(ask, gang.queue), lost, slots});
    }
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return std::tie(a.gang->class_value, b.over_share, a.lost, a.gang->id) <
           std::tie(b.gang->class_value, a.over_share, b.lost, b.gang->id);
  });
  return candidates;
}

}  // namespace

PreemptionChoice ChooseVictims(const PreemptionAsk& ask) {
  PreemptionChoice choice;
  int64_t there = ask.cluster.Count(ask.scope).free;
  for (const auto& [end, id] : ask.running.ends()) {
    const RunningGang& gang = *ask.running.Find(id);
    if (gang.ending) there += ask.cluster.SlotsIn(ask.scope, gang.pieces);
  }
  choice.fits = there >= ask.size;
  if (choice.fits) return choice;
  std::vector<Candidate> chosen;
  for (const Candidate& candidate : Candidates(ask)) {
    if (there >= ask.size) break;
    chosen.push_back(candidate);
    there += candidate.slots;
  }
  choice.fits = there >= ask.size;
  if (!choice.fits) return choice;
  // A later, larger one may make an earlier one needless: the dearest is spared first.
  for (size_t i = chosen.size(); i-- > 0;) {
    if (there - chosen[i].slots < ask.size) continue;
    there -= chosen[i].slots;
    chosen.erase(chosen.begin() + static_cast<ptrdiff_t>(i));
  }
  for (const Candidate& candidate : chosen) choice.victims.push_back(candidate.gang->id);
  return choice;
}

}  // namespace ijepa::coordinator
