// See follow.h.
#include "client/follow.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "client/follow_view.h"
#include "client/render/job_text.h"

namespace ijepa::client {
namespace {

// The reattach window of ranks (docs/ARCHITECTURE.md): past it they stop by themselves.
constexpr absl::Duration kWaitForCoordinator = absl::Minutes(10);
// How long the first answer is waited for.
constexpr absl::Duration kFirstAnswer = absl::Seconds(1);
constexpr absl::Duration kFirstPause = absl::Milliseconds(200);
constexpr absl::Duration kLongestPause = absl::Milliseconds(500);

std::unique_ptr<FollowView> MakeView(Context& context, const FollowOptions& options) {
  FILE* stream = options.stream;
  Writer write = [stream](absl::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stream);
    std::fflush(stream);
  };
  if (stream == stdout && context.output != OutputFormat::kTable) {
    return NewMessageView(context.output, write);
  }
  const Terminal& terminal = stream == stdout ? context.out() : context.err();
  if (terminal.tty) return NewLiveView(terminal, write);
  return NewLineView(terminal, options.interval, write);
}

ExitCode CodeOfEnd(v1::JobState state) {
  if (state == v1::JOB_STATE_FAILED) return ExitCode::kJobFailed;
  if (state == v1::JOB_STATE_CANCELLED) return ExitCode::kJobCancelled;
  return ExitCode::kOk;
}

}  // namespace

absl::Time DeadlineAfter(absl::Time now, absl::Duration timeout) {
  return timeout == absl::InfiniteDuration() ? absl::InfiniteFuture() : now + timeout;
}

ExitCode SayDetached(Context& context, const std::string& job) {
  std::fflush(stdout);
  context.Say(absl::StrCat("detached; the job goes on. See it again with `ijepactl watch ", job,
                           "`, stop it with `ijepactl cancel ", job, "`"));
  return ExitCode::kInterrupted;
}

ExitCode FollowJob(Context& context, Interrupt& interrupt, const std::string& name,
                   const FollowOptions& options) {
  std::unique_ptr<FollowView> view = MakeView(context, options);
  Clock& clock = context.clock();
  absl::Time deadline = DeadlineAfter(clock.Now(), options.timeout);
  std::optional<v1::Job> last;
  absl::Time heard = clock.Now();
  absl::Duration pause = kFirstPause;
  bool told = false;
  for (;;) {
    absl::Status status = context.api().WatchJob(name, deadline, [&](const v1::Job& job) {
      last = job;
      heard = clock.Now();
      pause = kFirstPause;
      told = false;
      view->Update(job, heard);
      return !IsTerminal(job.status().state());
    });
    if (last.has_value() && IsTerminal(last->status().state())) {
      view->Finish(*last, clock.Now());
      return CodeOfEnd(last->status().state());
    }
    if (interrupt.happened()) {
      return options.say_detached ? SayDetached(context, ShortName(name)) : ExitCode::kInterrupted;
    }
    absl::Time now = clock.Now();
    if (now >= deadline) {
      return context.Fail(ExitCode::kTimeout,
                          {"--timeout passed before the job ended", ShortName(name),
                           absl::StrCat("it goes on: `ijepactl watch ", ShortName(name), "`")});
    }
    // A stream may end early without an error when the coordinator shuts down.
    bool lost = status.ok() || absl::IsUnavailable(status) || absl::IsCancelled(status) ||
                absl::IsInternal(status) || absl::IsUnknown(status);
    if (!lost) return context.FailCall(status, ShortName(name));
    if (now - heard > (last.has_value() ? kWaitForCoordinator : kFirstAnswer)) {
      return context.FailCall(
          status.ok() ? absl::UnavailableError("the coordinator went away") : status,
          ShortName(name));
    }
    if (last.has_value() && !told) {
      context.Say(absl::StrCat("coordinator ", context.api().address(),
                               " went away; the job goes on, connecting again"));
      told = true;
    }
    interrupt.WaitFor(std::min(pause, deadline - now));
    pause = std::min(pause * 2, kLongestPause);
  }
}

}  // namespace ijepa::client
