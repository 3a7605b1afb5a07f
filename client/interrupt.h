// Ctrl-C for commands that follow a job: they let go of it, it goes on.
#ifndef IJEPA_CLIENT_INTERRUPT_H_
#define IJEPA_CLIENT_INTERRUPT_H_

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "absl/time/time.h"
#include "common/file.h"

namespace ijepa::client {

// While it lives, SIGINT, SIGTERM and SIGUSR1 (SLURM's warning before a time limit) call
// `on_interrupt` once, from a thread of its own; a second one ends the process at once with code
// 130. Make it before anything starts threads: they inherit
// the blocked signals. One at a time.
class Interrupt {
 public:
  explicit Interrupt(std::function<void()> on_interrupt);
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  bool happened();
  // As a first signal does, from the caller's thread; nothing if there was one.
  void Trigger();
  // Waits for `duration` or the interrupt, whichever is first; answers happened().
  bool WaitFor(absl::Duration duration);

 private:
  void Listen();

  std::function<void()> on_interrupt_;
  UniqueFd signals_;
  UniqueFd stop_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  bool happened_ = false;
  std::thread listener_;
};

}  // namespace ijepa::client

#endif  // IJEPA_CLIENT_INTERRUPT_H_
