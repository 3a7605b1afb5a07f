// Queued jobs in groups of equals, so that what is found of one job holds for all behind it in its
// group. Derived from the state; pure.
#ifndef IJEPA_COORDINATOR_CORE_WAITING_JOBS_H_
#define IJEPA_COORDINATOR_CORE_WAITING_JOBS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "coordinator/core/cluster_index.h"
#include "coordinator/core/queues.h"
#include "ijepa/v1/job.pb.h"

namespace ijepa::coordinator {

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
  std::string queue = kDefaultQueueName;
  // Value of its priority class.
  int class_value = 0;
  // Its last attempt failed: it goes before others of its class, because it had slots.
  bool recovering = false;
  // What is left of its time limit.
  absl::Duration time_left = absl::InfiniteDuration();
  v1::TopologyLevel preferred = v1::TOPOLOGY_LEVEL_NODE;
  v1::TopologyLevel required = v1::TOPOLOGY_LEVEL_CLUSTER;

  friend bool operator==(const QueuedJob&, const QueuedJob&) = default;
};

// Pools a job may run in, the preferred first, and what it needs of each. Device cpu also runs on
// the slots of a GPU node, as they are.
std::vector<Selection> SelectionsOf(const QueuedJob& job);

// Jobs that differ only in id, priority and number.
struct JobGroup {
  // (-priority, number): the first goes first.
  using Order = std::pair<int, int64_t>;

  // In WaitingJobs::groups.
  std::string key;
  // Any of them, for what they have in common.
  QueuedJob like;
  std::map<Order, std::string> jobs;
  // Pools they may run in, the preferred first, and what they need of each (SelectionsOf).
  std::vector<Selection> selections;
  // Why they wait; the same for all, and often for other groups. Null: no pass has looked at them.
  std::shared_ptr<const v1::Reason> reason;
  // Jobs from here on have not been told of it.
  Order told_up_to = {INT32_MIN, INT64_MIN};
};

class WaitingJobs {
 public:
  using Groups = std::map<std::string, std::unique_ptr<JobGroup>>;

  // Adds the job, or replaces what is known of it. False if no pass needs to look at it: what was
  // found for its group holds for it, too.
  bool Update(const QueuedJob& job);
  void Remove(const std::string& id);
  // Lets in those whose not_before has come; true if there were any.
  bool Wake(absl::Duration now);

  size_t size() const { return places_.size(); }
  bool empty() const { return places_.empty(); }
  bool Has(const std::string& id) const { return places_.count(id) > 0; }
  // Jobs that were let in since the last call, at most `most`; the rest stays for the next.
  std::vector<std::string> TakeFresh(size_t most);
  // Without jobs that wait for their next attempt. None is empty.
  const Groups& groups() const { return groups_; }
  // The group of a job that is let in; null if it is not.
  JobGroup* GroupOf(const std::string& id);
  const std::map<std::string, int64_t>& jobs_by_queue() const { return by_queue_; }

 private:
  struct Place {
    // Null while it waits for its next attempt.
    JobGroup* group = nullptr;
    std::string key;
    QueuedJob job;
  };

  // As Update.
  bool Enter(Place& place);

  std::unordered_map<std::string, Place> places_;
  Groups groups_;
  std::set<std::pair<absl::Duration, std::string>> sleeping_;
  std::map<std::string, int64_t> by_queue_;
  std::vector<std::string> fresh_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_WAITING_JOBS_H_
