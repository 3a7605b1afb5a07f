// ijepa-worker as a child process of a test.
#ifndef IJEPA_TESTS_WORKER_WORKER_PROCESS_H_
#define IJEPA_TESTS_WORKER_WORKER_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace ijepa::worker {

// Dies with the test. Its standard error goes to the test's.
class WorkerProcess {
 public:
  explicit WorkerProcess(const std::vector<std::string>& arguments);
  ~WorkerProcess();

  pid_t pid() const { return pid_; }
  // Sends the signal and waits for the end. Returns the wait status.
  int Stop(int signal);
  // Waits for the end without a signal.
  int Wait() { return Stop(0); }

 private:
  pid_t pid_ = 0;
};

// Kills every rank whose record is in the state folder, and removes the control groups: ranks
// outlive workers and tests.
void KillRanks(const std::string& state_dir);

}  // namespace ijepa::worker

#endif  // IJEPA_TESTS_WORKER_WORKER_PROCESS_H_
