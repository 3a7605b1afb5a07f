// One run: a coordinator, its nodes and its clients in virtual time, faults for a while, then
// peace, in which every job must end. The same options give the same run.
#ifndef IJEPA_TESTS_SIM_SIMULATION_H_
#define IJEPA_TESTS_SIM_SIMULATION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "sabotage.h"

namespace ijepa::sim {

struct RunOptions {
  uint64_t seed = 1;
  Sabotage sabotage = Sabotage::kNone;
  // Commands to keep for the report of a failure; 0: none, which is faster.
  size_t trace = 0;
};

struct RunResult {
  // Empty: all held.
  std::string violation;
  uint64_t steps = 0;
  uint64_t commands = 0;
  // Jobs by their ends.
  int succeeded = 0;
  int failed = 0;
  int cancelled = 0;
  // Attempts beyond the first of a job.
  int restarts = 0;
  int crashes = 0;
  // The last commands before the violation, oldest first.
  std::vector<std::string> trace;
};

RunResult RunSimulation(const RunOptions& options);

}  // namespace ijepa::sim

#endif  // IJEPA_TESTS_SIM_SIMULATION_H_
