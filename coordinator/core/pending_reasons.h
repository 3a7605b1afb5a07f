// Why a job waits, in words and figures. Pure.
#ifndef IJEPA_COORDINATOR_CORE_PENDING_REASONS_H_
#define IJEPA_COORDINATOR_CORE_PENDING_REASONS_H_

#include <optional>
#include <string>
#include <vector>

#include "coordinator/core/scheduler.h"

namespace ijepa::coordinator {

// Of the selections that the group may use, the one with the most free.
Totals FreeFor(const JobGroup& group, const ClusterIndex& cluster);

// It fits, but not in what is free: `totals` (FreeFor). `ahead`: jobs that come first for the same
// slots.
v1::Reason WaitingReason(const QueuedJob& job, const Totals& totals,
                         const std::vector<std::string>& ahead);

// As NeverFits of a job. `most`: slots that its queue never exceeds.
std::optional<v1::Reason> NeverFits(const JobGroup& group, const ClusterIndex& cluster,
                                    int64_t most);

// Its queue may not use as many slots as it needs: `used` by it now, `most` it may use.
v1::Reason QuotaReason(const QueuedJob& job, int64_t used, int64_t most);

// What a slot must have, as the end of a sentence.
const char* Demand(const QueuedJob& job);

// "1 slot", "4 slots".
std::string SlotCount(int64_t count);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_PENDING_REASONS_H_
