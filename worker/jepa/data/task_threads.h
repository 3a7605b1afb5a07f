// One job of many equal parts on a few threads.
#ifndef IJEPA_WORKER_JEPA_DATA_TASK_THREADS_H_
#define IJEPA_WORKER_JEPA_DATA_TASK_THREADS_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"

namespace jepa {

struct TaskRun {
  int64_t tasks = 0;
  int threads = 1;  // At most 64; no more than tasks.
  // Task in [0, tasks), thread in [0, threads). Thread-safe; must not throw.
  std::function<absl::Status(int64_t task, int thread)> work;
  // Tasks finished; from the calling thread, some ten times a second and at the end. May be null.
  std::function<void(int64_t done)> on_progress;
};

// Runs every task; threads take them in order. After a failure no task is begun. Returns the
// failure of the first task that failed, whatever the threads. Blocks; owns its threads.
absl::Status RunTasks(const TaskRun& run);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_TASK_THREADS_H_
