// A pipe between two processes.
#ifndef IJEPA_COMMON_PIPE_H_
#define IJEPA_COMMON_PIPE_H_

#include "absl/status/statusor.h"
#include "common/file.h"

namespace ijepa {

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

// Both ends are closed by an exec.
absl::StatusOr<Pipe> MakePipe();

}  // namespace ijepa

#endif  // IJEPA_COMMON_PIPE_H_
