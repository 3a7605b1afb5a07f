// What changed, in order, one entry per job: who follows is told of each job as it is, however
// often it changed meanwhile.
#ifndef IJEPA_COORDINATOR_SERVICES_JOB_CHANGES_H_
#define IJEPA_COORDINATOR_SERVICES_JOB_CHANGES_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "coordinator/core/state.h"
#include "ijepa/v1/job.pb.h"

namespace ijepa::coordinator {

// Of this start of the coordinator. Holds live jobs that changed, and the newest of those that
// ended. State thread only.
class JobChanges {
 public:
  struct Entry {
    std::string id;
    v1::JobState state = v1::JOB_STATE_UNSPECIFIED;
    // Its etag, and why it waits.
    int64_t job_revision = 0;
    std::string reason;
    // States it has been in, and the revision with which it left each last.
    std::vector<std::pair<v1::JobState, int64_t>> left;
    // What lists show of it, once it has ended; else null.
    std::shared_ptr<const v1::Job> last;
  };
  using Entries = std::map<int64_t, Entry>;

  // `most_ended`: jobs that have ended and are still known. Higher: followers may be away longer.
  explicit JobChanges(size_t most_ended = 4096) : most_ended_(most_ended) {}

  // Nothing if neither what is stored of the job nor the code of its reason is new: figures alone
  // are no change.
  void Changed(const Job& job);

  // Of the newest change; 0 before the first.
  int64_t revision() const { return revision_; }
  // Whether everything that changed after `revision` is still there.
  bool Knows(int64_t revision) const { return revision >= forgotten_ && revision <= revision_; }
  // By the revision of their last change, rising.
  const Entries& entries() const { return entries_; }

 private:
  const size_t most_ended_;
  int64_t revision_ = 0;
  // Of the newest entry that was dropped.
  int64_t forgotten_ = 0;
  Entries entries_;
  // Job id -> its entry.
  std::unordered_map<std::string, int64_t> places_;
  // Ids, in order of their ends.
  std::deque<std::string> ended_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SERVICES_JOB_CHANGES_H_
