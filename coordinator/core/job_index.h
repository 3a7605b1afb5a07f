// Live jobs by what lists ask for, so that a page costs as much as it shows.
#ifndef IJEPA_COORDINATOR_CORE_JOB_INDEX_H_
#define IJEPA_COORDINATOR_CORE_JOB_INDEX_H_

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "ijepa/v1/job.pb.h"

namespace ijepa::coordinator {

struct Job;

// What a list asks for. Numbers of jobs in (above, below).
struct JobQuery {
  // Empty: all.
  std::set<v1::JobState> states;
  // All of them; "key=value".
  std::vector<std::string> labels;
  int64_t above = 0;
  int64_t below = INT64_MAX;
  bool newest_first = true;
};

// Owned by the state; changed by the core alone.
class JobIndex {
 public:
  // The job is live; its state and labels are as in its record.
  void Add(const Job& job);
  // Its state changed from `from`.
  void Move(const Job& job, v1::JobState from);
  void Remove(const Job& job);

  size_t CountOf(v1::JobState state) const;

  // Calls `take` with the number of each job that fits, in order, until it answers false.
  void Find(const JobQuery& query, const std::function<bool(int64_t)>& take) const;

 private:
  using Numbers = std::set<int64_t>;
  // Sets that a number must be in: of the states any one, of each label its own. The smallest group
  // is walked; null where a group is empty.
  bool Fits(const JobQuery& query, int64_t number) const;

  std::map<v1::JobState, Numbers> by_state_;
  std::map<std::string, Numbers> by_label_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_JOB_INDEX_H_
