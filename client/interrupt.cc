// See interrupt.h.
#include "client/interrupt.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "client/exit_code.h"
#include "common/check.h"

namespace ijepa::client {
namespace {

sigset_t InterruptSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGUSR1);
  return set;
}

}  // namespace

Interrupt::Interrupt(std::function<void()> on_interrupt) : on_interrupt_(std::move(on_interrupt)) {
  sigset_t set = InterruptSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signals_.Reset(signalfd(-1, &set, SFD_CLOEXEC));
  stop_.Reset(eventfd(0, EFD_CLOEXEC));
  IJEPA_CHECK(signals_.valid() && stop_.valid());
  listener_ = std::thread([this] { Listen(); });
}

Interrupt::~Interrupt() {
  uint64_t one = 1;
  IJEPA_CHECK(write(stop_.get(), &one, sizeof(one)) == sizeof(one));
  listener_.join();
  sigset_t set = InterruptSignals();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

bool Interrupt::happened() {
  std::lock_guard<std::mutex> lock(mutex_);
  return happened_;
}

bool Interrupt::WaitFor(absl::Duration duration) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, absl::ToChronoNanoseconds(duration), [this] { return happened_; });
  return happened_;
}

void Interrupt::Trigger() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (happened_) return;
    happened_ = true;
  }
  changed_.notify_all();
  on_interrupt_();
}

void Interrupt::Listen() {
  pollfd waits[2] = {{signals_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
  for (;;) {
    if (poll(waits, 2, -1) < 0) continue;
    if (waits[1].revents != 0) return;
    if (waits[0].revents == 0) continue;
    signalfd_siginfo info;
    if (read(signals_.get(), &info, sizeof(info)) != sizeof(info)) continue;
    if (happened()) _exit(static_cast<int>(ExitCode::kInterrupted));
    Trigger();
  }
}

}  // namespace ijepa::client
