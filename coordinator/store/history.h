// Jobs that have ended, and the log of who changed what: written with Store::Commit, read here,
// away from the state thread. Where live state is small and hot, history is large and rarely looked
// at.
#ifndef IJEPA_COORDINATOR_STORE_HISTORY_H_
#define IJEPA_COORDINATOR_STORE_HISTORY_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace ijepa::coordinator {

// A job that has ended, as history keeps it. Adding one with a number that is there replaces it.
struct SealedRow {
  // Order of submission; unique.
  int64_t number = 0;
  std::string id;
  std::string uid;
  // v1::JobState.
  int state = 0;
  absl::Time end_time;
  // What List finds it by: "key=value".
  std::vector<std::string> labels;
  // What lists show, and all of it.
  std::string brief;
  std::string record;
};

// A line of the audit log.
struct AuditRow {
  absl::Time time;
  std::string user;
  std::string record;
};

// A page of a list, by number.
struct HistoryQuery {
  // Empty: all.
  std::set<int> states;
  // All of them.
  std::vector<std::string> labels;
  // Numbers in (above, below).
  int64_t above = 0;
  int64_t below = INT64_MAX;
  bool newest_first = true;
  int limit = 50;
};

struct BriefRow {
  int64_t number = 0;
  std::string brief;
};

struct HistoryCounts {
  // The highest; 0: there is none.
  int64_t last_number = 0;
  std::map<int, int64_t> jobs_by_state;
};

// Used by one thread at a time. Sees every commit that was over when the call began.
class History {
 public:
  virtual ~History() = default;

  // The record of a job; nothing if there is none.
  virtual absl::StatusOr<std::optional<std::string>> Find(const std::string& id) = 0;
  virtual absl::StatusOr<std::optional<std::string>> FindByUid(const std::string& uid) = 0;
  // In order of number. Costs as much as it gives, however much there is.
  virtual absl::StatusOr<std::vector<BriefRow>> List(const HistoryQuery& query) = 0;
  // Cost: a look at each.
  virtual absl::StatusOr<HistoryCounts> Count() = 0;
  // Newest first, with sequences below `below`; of `user`, or of all if it is empty.
  virtual absl::StatusOr<std::vector<std::pair<int64_t, std::string>>> Audit(
      int64_t below, const std::string& user, int limit) = 0;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_STORE_HISTORY_H_
