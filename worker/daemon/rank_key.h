// Names one rank of one attempt of a job.
#ifndef IJEPA_WORKER_DAEMON_RANK_KEY_H_
#define IJEPA_WORKER_DAEMON_RANK_KEY_H_

#include <compare>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"

namespace ijepa::worker {

struct RankKey {
  std::string job_uid;
  int64_t generation = 0;
  int rank = 0;

  auto operator<=>(const RankKey&) const = default;
  // As in log lines and in the name of the rank's folder.
  std::string ToString() const { return absl::StrCat(job_uid, ".g", generation, ".r", rank); }
};

// The key of any message that carries job_uid, generation and rank.
template <typename Message>
RankKey KeyOf(const Message& message) {
  return {message.job_uid(), message.generation(), message.rank()};
}

}  // namespace ijepa::worker

#endif  // IJEPA_WORKER_DAEMON_RANK_KEY_H_
