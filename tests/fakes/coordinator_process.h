// A coordinator as a process of its own, on a store of its own.
#ifndef IJEPA_TESTS_FAKES_COORDINATOR_PROCESS_H_
#define IJEPA_TESTS_FAKES_COORDINATOR_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

namespace ijepa {

// Ends it when it goes.
class CoordinatorProcess {
 public:
  // Starts the program on the store in `data_dir`, for clients at `listen`, and waits until it
  // serves. Ends this program with a message if it does not.
  explicit CoordinatorProcess(const std::string& data_dir,
                              const std::string& listen = "127.0.0.1:0");
  ~CoordinatorProcess();
  CoordinatorProcess(const CoordinatorProcess&) = delete;
  CoordinatorProcess& operator=(const CoordinatorProcess&) = delete;

  // kill -9. Idempotent.
  void Kill();

  // HOST:PORT for clients.
  const std::string& address() const { return address_; }
  // From the start of the program until its first answer to a client.
  double seconds_to_serve() const { return seconds_to_serve_; }
  // HOST:PORT for workers.
  const std::string& worker_address() const { return worker_address_; }
  // Of processors, since it was started.
  double CpuSeconds() const;
  // Of physical memory, now.
  int64_t ResidentBytes() const;

 private:
  pid_t pid_ = 0;
  std::string address_;
  std::string worker_address_;
  double seconds_to_serve_ = 0;
};

}  // namespace ijepa

#endif  // IJEPA_TESTS_FAKES_COORDINATOR_PROCESS_H_
