// What the conversion of a launch must know of this machine.
#ifndef IJEPA_WORKER_RANK_NODE_FACTS_H_
#define IJEPA_WORKER_RANK_NODE_FACTS_H_

#include <string>

#include "proto/spec/train_config.h"

namespace ijepa::rank {

// Looks for device files of NVIDIA GPUs and for bf16 arithmetic. `proc` and `dev` are /proc and
// /dev, elsewhere in tests; `visible_devices` is CUDA_VISIBLE_DEVICES or null.
spec::NodeFacts FindNodeFacts(const std::string& proc, const std::string& dev,
                              const char* visible_devices);

}  // namespace ijepa::rank

#endif  // IJEPA_WORKER_RANK_NODE_FACTS_H_
