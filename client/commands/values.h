// Values on the command line that more than one command takes.
#ifndef IJEPA_CLIENT_COMMANDS_VALUES_H_
#define IJEPA_CLIENT_COMMANDS_VALUES_H_

#include <CLI/App.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace ijepa::client {

// "90s", "10m", "1h30m", or a number of seconds. Returns InvalidArgument unless it is above 0.
absl::StatusOr<absl::Duration> ParseDuration(const std::string& text);

// "0,3-5" -> 0 3 4 5; "all" -> none. Ascending, each once. Returns InvalidArgument naming the part
// that is no rank or range.
absl::StatusOr<std::vector<int>> ParseRanks(const std::string& text);

// Adds an option that is read with ParseDuration.
void AddDuration(CLI::App& command, const std::string& name, absl::Duration* value,
                 const std::string& help);

// 32 hexadecimal digits in the form of a UUID4, from the system's random numbers.
std::string NewRequestId();

}  // namespace ijepa::client

#endif  // IJEPA_CLIENT_COMMANDS_VALUES_H_
