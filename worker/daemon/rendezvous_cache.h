// Rendezvous values that ranks of this node have put: ranks of the same node get them without the
// coordinator, and a restarted coordinator gets them again.
#ifndef IJEPA_WORKER_DAEMON_RENDEZVOUS_CACHE_H_
#define IJEPA_WORKER_DAEMON_RENDEZVOUS_CACHE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ijepa/v1/rank_link.pb.h"
#include "ijepa/v1/worker.pb.h"
#include "worker/daemon/rank_key.h"

namespace ijepa::worker {

// Scoped by (job, generation), as the exchange is. Owned by the loop thread.
class RendezvousCache {
 public:
  // An attempt may hold this much here; what is beyond goes through the coordinator only.
  static constexpr size_t kMaxBytesPerGang = size_t{4} << 20;
  static constexpr size_t kMaxWaitingPerGang = 4096;

  // Keeps a put. Returns the replies to gets of local ranks that wait for its key.
  std::vector<v1::RankReply> Put(const RankKey& from, const v1::FromRank& message);
  // Answers a get if its key is here; else notes that the rank waits.
  std::optional<v1::RankReply> Get(const RankKey& from, const v1::FromRank& message);
  // Every put, as messages to the coordinator.
  std::vector<v1::RankMessage> Puts() const;
  // Drops attempts for which `lives(job_uid, generation)` is false.
  template <typename Lives>
  void Retain(const Lives& lives) {
    std::erase_if(gangs_,
                  [&](const auto& entry) { return !lives(entry.first.first, entry.first.second); });
  }

 private:
  struct PutValue {
    int rank = 0;
    v1::FromRank message;
  };
  struct Waiting {
    int rank = 0;
    int64_t sequence = 0;
    bool operator<(const Waiting& other) const {
      return std::pair(rank, sequence) < std::pair(other.rank, other.sequence);
    }
  };
  struct Gang {
    size_t bytes = 0;
    std::map<std::string, PutValue> values;
    std::map<Waiting, std::string> waiting;  // To the key it waits for.
  };

  std::map<std::pair<std::string, int64_t>, Gang> gangs_;
};

}  // namespace ijepa::worker

#endif  // IJEPA_WORKER_DAEMON_RENDEZVOUS_CACHE_H_
