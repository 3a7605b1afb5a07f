// Parameter tables; see parameter_table.h.
#include "worker/jepa/plan/parameter_table.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace jepa {
namespace {

class TableBuilder {
 public:
  void Linear(const std::string& name, int64_t out, int64_t in) {
    rows_.push_back({name + ".weight", {out, in}});
    rows_.push_back({name + ".bias", {out}});
  }

  void Norm(const std::string& name, int64_t width) {
    rows_.push_back({name + ".weight", {width}});
    rows_.push_back({name + ".bias", {width}});
  }

  void Block(const std::string& name, int64_t width, int64_t hidden) {
    Norm(name + ".norm1", width);
    Linear(name + ".attn.qkv", 3 * width, width);
    Linear(name + ".attn.proj", width, width);
    Norm(name + ".norm2", width);
    Linear(name + ".mlp.fc1", hidden, width);
    Linear(name + ".mlp.fc2", width, hidden);
  }

  void Add(ParameterInfo info) { rows_.push_back(std::move(info)); }
  std::vector<ParameterInfo> Take() { return std::move(rows_); }

 private:
  std::vector<ParameterInfo> rows_;
};

}  // namespace

int64_t ParameterInfo::count() const {
  int64_t product = 1;
  for (int64_t size : shape) product *= size;
  return product;
}

bool ParameterInfo::is_bias() const { return absl::EndsWith(name, ".bias"); }

std::vector<ParameterInfo> EncoderParameterTable(const ModelConfig& model) {
  TableBuilder table;
  table.Add({"patch_embed.proj.weight",
             {model.embed_dim, model.channels, model.patch_size, model.patch_size}});
  table.Add({"patch_embed.proj.bias", {model.embed_dim}});
  for (int i = 0; i < model.depth; ++i) {
    table.Block(absl::StrCat("blocks.", i), model.embed_dim, model.mlp_hidden);
  }
  table.Norm("norm", model.embed_dim);
  return table.Take();
}

std::vector<ParameterInfo> PredictorParameterTable(const ModelConfig& model) {
  TableBuilder table;
  table.Add({"mask_token", {1, 1, model.pred_embed_dim}});
  table.Linear("predictor_embed", model.pred_embed_dim, model.embed_dim);
  for (int i = 0; i < model.pred_depth; ++i) {
    table.Block(absl::StrCat("predictor_blocks.", i), model.pred_embed_dim, model.pred_mlp_hidden);
  }
  table.Norm("predictor_norm", model.pred_embed_dim);
  table.Linear("predictor_proj", model.embed_dim, model.pred_embed_dim);
  return table.Take();
}

}  // namespace jepa
