// Why gangs stop before their end.
#ifndef IJEPA_COORDINATOR_CORE_STOP_CAUSE_H_
#define IJEPA_COORDINATOR_CORE_STOP_CAUSE_H_

namespace ijepa::coordinator {

// Why a gang was told to save and stop before its end, cancels aside.
enum class StopCause {
  // Its worker drains.
  kNode,
  // To start again on more ranks.
  kGrow,
  // Its slots go to another job.
  kPreempt,
  // It reached its time limit.
  kTimeLimit,
  // A node of it is about to be maintained.
  kMaintenance,
  // The backend took its slots back.
  kBackend,
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_STOP_CAUSE_H_
