// See running_gangs.h.
#include "coordinator/core/running_gangs.h"

#include <utility>

namespace ijepa::coordinator {

void RunningGangs::Update(RunningGang gang) {
  Remove(gang.id);
  const std::string id = gang.id;
  const RunningGang& kept = gangs_[id] = std::move(gang);
  used_[kept.queue] += kept.slots;
  by_class_[kept.class_value][id] = &kept;
  if (kept.end == absl::InfiniteDuration()) return;
  ends_[{kept.end, id}] = &kept;
  if (kept.ending) ending_[id] = &kept;
}

void RunningGangs::Remove(const std::string& id) {
  const auto found = gangs_.find(id);
  if (found == gangs_.end()) return;
  const RunningGang& gang = found->second;
  if ((used_[gang.queue] -= gang.slots) == 0) used_.erase(gang.queue);
  ends_.erase({gang.end, id});
  ending_.erase(id);
  const auto same = by_class_.find(gang.class_value);
  same->second.erase(id);
  if (same->second.empty()) by_class_.erase(same);
  gangs_.erase(found);
}

const RunningGang* RunningGangs::Find(const std::string& id) const {
  const auto found = gangs_.find(id);
  return found == gangs_.end() ? nullptr : &found->second;
}

int64_t RunningGangs::UsedBy(const std::string& queue) const {
  const auto found = used_.find(queue);
  return found == used_.end() ? 0 : found->second;
}

}  // namespace ijepa::coordinator
