// Programs that answer, fail, talk too much or never end.
#include "coordinator/backends/subprocess.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>

#include "common/file.h"
#include "tests/fakes/temporary_folder.h"

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

TEST(SubprocessTest, AProgramThatDoesNotEndIsKilled) {
  ProgramCall call;
  call.arguments = {"sh", "-c", "sleep 1000 & sleep 1000"};
  call.within = absl::Milliseconds(50);
  EXPECT_TRUE(absl::IsDeadlineExceeded(RunProgram(call).status()));
}

TEST(SubprocessTest, WhatAKilledProgramStartedDiesWithIt) {
  const TemporaryFolder folder;
  const std::string started = folder.path() + "/started";
  ASSERT_EQ(::mkfifo(started.c_str(), 0600), 0);
  const UniqueFd interrupt(::open(started.c_str(), O_RDWR | O_CLOEXEC));
  ProgramCall call;
  call.arguments = {"sh", "-c", "sleep 1000 & echo $! > \"$0\"; sleep 1000", started};
  call.interrupt_fd = interrupt.get();
  EXPECT_TRUE(absl::IsCancelled(RunProgram(call).status()));
  char text[16] = {};
  ASSERT_GT(::read(interrupt.get(), text, sizeof(text) - 1), 0);
  const int pid = std::atoi(text);
  ASSERT_GT(pid, 1);
  const UniqueFd child(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  pollfd ended{child.get(), POLLIN, 0};
  EXPECT_TRUE(!child.valid() || ::poll(&ended, 1, 20000) == 1) << "the child lives";
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
