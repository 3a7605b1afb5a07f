// Queued jobs of queues whose backend places them: who is asked for next, and what is asked for
// already. Derived from the state; pure.
#ifndef IJEPA_COORDINATOR_CORE_OUTSIDE_JOBS_H_
#define IJEPA_COORDINATOR_CORE_OUTSIDE_JOBS_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace ijepa::coordinator {

struct OutsideJob {
  std::string id;
  std::string queue;
  std::string backend;
  int class_value = 0;
  int priority = 0;
  // Order of submission.
  int64_t number = 0;
  // Its last attempt failed: it goes before others of its class.
  bool recovering = false;
  int ranks = 1;
  // Monotonic; not asked for before.
  absl::Duration not_before;
  // The backend has been asked, or is still to take back what the last attempt had.
  bool asked = false;
  // Monotonic. Of an allocation that was granted: when its workers must be here. Else infinite.
  absl::Duration deadline = absl::InfiniteDuration();

  friend bool operator==(const OutsideJob&, const OutsideJob&) = default;
};

class OutsideJobs {
 public:
  // Class, recovering, priority, number; the lowest comes first.
  using Order = std::tuple<int, bool, int, int64_t>;
  using Line = std::map<Order, std::string>;

  // Adds the job, or replaces what is known of it. True if it may be asked for now and could not
  // before, as it was.
  bool Update(const OutsideJob& job);
  void Remove(const std::string& id);
  // Lets in those whose not_before has come; true if there were any.
  bool Wake(absl::Duration now);

  // Null if the job is not queued outside.
  const OutsideJob* Find(const std::string& id) const;
  // By queue: jobs that may be asked for now, in order. None is empty.
  const std::map<std::string, Line>& lines() const { return lines_; }
  // Ranks that backends are asked for, by queue, and allocations, by backend.
  int64_t RanksAsked(const std::string& queue) const;
  int64_t AskedOf(const std::string& backend) const;
  int64_t WaitingIn(const std::string& queue) const;
  // Granted ones whose workers are overdue.
  std::vector<std::string> Overdue(absl::Duration now) const;

 private:
  void Enter(const OutsideJob& job);

  std::map<std::string, OutsideJob> jobs_;
  std::map<std::string, Line> lines_;
  std::set<std::pair<absl::Duration, std::string>> asleep_;
  std::set<std::pair<absl::Duration, std::string>> deadlines_;
  std::map<std::string, int64_t> ranks_asked_;
  std::map<std::string, int64_t> asked_of_;
  std::map<std::string, int64_t> waiting_in_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_OUTSIDE_JOBS_H_
