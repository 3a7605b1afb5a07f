// What NCCL was told, for the log.
#ifndef IJEPA_WORKER_RANK_NCCL_ENVIRONMENT_H_
#define IJEPA_WORKER_RANK_NCCL_ENVIRONMENT_H_

#include <string>

namespace ijepa::rank {

// The variables NCCL_* of `environment` (as ::environ) in order of name, with a space between them;
// "none" where there is none.
std::string NcclEnvironment(const char* const* environment);

}  // namespace ijepa::rank

#endif  // IJEPA_WORKER_RANK_NCCL_ENVIRONMENT_H_
