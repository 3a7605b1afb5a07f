// How benches end and what they print.
#ifndef IJEPA_TESTS_BENCH_BENCH_OUTPUT_H_
#define IJEPA_TESTS_BENCH_BENCH_OUTPUT_H_

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"

namespace jepa::bench {

// One JSON object, or its fields as text, on a line that is out when this returns.
inline void PrintRow(const nlohmann::ordered_json& row, bool as_json) {
  if (as_json) {
    std::printf("%s\n", row.dump().c_str());
  } else {
    for (const auto& [key, value] : row.items()) {
      if (value.is_number_float()) {
        std::printf("%s %.3f  ", key.c_str(), value.get<double>());
      } else {
        std::printf("%s %s  ", key.c_str(),
                    value.is_string() ? value.get<std::string>().c_str() : value.dump().c_str());
      }
    }
    std::printf("\n");
  }
  std::fflush(stdout);
}

// The exit code of `program`; says on stderr why it failed.
inline int EndBench(const std::string& program, const absl::Status& status) {
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s: %s\n", program.c_str(), status.ToString().c_str());
  return 1;
}

}  // namespace jepa::bench

#endif  // IJEPA_TESTS_BENCH_BENCH_OUTPUT_H_
