// See job_index.h.
#include "coordinator/core/job_index.h"

#include <algorithm>
#include <optional>

#include "coordinator/core/sealing.h"
#include "coordinator/core/state.h"

namespace ijepa::coordinator {
namespace {

using Numbers = std::set<int64_t>;

// Walks several sets as one, in order.
class Merge {
 public:
  Merge(std::vector<const Numbers*> sets, const JobQuery& query) : query_(query) {
    for (const Numbers* set : sets) sides_.push_back({set, set->upper_bound(query.above)});
    if (!query.newest_first) return;
    for (Side& side : sides_) side.next = side.set->lower_bound(query.below);
  }

  // The next number; nothing at the end.
  std::optional<int64_t> Next() {
    Side* best = nullptr;
    for (Side& side : sides_) {
      if (HasNext(side) && (best == nullptr || Before(Peek(side), Peek(*best)))) best = &side;
    }
    if (best == nullptr) return std::nullopt;
    const int64_t number = Peek(*best);
    query_.newest_first ? --best->next : ++best->next;
    return number;
  }

 private:
  // Newest first: `next` is behind the number that comes next.
  struct Side {
    const Numbers* set;
    Numbers::const_iterator next;
  };

  bool HasNext(const Side& side) const {
    if (query_.newest_first) {
      return side.next != side.set->begin() && Peek(side) > query_.above;
    }
    return side.next != side.set->end() && Peek(side) < query_.below;
  }
  int64_t Peek(const Side& side) const {
    return query_.newest_first ? *std::prev(side.next) : *side.next;
  }
  bool Before(int64_t a, int64_t b) const { return query_.newest_first ? a > b : a < b; }

  const JobQuery& query_;
  std::vector<Side> sides_;
};

}  // namespace

void JobIndex::Add(const Job& job) {
  by_state_[job.state()].insert(job.number);
  for (const std::string& label : SearchLabels(job.proto)) by_label_[label].insert(job.number);
}

void JobIndex::Move(const Job& job, v1::JobState from) {
  by_state_[from].erase(job.number);
  by_state_[job.state()].insert(job.number);
}

void JobIndex::Remove(const Job& job) {
  by_state_[job.state()].erase(job.number);
  for (const std::string& label : SearchLabels(job.proto)) {
    const auto found = by_label_.find(label);
    if (found == by_label_.end()) continue;
    found->second.erase(job.number);
    if (found->second.empty()) by_label_.erase(found);
  }
}

size_t JobIndex::CountOf(v1::JobState state) const {
  const auto found = by_state_.find(state);
  return found == by_state_.end() ? 0 : found->second.size();
}

bool JobIndex::Fits(const JobQuery& query, int64_t number) const {
  const auto in_state = [&](v1::JobState state) {
    const auto found = by_state_.find(state);
    return found != by_state_.end() && found->second.count(number) > 0;
  };
  const auto has_label = [&](const std::string& label) {
    return by_label_.at(label).count(number) > 0;
  };
  return (query.states.empty() ||
          std::any_of(query.states.begin(), query.states.end(), in_state)) &&
         std::all_of(query.labels.begin(), query.labels.end(), has_label);
}

void JobIndex::Find(const JobQuery& query, const std::function<bool(int64_t)>& take) const {
  std::vector<const Numbers*> states;
  size_t smallest = 0;
  for (const auto& [state, numbers] : by_state_) {
    if (!query.states.empty() && query.states.count(state) == 0) continue;
    states.push_back(&numbers);
    smallest += numbers.size();
  }
  std::vector<const Numbers*> walked = states;
  for (const std::string& label : query.labels) {
    const auto found = by_label_.find(label);
    if (found == by_label_.end()) return;
    if (found->second.size() >= smallest) continue;
    smallest = found->second.size();
    walked = {&found->second};
  }
  Merge merge(std::move(walked), query);
  while (const std::optional<int64_t> number = merge.Next()) {
    if (Fits(query, *number) && !take(*number)) return;
  }
}

}  // namespace ijepa::coordinator
