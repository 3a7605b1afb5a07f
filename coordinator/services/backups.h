// Copies of the store, made while it is in use.
#ifndef IJEPA_COORDINATOR_SERVICES_BACKUPS_H_
#define IJEPA_COORDINATOR_SERVICES_BACKUPS_H_

#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "coordinator/store/store.h"
#include "ijepa/v1/coordinator.pb.h"

namespace ijepa::coordinator {

// One at a time, on a thread of its own. Thread-safe.
class Backups {
 public:
  using Done = std::function<void(absl::StatusOr<v1::BackupStoreResponse>)>;

  // Files go to `folder`, which is made with the first. What is borrowed outlives it.
  Backups(Store& store, Clock& clock, std::string folder)
      : store_(store), clock_(clock), folder_(std::move(folder)) {}
  // Waits for the one that runs.
  ~Backups();

  // Writes <folder>/<name>; an empty name is made of the time. Answers on another thread:
  // InvalidArgument for a name with a folder in it, FailedPrecondition while another runs.
  void Start(const std::string& name, Done done);

 private:
  absl::StatusOr<v1::BackupStoreResponse> Write(const std::string& name);

  Store& store_;
  Clock& clock_;
  const std::string folder_;

  std::mutex mutex_;
  // Guarded by mutex_.
  bool running_ = false;
  std::thread thread_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SERVICES_BACKUPS_H_
