// Which queued jobs start now, where, and why the others wait. Pure: a plan from a view.
//
// Jobs are taken by priority, then by order of submission. A gang starts whole or not at all. A job
// that does not fit now keeps the nodes that it could run on from the jobs behind it, so that it is
// not starved; one that could never fit on the registered nodes, or that waits for its next
// attempt, holds back nobody.
#ifndef IJEPA_COORDINATOR_CORE_SCHEDULER_H_
#define IJEPA_COORDINATOR_CORE_SCHEDULER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "ijepa/v1/job.pb.h"

namespace ijepa::coordinator {

// A registered node that is not lost.
struct NodeView {
  std::string name;
  int slots = 0;
  int free = 0;
  // Slots are GPUs.
  bool gpu = false;
  // May be given ranks now.
  bool usable = true;
  // The CPU multiplies in bf16.
  bool cpu_bf16 = false;
};

struct QueuedJob {
  std::string id;
  int priority = 0;
  // Order of submission.
  int64_t number = 0;
  // Ranks it may run on, largest first; each divides its shards. Never empty.
  std::vector<int> sizes;
  // auto, cpu or cuda.
  std::string device;
  // Asks for bf16 in so many words: on CPU it runs only where the CPU has it (design.md, ruling 9).
  bool bf16 = false;
  // Monotonic.
  absl::Duration not_before;
};

// Code of the reason that no registered node has the bf16 arithmetic that a job asks for.
inline constexpr char kNoBf16[] = "NO_BF16";

struct Start {
  std::string id;
  // nodes[r] runs rank r; the ranks of a node are consecutive.
  std::vector<std::string> nodes;
};

struct Waiting {
  std::string id;
  v1::Reason reason;
};

struct Plan {
  // In the order in which they were decided.
  std::vector<Start> starts;
  // Every other job that does not wait for its next attempt.
  std::vector<Waiting> waiting;
};

Plan Schedule(absl::Duration now, std::vector<QueuedJob> queue, std::vector<NodeView> nodes);

// Why the job can never start on these nodes, even if all their slots were free; nothing if it can.
std::optional<v1::Reason> NeverFits(const QueuedJob& job, const std::vector<NodeView>& nodes);

// Sizes a spec allows: divisors of shards within ranks, largest first; ranks.max alone if there is
// none.
std::vector<int> GangSizes(const v1::JobSpec& spec);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_SCHEDULER_H_
