// Runs a program to its end, within a time.
#ifndef IJEPA_COORDINATOR_BACKENDS_SUBPROCESS_H_
#define IJEPA_COORDINATOR_BACKENDS_SUBPROCESS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace ijepa::coordinator {

struct ProgramCall {
  // The program, by its path or to be found in PATH, and what it is told. No shell reads it.
  std::vector<std::string> arguments;
  // Given to its standard input.
  std::string input;
  // Over the environment of the caller.
  std::map<std::string, std::string> environment;
  // Killed after this.
  absl::Duration within = absl::Seconds(20);
  // Readable once it is to be killed at once; -1: never. Not owned.
  int interrupt_fd = -1;
};

struct ProgramResult {
  int exit_code = 0;
  // At most kMaxProgramOutput bytes of each; the rest is read and dropped.
  std::string output;
  std::string errors;
};

inline constexpr size_t kMaxProgramOutput = size_t{16} << 20;

// DeadlineExceeded and Cancelled name the program, which is dead then; NotFound if there is no such
// program; Internal for a signal. A program that fails is a result.
absl::StatusOr<ProgramResult> RunProgram(const ProgramCall& call);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_BACKENDS_SUBPROCESS_H_
