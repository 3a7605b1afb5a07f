// Programs that answer, fail, talk too much or never end.
#include "coordinator/backends/subprocess.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/file.h"

namespace ijepa::coordinator {
namespace {

TEST(SubprocessTest, GivesInputEnvironmentOutputErrorsAndExitCode) {
  ProgramCall call;
  call.arguments = {"sh", "-c", "cat; echo \"$GREETING\"; echo bad >&2; exit 7"};
  call.input = std::string(1 << 20, 'x');
  call.environment["GREETING"] = "hello";
  const auto result = RunProgram(call);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 7);
  EXPECT_EQ(result->output, call.input + "hello\n");
  EXPECT_EQ(result->errors, "bad\n");
}

TEST(SubprocessTest, AProgramThatDoesNotEndIsKilledWithItsChildren) {
  ProgramCall call;
  call.arguments = {"sh", "-c", "sleep 1000 & sleep 1000"};
  call.within = absl::Milliseconds(50);
  EXPECT_TRUE(absl::IsDeadlineExceeded(RunProgram(call).status()));
}

TEST(SubprocessTest, AnInterruptEndsItAtOnce) {
  const UniqueFd interrupt(::eventfd(1, EFD_CLOEXEC));
  ProgramCall call;
  call.arguments = {"sleep", "1000"};
  call.interrupt_fd = interrupt.get();
  EXPECT_TRUE(absl::IsCancelled(RunProgram(call).status()));
}

TEST(SubprocessTest, AMissingProgramIsNamed) {
  ProgramCall call;
  call.arguments = {"/no/such/program"};
  EXPECT_TRUE(absl::IsNotFound(RunProgram(call).status())) << RunProgram(call).status();
}

}  // namespace
}  // namespace ijepa::coordinator
