// Runs ijepactl as a process of its own and collects what it prints.
#ifndef IJEPA_TESTS_CLIENT_PROGRAM_H_
#define IJEPA_TESTS_CLIENT_PROGRAM_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "common/file.h"

namespace ijepa::client {

struct Output {
  int code = -1;
  std::string out;
  std::string err;
};

struct ProgramOptions {
  std::string coordinator;
  std::string input;
  // stdout and stderr are one terminal of 100 columns; all that is printed is in `out`.
  bool terminal = false;
  std::vector<std::string> environment;
};

// Thread-compatible. Wait must be called.
class Program {
 public:
  Program(const std::vector<std::string>& arguments, const ProgramOptions& options);
  void Signal(int number);
  // Waits until stdout holds `text`; false after ten seconds. Not for a terminal.
  bool WaitForOutput(const std::string& text);
  // Waits for the end of the program.
  Output Wait();

 private:
  pid_t pid_ = -1;
  UniqueFd out_;
  UniqueFd err_;
  bool terminal_;
};

// Runs to the end.
Output RunProgram(const std::vector<std::string>& arguments, const ProgramOptions& options);

// Lines of `text`, without the newline.
std::vector<std::string> Lines(const std::string& text);

}  // namespace ijepa::client

#endif  // IJEPA_TESTS_CLIENT_PROGRAM_H_
