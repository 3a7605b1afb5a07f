// Probes the target encoder on labelled images: features split over the ranks, scored on rank 0.
#ifndef IJEPA_WORKER_JEPA_PROBE_RUNNER_H_
#define IJEPA_WORKER_JEPA_PROBE_RUNNER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/jepa/config.h"
#include "worker/jepa/data/image_source.h"
#include "worker/jepa/dist/communicator.h"
#include "worker/jepa/eval/probes.h"
#include "worker/jepa/model/learner.h"
#include "worker/jepa/run_host.h"

namespace jepa {

// Called by the training thread of every rank, at the same steps.
class ProbeRunner {
 public:
  // Lists the images, on rank 0 reads their labels too; null when config.eval.path is empty.
  // `config` must outlive it. Errors as OpenImageSource and ReadLabels.
  static absl::StatusOr<std::unique_ptr<ProbeRunner>> Open(const TrainConfig& config);

  // The report of rank 0, nothing on the others. Blocks for all features and scores. Errors of the
  // learner, the peers, and host.Alive(); of LoadEvalView where storage hangs. `step` is for the
  // history.
  absl::StatusOr<std::optional<ProbeReport>> Run(Learner& learner, Communicator& peers,
                                                 RunHost& host, int64_t step);

 private:
  // Images that are probed and, on rank 0, their labels, entry for entry.
  struct EvalSet {
    std::unique_ptr<ImageSource> source;
    std::vector<int64_t> indices;
    std::vector<Labels> labels;
  };
  // What stands between the parts of a probe and the outside.
  struct Parts {
    Learner& learner;
    Communicator& peers;
    RunHost& host;
    int64_t step;
  };
  // Features of a whole set, and the labels of its readable images.
  struct Gathered {
    Features features;
    std::vector<Labels> labels;
  };

  explicit ProbeRunner(const TrainConfig& config) : config_(config) {}
  absl::StatusOr<EvalSet> OpenSet(const std::string& path, int max_images,
                                  const std::vector<Labels>* vocabulary) const;
  absl::Status FillSlice(const EvalSet& set, const Parts& parts, std::vector<float>& rows) const;
  absl::StatusOr<Gathered> Gather(const EvalSet& set, const Parts& parts) const;

  const TrainConfig& config_;
  EvalSet eval_;
  std::optional<EvalSet> fit_;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_PROBE_RUNNER_H_
