// Gangs that hold slots, as the scheduler sees them: when they end, whose they are, what stopping
// them would cost. Derived from the state; pure.
#ifndef IJEPA_COORDINATOR_CORE_RUNNING_GANGS_H_
#define IJEPA_COORDINATOR_CORE_RUNNING_GANGS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "coordinator/core/cluster_index.h"

namespace ijepa::coordinator {

// Slots on one node, by its number in the cluster index.
struct NodeSlots {
  int node = 0;
  int slots = 0;
};

struct RunningGang {
  std::string id;
  std::string queue;
  int class_value = 0;
  std::vector<Piece> pieces;
  int slots = 0;
  // Monotonic. When its slots are free at the latest; InfiniteDuration: not known.
  absl::Duration end = absl::InfiniteDuration();
  // It is on its way out: `end` is when that is over at the latest.
  bool ending = false;
  // It may be told to stop for others.
  bool preemptible = false;
  // Monotonic. Since when it runs, and when it last committed a checkpoint or began.
  absl::Duration start;
  absl::Duration safe;
  // The pieces on nodes that the cluster index has; of RunningGangs::Settle.
  std::vector<NodeSlots> places;
};

// Pointers to gangs are valid until the gang is updated or removed.
class RunningGangs {
 public:
  using ById = std::map<std::string, const RunningGang*>;
  using ByEnd = std::map<std::pair<absl::Duration, std::string>, const RunningGang*>;

  RunningGangs() = default;
  RunningGangs(RunningGangs&&) = default;
  RunningGangs& operator=(RunningGangs&&) = default;

  // Adds the gang, or replaces what is known of it.
  void Update(RunningGang gang);
  void Remove(const std::string& id);
  // Finds the places of gangs that changed since the last call, of all where the layout of the
  // cluster did. Always of the same cluster, or of a copy of it.
  void Settle(const ClusterIndex& cluster);

  const std::map<std::string, RunningGang>& all() const { return gangs_; }
  const RunningGang* Find(const std::string& id) const;
  // Those whose end is known by (end, id), the first first; of them those on their way out.
  const ByEnd& ends() const { return ends_; }
  const ById& ending() const { return ending_; }
  // The sum over the gangs of a queue; of those on their way out.
  int64_t UsedBy(const std::string& queue) const;
  int64_t LeavingIn(const std::string& queue) const;
  // Queues with gangs.
  const std::map<std::string, int64_t>& used() const { return used_; }
  // Gangs of this class value, by value.
  const std::map<int, ById>& by_class() const { return by_class_; }

 private:
  std::map<std::string, RunningGang> gangs_;
  ByEnd ends_;
  ById ending_;
  std::map<std::string, int64_t> used_;
  std::map<std::string, int64_t> leaving_;
  std::map<int, ById> by_class_;
  // Of the cluster that places are of, and gangs that have none yet.
  std::optional<uint64_t> layout_;
  std::set<std::string> unsettled_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_RUNNING_GANGS_H_
