// See ended_ranks.h.
#include "worker/daemon/ended_ranks.h"

#include "worker/daemon/local_rank.h"

namespace ijepa::worker {

void EndedRanks::Add(int slot, const v1::RankStatus& status, absl::Duration now) {
  if (slot < 0) return;  // It was never started.
  Entry& entry = by_slot_[slot];
  entry = {};
  entry.rank.set_job_uid(status.job_uid());
  entry.rank.set_generation(status.generation());
  entry.rank.set_rank(status.rank());
  *entry.rank.mutable_xids() = status.xids();
  entry.forgotten = now;
}

bool EndedRanks::AddXid(int slot, int xid, absl::Duration now) {
  const auto found = by_slot_.find(slot);
  if (found == by_slot_.end() || now - found->second.forgotten >= kMemory) return false;
  Entry& entry = found->second;
  if (entry.rank.xids_size() < kMaxXids) entry.rank.add_xids(xid);
  entry.late = true;
  return true;
}

void EndedRanks::AddTo(v1::NodeReport& report, absl::Duration now) const {
  for (const auto& [slot, entry] : by_slot_) {
    if (entry.late && now - entry.forgotten < kMemory) *report.add_ended_ranks() = entry.rank;
  }
}

}  // namespace ijepa::worker
