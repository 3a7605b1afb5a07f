// State to and from the values of the store.
#ifndef IJEPA_COORDINATOR_CORE_RECORDS_H_
#define IJEPA_COORDINATOR_CORE_RECORDS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/core/options.h"
#include "coordinator/core/state.h"
#include "coordinator/store/store.h"

namespace ijepa::coordinator {

std::string EncodeJob(const Job& job);
// What stands in both a stored job and a job in a list: names, kinship, state and its figures; no
// spec and no histories.
void CopyHeader(const v1::Job& from, v1::Job& to);
std::string EncodeCurve(const Job& job);
std::string EncodeNode(const Node& node);
std::string EncodeUsage(const QueueUsage& usage);
std::string EncodeMeta(int64_t epoch);

// The epoch in the value of kMetaKey; 0 for an empty value. DataLoss if it cannot be read.
absl::StatusOr<int64_t> DecodeEpoch(const std::string& value);

using TakePair = std::function<absl::Status(KeyValue)>;
// Store::Scan, or the like.
using ScanPairs = std::function<absl::Status(absl::string_view prefix, const TakePair&)>;

// Rebuilds the state from all pairs that `scan` gives. Live gangs come back with their slots; every
// lease and deadline starts anew at `now`, because workers need time to come back. Returns
// DataLoss, naming the key, if a value cannot be read or belongs to no job.
absl::StatusOr<State> DecodeState(const ScanPairs& scan, const CoreOptions& options, Now now);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_RECORDS_H_
