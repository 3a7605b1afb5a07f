// What the scheduler did, for metrics.
#ifndef IJEPA_COORDINATOR_CORE_SCHEDULER_FIGURES_H_
#define IJEPA_COORDINATOR_CORE_SCHEDULER_FIGURES_H_

#include <cstdint>

namespace ijepa::coordinator {

// What the scheduler did since this start of the coordinator.
struct SchedulerFigures {
  int64_t passes = 0;
  int64_t starts = 0;
  int64_t preemptions = 0;
  // In a row, until now, in which nothing started though a waiting job would fit into what is free.
  int64_t held_back_passes = 0;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_SCHEDULER_FIGURES_H_
