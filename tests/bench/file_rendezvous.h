// A rendezvous over a folder, for ranks that are processes of one machine.
#ifndef IJEPA_TESTS_BENCH_FILE_RENDEZVOUS_H_
#define IJEPA_TESTS_BENCH_FILE_RENDEZVOUS_H_

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/file.h"
#include "worker/jepa/run_host.h"

namespace jepa::bench {

// A key is a file of the folder. Thread-compatible.
class FileRendezvous : public Rendezvous {
 public:
  explicit FileRendezvous(std::string folder) : folder_(std::move(folder)) {}

  absl::Status Put(absl::string_view key, absl::string_view value) override {
    return ijepa::WriteFileAtomically(Path(key), value);
  }

  absl::StatusOr<std::string> Get(absl::string_view key, absl::Duration timeout) override {
    const absl::Duration deadline = ijepa::Clock::Real().Monotonic() + timeout;
    for (;;) {
      absl::StatusOr<std::string> value = ijepa::ReadFile(Path(key));
      if (value.ok() || !absl::IsNotFound(value.status())) return value;
      if (ijepa::Clock::Real().Monotonic() > deadline) {
        return absl::DeadlineExceededError(absl::StrCat("nobody put key ", key));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

 private:
  std::string Path(absl::string_view key) const {
    std::string name(key);
    std::replace(name.begin(), name.end(), '/', '-');
    return absl::StrCat(folder_, "/", name);
  }

  const std::string folder_;
};

}  // namespace jepa::bench

#endif  // IJEPA_TESTS_BENCH_FILE_RENDEZVOUS_H_
