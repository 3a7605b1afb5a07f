// The last rank of each slot, after it is forgotten: the driver may report an error of its GPU
// later than its end.
#ifndef IJEPA_WORKER_DAEMON_ENDED_RANKS_H_
#define IJEPA_WORKER_DAEMON_ENDED_RANKS_H_

#include <map>

#include "absl/time/time.h"
#include "ijepa/v1/worker.pb.h"

namespace ijepa::worker {

// Thread-compatible. Times are monotonic.
class EndedRanks {
 public:
  // An error that comes later is nobody's. The coordinator keeps the record of a job that ended for
  // a while only.
  static constexpr absl::Duration kMemory = absl::Minutes(10);

  // A rank that ran on `slot` and is reported no longer; takes the place of the one before.
  void Add(int slot, const v1::RankStatus& status, absl::Duration now);
  // An error of the slot's GPU, where no rank is reported that it could be of. False if there was
  // none within kMemory.
  bool AddXid(int slot, int xid, absl::Duration now);
  // Those whose GPU had errors after they were forgotten, again in every report within kMemory: a
  // report may be lost.
  void AddTo(v1::NodeReport& report, absl::Duration now) const;

 private:
  struct Entry {
    v1::EndedRank rank;
    bool late = false;
    absl::Duration forgotten;
  };
  std::map<int, Entry> by_slot_;
};

}  // namespace ijepa::worker

#endif  // IJEPA_WORKER_DAEMON_ENDED_RANKS_H_
