// Programs that run as long as this process wants them to: started again when they end, asked to
// stop, and at last killed.
#ifndef IJEPA_CLIENT_SUPERVISED_H_
#define IJEPA_CLIENT_SUPERVISED_H_

#include <sys/types.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/file.h"

namespace ijepa::client {

// One program. A thread of its own starts it and waits for it, and the program gets SIGTERM when
// this process dies. Its output is appended to a file. Thread-safe.
class Supervised {
 public:
  struct Options {
    // Program (looked up in PATH) and its arguments.
    std::vector<std::string> command;
    std::string log_file;
    // Ends of the program, of its own accord, after which it is left alone.
    int max_restarts = 10;
    // Called on the program's thread when it is left alone. May be empty.
    std::function<void()> on_given_up;
  };

  explicit Supervised(Options options);
  // Asks with SIGTERM, and kills after ten seconds.
  ~Supervised();
  Supervised(const Supervised&) = delete;
  Supervised& operator=(const Supervised&) = delete;

  // From now on its end is final. Sends `signal` and waits for the end, at most `wait`. Answers
  // whether it has ended.
  bool Stop(int signal, absl::Duration wait);
  // Says how it ended when it is not started again; OK while it runs, and after Stop.
  absl::Status status();

 private:
  void Run();
  pid_t Spawn();
  void Signal(int signal);

  const Options options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  pid_t pid_ = -1;
  bool stopping_ = false;
  bool ended_ = false;
  absl::Status status_;
  std::thread thread_;
};

}  // namespace ijepa::client

#endif  // IJEPA_CLIENT_SUPERVISED_H_
