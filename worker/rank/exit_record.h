// How a rank ends: its record for the coordinator's failure classifier, and its exit code.
#ifndef IJEPA_WORKER_RANK_EXIT_RECORD_H_
#define IJEPA_WORKER_RANK_EXIT_RECORD_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ijepa/v1/rank_link.pb.h"

namespace ijepa::rank {

// Exit codes of ijepa-rank: completed or drained; the attempt failed (the record says why); the
// rank could not begin (bad flags, no launch file).
inline constexpr int kExitSuccess = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

// The record of a rank that completed (`drained` false) or was drained.
v1::RankExit SuccessRecord(bool drained, int64_t last_step, absl::Time now);

// The record of a rank that failed with `status`, which is not OK.
v1::RankExit FailureRecord(const absl::Status& status, int64_t last_step, absl::Time now);

// Writes exit.pb into the rank's folder, whole or not at all. The last act of a rank.
absl::Status WriteExitRecord(const std::string& folder, const v1::RankExit& record);

}  // namespace ijepa::rank

#endif  // IJEPA_WORKER_RANK_EXIT_RECORD_H_
