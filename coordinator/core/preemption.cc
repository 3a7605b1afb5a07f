// See preemption.h.
#include "coordinator/core/preemption.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "absl/strings/string_view.h"

namespace ijepa::coordinator {
namespace {

struct Candidate {
  const RunningGang* gang = nullptr;
  // Rank-seconds that are done again.
  double lost = 0;
  // Within the scope.
  int slots = 0;
};

// Of one class and queue, a heap: who loses the least is at its front and is taken first.
using Row = std::vector<Candidate>;
using Rows = std::map<std::pair<int, std::string>, Row>;

bool LosesMore(const Candidate& a, const Candidate& b) {
  return std::tie(a.lost, a.gang->id) > std::tie(b.lost, b.gang->id);
}

Candidate TakeFront(Row& row) {
  std::pop_heap(row.begin(), row.end(), LosesMore);
  const Candidate taken = row.back();
  row.pop_back();
  return taken;
}

// What queues hold beyond their quota, without what is on its way out or chosen to go.
class OverShare {
 public:
  explicit OverShare(const PreemptionAsk& ask) : ask_(ask) {}

  void Leave(const RunningGang& gang) { chosen_[gang.queue] += gang.slots; }

  int64_t Of(const std::string& queue) const {
    const auto chosen = chosen_.find(queue);
    return ask_.running.UsedBy(queue) - ask_.running.LeavingIn(queue) -
           (chosen == chosen_.end() ? 0 : chosen->second) -
           RulesOf(ask_.rules, queue).nominal.value_or(0);
  }

 private:
  const PreemptionAsk& ask_;
  std::map<std::string, int64_t> chosen_;
};

bool MayTake(const PreemptionAsk& ask, const RunningGang& gang) {
  if (gang.ending || !gang.preemptible || ask.now - gang.start < ask.rules.min_run_time) {
    return false;
  }
  return gang.class_value < ask.job.class_value || gang.queue != ask.job.queue;
}

void Add(const PreemptionAsk& ask, const RunningGang& gang, GangsByPart& parts) {
  for (const NodeSlots& place : gang.places) {
    if (!ask.cluster.Has(ask.selection, place.node)) continue;
    const auto part = parts.find(ask.cluster.PartNumber(ask.level, place.node));
    if (part == parts.end()) continue;
    std::vector<GangInPart>& gangs = part->second;
    if (gangs.empty() || gangs.back().gang != &gang) gangs.push_back({&gang, 0});
    gangs.back().slots += place.slots;
  }
}

Rows Candidates(const PreemptionAsk& ask, const std::vector<GangInPart>& gangs) {
  Rows rows;
  for (const auto& [gang, slots] : gangs) {
    if (gang->ending) continue;
    const double lost = gang->slots * absl::ToDoubleSeconds(ask.now - gang->safe);
    rows[{gang->class_value, gang->queue}].push_back({gang, lost, slots});
  }
  for (auto& [key, row] : rows) std::make_heap(row.begin(), row.end(), LosesMore);
  return rows;
}

// The row whose front goes next; null: there is none. One of the job's own class gives only what
// its queue holds beyond its quota.
Row* NextRow(const PreemptionAsk& ask, Rows& rows, const OverShare& over_share) {
  Row* best = nullptr;
  std::tuple<int, int64_t, double, absl::string_view> best_key;
  for (auto& [key, row] : rows) {
    if (row.empty()) continue;
    const int64_t over = over_share.Of(key.second);
    if (key.first == ask.job.class_value && over <= 0) continue;
    const Candidate& front = row.front();
    const std::tuple row_key{key.first, -over, front.lost, absl::string_view(front.gang->id)};
    if (best != nullptr && best_key <= row_key) continue;
    best = &row;
    best_key = row_key;
  }
  return best;
}

}  // namespace

GangsByPart FindVictims(const PreemptionAsk& ask, const std::vector<Scope>& parts) {
  GangsByPart found;
  for (const Scope& part : parts) found[part.part];
  for (const auto& [id, gang] : ask.running.ending()) Add(ask, *gang, found);
  for (const auto& [value, gangs] : ask.running.by_class()) {
    if (value > ask.job.class_value || (value == ask.job.class_value && !ask.within_nominal)) break;
    for (const auto& [id, gang] : gangs) {
      if (MayTake(ask, *gang)) Add(ask, *gang, found);
    }
  }
  return found;
}

PreemptionChoice ChooseVictims(const PreemptionAsk& ask, const Scope& part,
                               const std::vector<GangInPart>& gangs) {
  PreemptionChoice choice;
  int64_t there = ask.cluster.Count(part).free;
  int64_t most = there;
  for (const auto& [gang, slots] : gangs) {
    there += gang->ending ? slots : 0;
    most += slots;
  }
  choice.fits = there >= ask.size;
  if (choice.fits || most < ask.size) return choice;
  std::vector<Candidate> chosen;
  Rows rows = Candidates(ask, gangs);
  OverShare over_share(ask);
  while (there < ask.size) {
    Row* row = NextRow(ask, rows, over_share);
    if (row == nullptr) break;
    chosen.push_back(TakeFront(*row));
    over_share.Leave(*chosen.back().gang);
    there += chosen.back().slots;
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
