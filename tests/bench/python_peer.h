// A Python program that a bench asks to run something, again and again, so that both sides take
// turns in one run.
#ifndef IJEPA_TESTS_BENCH_PYTHON_PEER_H_
#define IJEPA_TESTS_BENCH_PYTHON_PEER_H_

#include <sys/types.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace jepa::bench {

struct Timing {
  double wall_seconds = 0;
  double cpu_seconds = 0;
};

// The program prints "ready", then answers each line of its input by "WALL CPU" in seconds, and
// ends at the end of its input.
class PythonPeer {
 public:
  // Null if the program cannot be started or does not say that it is ready.
  static std::unique_ptr<PythonPeer> Start(const std::vector<std::string>& command);
  ~PythonPeer();
  PythonPeer(const PythonPeer&) = delete;
  PythonPeer& operator=(const PythonPeer&) = delete;

  // Nothing if the program ended or answered otherwise.
  std::optional<Timing> Ask(const std::string& question);

 private:
  PythonPeer(pid_t pid, FILE* in, FILE* out) : pid_(pid), in_(in), out_(out) {}

  pid_t pid_;
  FILE* in_;
  FILE* out_;
};

}  // namespace jepa::bench

#endif  // IJEPA_TESTS_BENCH_PYTHON_PEER_H_
