// See stack_signal.h.
#include "worker/rank/stack_signal.h"

#include <execinfo.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "worker/link/rank_folder.h"

namespace ijepa::rank {
namespace {

constexpr int kMaxFrames = 48;
// A thread waits this long for another that writes; then both write at once.
constexpr int kMaxWaits = 500;
constexpr timespec kWait = {0, 2'000'000};

// A signal handler has nothing but what is static.
std::atomic_flag writing = ATOMIC_FLAG_INIT;

void WriteText(const char* text, size_t size) {
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text, size);
}

void WriteStack(int) {
  const int saved = errno;
  for (int i = 0; i < kMaxWaits && writing.test_and_set(std::memory_order_acquire); ++i) {
    ::nanosleep(&kWait, nullptr);
  }
  char line[64] = "stack of thread ";
  size_t size = std::strlen(line);
  char digits[20];
  int count = 0;
  for (long id = ::syscall(SYS_gettid); id > 0; id /= 10) {
    digits[count++] = static_cast<char>('0' + id % 10);
  }
  while (count > 0) line[size++] = digits[--count];
  line[size++] = '\n';
  WriteText(line, size);
  void* frames[kMaxFrames];
  ::backtrace_symbols_fd(frames, ::backtrace(frames, kMaxFrames), STDERR_FILENO);
  writing.clear(std::memory_order_release);
  errno = saved;
}

}  // namespace

void InstallStackSignal() {
  // The first call loads the unwinder, which allocates: not in the handler.
  void* frame[1];
  ::backtrace(frame, 1);
  struct sigaction action {};
  action.sa_handler = &WriteStack;
  action.sa_flags = SA_RESTART;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(link::kStackSignal, &action, nullptr);
}

}  // namespace ijepa::rank
