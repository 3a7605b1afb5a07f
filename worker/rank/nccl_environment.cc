// See nccl_environment.h.
#include "worker/rank/nccl_environment.h"

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"

namespace ijepa::rank {

std::string NcclEnvironment(const char* const* environment) {
  std::set<std::string> variables;
  for (; *environment != nullptr; ++environment) {
    if (absl::StartsWith(*environment, "NCCL_")) variables.insert(*environment);
  }
  return variables.empty() ? "none" : absl::StrJoin(variables, " ");
}

}  // namespace ijepa::rank
