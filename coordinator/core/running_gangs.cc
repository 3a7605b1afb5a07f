// See running_gangs.h.
#include "coordinator/core/running_gangs.h"

#include <utility>

namespace ijepa::coordinator {
namespace {

void Add(std::map<std::string, int64_t>& sums, const std::string& queue, int64_t slots) {
  const auto sum = sums.try_emplace(queue, 0).first;
  sum->second += slots;
  if (sum->second == 0) sums.erase(sum);
}

int64_t SumOf(const std::map<std::string, int64_t>& sums, const std::string& queue) {
  const auto found = sums.find(queue);
  return found == sums.end() ? 0 : found->second;
}

void FindPlaces(const ClusterIndex& cluster, RunningGang& gang) {
  gang.places.clear();
  for (const Piece& piece : gang.pieces) {
    const int node = cluster.NumberOf(piece.node);
    if (node >= 0) gang.places.push_back({node, piece.slots});
  }
}

}  // namespace

void RunningGangs::Update(RunningGang gang) {
  Remove(gang.id);
  const std::string id = gang.id;
  const RunningGang& kept = gangs_[id] = std::move(gang);
  unsettled_.insert(id);
  Add(used_, kept.queue, kept.slots);
  by_class_[kept.class_value][id] = &kept;
  if (kept.end == absl::InfiniteDuration()) return;
  ends_[{kept.end, id}] = &kept;
  if (!kept.ending) return;
  ending_[id] = &kept;
  Add(leaving_, kept.queue, kept.slots);
}

void RunningGangs::Remove(const std::string& id) {
  const auto found = gangs_.find(id);
  if (found == gangs_.end()) return;
  const RunningGang& gang = found->second;
  unsettled_.erase(id);
  Add(used_, gang.queue, -gang.slots);
  ends_.erase({gang.end, id});
  if (ending_.erase(id) > 0) Add(leaving_, gang.queue, -gang.slots);
  const auto same = by_class_.find(gang.class_value);
  same->second.erase(id);
  if (same->second.empty()) by_class_.erase(same);
  gangs_.erase(found);
}

void RunningGangs::Settle(const ClusterIndex& cluster) {
  if (layout_ != cluster.layout()) {
    for (auto& [id, gang] : gangs_) FindPlaces(cluster, gang);
  } else {
    for (const std::string& id : unsettled_) FindPlaces(cluster, gangs_.at(id));
  }
  layout_ = cluster.layout();
  unsettled_.clear();
}

const RunningGang* RunningGangs::Find(const std::string& id) const {
  const auto found = gangs_.find(id);
  return found == gangs_.end() ? nullptr : &found->second;
}

int64_t RunningGangs::UsedBy(const std::string& queue) const { return SumOf(used_, queue); }

int64_t RunningGangs::LeavingIn(const std::string& queue) const { return SumOf(leaving_, queue); }

}  // namespace ijepa::coordinator
