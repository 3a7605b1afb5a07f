// Written with StrCat, read with sscanf, compared with what it would be written as.
#include "worker/jepa/plan/model_line.h"

#include <cstdio>

#include "absl/strings/str_cat.h"

namespace jepa {

std::string ModelLine(const ModelConfig& m) {
  return absl::StrCat("grid ", m.grid_height, "x", m.grid_width, " patch ", m.patch_size, "x",
                      m.patch_size, "x", m.channels, " encoder ", m.embed_dim, "x", m.depth,
                      " heads ", m.num_heads, " mlp ", m.mlp_hidden, " predictor ",
                      m.pred_embed_dim, "x", m.pred_depth, " mlp ", m.pred_mlp_hidden);
}

absl::StatusOr<ModelConfig> ParseModelLine(const std::string& line) {
  constexpr int kMaxSize = 1 << 20;
  ModelConfig m;
  int patch_width = 0;
  const int found = std::sscanf(
      line.c_str(),
      "grid %7dx%7d patch %7dx%7dx%7d encoder %7dx%7d heads %7d mlp %7d predictor %7dx%7d mlp %7d",
      &m.grid_height, &m.grid_width, &m.patch_size, &patch_width, &m.channels, &m.embed_dim,
      &m.depth, &m.num_heads, &m.mlp_hidden, &m.pred_embed_dim, &m.pred_depth, &m.pred_mlp_hidden);
  bool sound = found == 12 && line == ModelLine(m);
  for (const int size : {m.grid_height, m.grid_width, m.patch_size, m.channels, m.embed_dim,
                         m.depth, m.num_heads, m.mlp_hidden}) {
    sound = sound && size >= 1 && size <= kMaxSize;
  }
  for (const int size : {m.pred_embed_dim, m.pred_depth, m.pred_mlp_hidden}) {
    sound = sound && size >= 0 && size <= kMaxSize;
  }
  if (sound) return m;
  return absl::DataLossError(absl::StrCat("\"", line.substr(0, 200), "\" is no line of sizes"));
}

}  // namespace jepa
