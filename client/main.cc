// ijepactl: submits jobs to a coordinator and shows what they do.
#include <cstdio>
#include <exception>

#include "client/command_line.h"
#include "client/context.h"
#include "common/clock.h"

int main(int argc, char** argv) {
  using ijepa::client::ExitCode;
  ijepa::client::Context context(ijepa::Clock::Real());
  ExitCode exit = ExitCode::kFailed;
  try {
    exit = ijepa::client::RunCommandLine(argc, argv, context);
  } catch (const std::exception& error) {
    exit = context.Fail(ExitCode::kFailed, {error.what(), "ijepactl", "report it: this is a bug"});
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    exit = context.Fail(ExitCode::kFailed, {"stdout cannot be written", "", "check the disk"});
  }
  return static_cast<int>(exit);
}
