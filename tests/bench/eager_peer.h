// The other side of step_bench: eager_baseline.py in a child process that does the same steps on
// the same weights, pixels and masks. It works only while Step() waits for it, so that both sides
// can take turns.
#ifndef IJEPA_TESTS_BENCH_EAGER_PEER_H_
#define IJEPA_TESTS_BENCH_EAGER_PEER_H_

#include <sys/types.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "worker/jepa/plan/masks.h"

namespace jepa::bench {

struct EagerStep {
  double wall_ms = 0;
  double cpu_ms = 0;  // Of the whole process.
  double loss = 0;
  int64_t peak_rss_bytes = 0;
};

class EagerPeer {
 public:
  // `config` as eager_baseline.py reads it. Returns Unavailable if Python or PyTorch does not
  // start.
  static absl::StatusOr<std::unique_ptr<EagerPeer>> Start(const nlohmann::json& config);
  ~EagerPeer();
  EagerPeer(const EagerPeer&) = delete;
  EagerPeer& operator=(const EagerPeer&) = delete;

  // One step with these masks; blocks until it is done.
  absl::StatusOr<EagerStep> Step(const MaskBatch& masks);

 private:
  EagerPeer() = default;
  absl::StatusOr<nlohmann::json> Ask(const nlohmann::json& line);

  pid_t child_ = -1;
  FILE* to_child_ = nullptr;
  FILE* from_child_ = nullptr;
};

}  // namespace jepa::bench

#endif  // IJEPA_TESTS_BENCH_EAGER_PEER_H_
