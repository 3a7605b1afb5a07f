// A checkpoint written tensor by tensor, aside, then renamed.
#include "worker/jepa/exchange/import.h"

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/jepa/checkpoint/checkpoint.h"
#include "worker/jepa/exchange/new_folder.h"
#include "worker/jepa/exchange/regrid.h"
#include "worker/jepa/exchange/state_with_info.h"
#include "worker/jepa/plan/model_line.h"

namespace jepa {
namespace {

absl::StatusOr<int> ChooseHeads(const StateInfo& info, int asked) {
  const ModelConfig& model = info.model;
  if (asked != 0 && model.num_heads != 0 && asked != model.num_heads) {
    return absl::InvalidArgumentError(absl::StrCat(info.path, " says ", model.num_heads,
                                                   " heads; --heads ", asked, " contradicts it"));
  }
  int heads = asked != 0 ? asked : model.num_heads;
  if (heads == 0) heads = PublishedHeads(model.embed_dim);
  if (heads == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(info.path, " is ", model.embed_dim,
                     " wide, which no published model is, and does not say how many attention "
                     "heads it has; give --heads N"));
  }
  if (heads < 0 || model.embed_dim % heads != 0 || model.pred_embed_dim % heads != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("heads is ", heads, "; it must divide the widths ", model.embed_dim,
                     " (encoder) and ", model.pred_embed_dim, " (predictor) of ", info.path));
  }
  return heads;
}

int64_t Figure(const StateInfo& info, const char* key) {
  int64_t value = 0;
  const auto found = info.values.find(key);
  if (found == info.values.end() || !absl::SimpleAtoi(found->second, &value) || value < 0) return 0;
  return value;
}

// Images of all steps, where the figures say so and the product fits.
int64_t ImagesSeen(const StateInfo& info, int64_t step) {
  constexpr int64_t kMost = int64_t{1} << 62;
  const int64_t batch = Figure(info, kBatchSizeKey);
  const int64_t shards = Figure(info, kWorldSizeKey);
  if (batch == 0 || shards == 0 || batch > kMost / shards) return 0;
  return step > kMost / (batch * shards) ? 0 : step * batch * shards;
}

}  // namespace

absl::StatusOr<std::unique_ptr<StateSource>> OpenForUse(const std::string& path,
                                                        const ImportOptions& options) {
  const Size crop = options.crop_size;
  IJEPA_ASSIGN_OR_RETURN(std::unique_ptr<StateSource> source, OpenState(path, crop));
  StateInfo info = source->info();
  IJEPA_ASSIGN_OR_RETURN(info.model.num_heads, ChooseHeads(info, options.heads));
  const int patch = info.model.patch_size;
  source = std::make_unique<StateWithInfo>(std::move(source), std::move(info));
  if (crop.height == 0 && crop.width == 0) return source;
  for (const int side : {crop.height, crop.width}) {
    if (side >= patch && side % patch == 0) continue;
    return absl::InvalidArgumentError(absl::StrCat("crop size is ", crop.height, "x", crop.width,
                                                   "; both sides must be multiples of ", path,
                                                   "'s patch size, which is ", patch));
  }
  return OnGrid(std::move(source), {crop.height / patch, crop.width / patch});
}

absl::Status ImportState(const StateSource& state, const ImportOptions& options) {
  const StateInfo& info = state.info();
  CheckpointMeta meta;
  meta.step = info.step.value_or(info.optimizer_step.value_or(0));
  meta.images_seen = ImagesSeen(info, meta.step);
  meta.model = ModelLine(info.model);
  meta.values = info.values;
  meta.values["source"] = info.kind;
  const int64_t optimizer_step = info.optimizer_step.value_or(0);
  std::vector<TensorToSave> tensors;
  for (const auto& [name, shape] : state.tensors()) {
    TensorToSave tensor{.name = name, .type = TensorType::kFloat32, .shape = shape};
    tensor.fill = [&state, name = name](void* out) {
      return state.Read(name, static_cast<float*>(out));
    };
    tensors.push_back(std::move(tensor));
  }
  if (info.optimizer_step.has_value()) {
    tensors.push_back({.name = "optimizer/step",
                       .type = TensorType::kInt64,
                       .shape = {1},
                       .data = &optimizer_step});
  }
  IJEPA_ASSIGN_OR_RETURN(NewFolder folder, NewFolder::Make(options.folder, options.replace));
  IJEPA_ASSIGN_OR_RETURN(const CheckpointSummary written,
                         WriteCheckpoint(folder.aside(), meta, tensors));
  return folder.Commit(written.path);
}

}  // namespace jepa
