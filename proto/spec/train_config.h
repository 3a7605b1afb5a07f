// The one conversion from the proto to the plain structs of worker/jepa.
#ifndef IJEPA_PROTO_SPEC_TRAIN_CONFIG_H_
#define IJEPA_PROTO_SPEC_TRAIN_CONFIG_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ijepa/v1/job.pb.h"
#include "ijepa/v1/rank_link.pb.h"
#include "worker/jepa/config.h"
#include "worker/jepa/plan/masks.h"

namespace ijepa::spec {

// meta.model_name of an encoder whose sizes are in the spec.
inline constexpr char kCustomModel[] = "vit_custom";

// What the conversion must know of the machine.
struct NodeFacts {
  bool has_cuda = false;
  bool cpu_bf16 = false;  // AVX512-BF16 or AMX-BF16
};

// The input of jepa::Train for one rank. `launch.spec` is resolved and validated. Returns
// InvalidArgument if the launch contradicts itself, FailedPrecondition if device is cuda and the
// node has none, or meta.precision is bf16 and the device has no bf16 arithmetic. The published
// meta.use_bfloat16 becomes fp32 there; `warnings`, when given, receives a sentence for the job's
// history (design.md, ruling 9). Looks at the file system only to find the published image folder.
absl::StatusOr<jepa::TrainConfig> TrainConfigFrom(const v1::RankLaunch& launch,
                                                  const NodeFacts& facts,
                                                  std::vector<std::string>* warnings = nullptr);

// Parts of it, pure, from a resolved spec. ModelFrom returns InvalidArgument for an unknown model
// name or sizes that do not fit; the rest is total.
absl::StatusOr<jepa::ModelConfig> ModelFrom(const v1::JobSpec& resolved);
// What the spec asks for, whatever the device has.
jepa::Precision PrecisionFrom(const v1::JobSpec& resolved);
jepa::MaskConfig MaskFrom(const v1::JobSpec& resolved);
jepa::DataConfig DataFrom(const v1::JobSpec& resolved);
jepa::OptimizationConfig OptimizationFrom(const v1::JobSpec& resolved);

// Patches per side: data.crop_size / mask.patch_size; none where that is undefined.
jepa::MaskGrid GridFrom(const v1::JobSpec& resolved);

// data.path, or root_path/image_folder/train as published; empty when neither is given.
std::string ImagePath(const v1::DataSpec& data);

}  // namespace ijepa::spec

#endif  // IJEPA_PROTO_SPEC_TRAIN_CONFIG_H_
