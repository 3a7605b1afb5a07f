// What the driver reports of GPUs, with the rank that had them. It may come after the rank's end,
// and after its attempt's.
#ifndef IJEPA_COORDINATOR_CORE_GPU_ERRORS_H_
#define IJEPA_COORDINATOR_CORE_GPU_ERRORS_H_

#include <string>

#include "coordinator/core/turn.h"

namespace ijepa::coordinator {

using Xids = google::protobuf::RepeatedField<int32_t>;

// A rank as its node names it, and all errors of its GPU since it was started, oldest first.
struct RankErrors {
  std::string job_uid;
  int64_t generation = 0;
  int rank = 0;
  const Xids& xids;
};

// Of a rank of the attempt; empty if its GPU had none.
const Xids& XidsOf(const v1::Attempt& attempt, int rank);

// Enters them into the attempt, the job's history and the attempt's cause: a GPU that failed is the
// cause of whatever else was seen, unless the user's error is. Of an attempt that has ended the
// retry stays as it was decided, and the node is quarantined as for any failed GPU. What is known
// already, or of a rank that was not placed on `node`, changes nothing.
void TakeGpuErrors(Turn& turn, const std::string& node, const RankErrors& errors);

// Of all ranks in the report, live or not.
void TakeGpuErrorsOf(Turn& turn, const std::string& node, const v1::NodeReport& report);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_GPU_ERRORS_H_
