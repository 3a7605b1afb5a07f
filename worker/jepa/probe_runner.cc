// Rank r computes the r-th contiguous slice; slices are padded to one length, so that what is
// gathered is the set in order with the padding at its end. Each row carries one more value: 1 when
// the image could be read.
#include "worker/jepa/probe_runner.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "worker/jepa/data/eval_view.h"

namespace jepa {
namespace {

// Images decoded and encoded at a time; bounds the memory of a probe.
constexpr int64_t kChunk = 128;

int64_t SliceLength(int64_t images, int world_size) {
  return (images + world_size - 1) / world_size;
}

const Labels* FindColumn(const std::vector<Labels>& columns, const std::string& name) {
  for (const Labels& column : columns) {
    if (column.name == name) return &column;
  }
  return nullptr;
}

}  // namespace

absl::StatusOr<ProbeRunner::EvalSet> ProbeRunner::OpenSet(
    const std::string& path, int max_images, const std::vector<Labels>* vocabulary) const {
  EvalSet set;
  IJEPA_ASSIGN_OR_RETURN(set.source, OpenImageSource(path, config_.data.index_folder));
  // Rank 0 scores. Labels of a tar are found by a pass over its headers, which need not be made by
  // every rank.
  if (config_.rank == 0) {
    IJEPA_ASSIGN_OR_RETURN(set.labels, ReadLabels(path, *set.source, vocabulary));
  }
  const int64_t all = set.source->size();
  const int64_t used = max_images > 0 ? std::min<int64_t>(all, max_images) : all;
  // Evenly over the sorted list, so that class folders keep their shares.
  for (int64_t i = 0; i < used; ++i) set.indices.push_back(i * all / used);
  for (Labels& column : set.labels) {
    std::vector<int32_t> values;
    for (const int64_t index : set.indices) {
      values.push_back(column.values[static_cast<size_t>(index)]);
    }
    column.values = std::move(values);
  }
  return set;
}

absl::StatusOr<std::unique_ptr<ProbeRunner>> ProbeRunner::Open(const TrainConfig& config) {
  if (config.eval.path.empty()) return nullptr;
  auto runner = std::unique_ptr<ProbeRunner>(new ProbeRunner(config));
  const EvalConfig& eval = config.eval;
  IJEPA_ASSIGN_OR_RETURN(runner->eval_, runner->OpenSet(eval.path, eval.max_images, nullptr));
  if (!eval.fit_path.empty()) {
    IJEPA_ASSIGN_OR_RETURN(runner->fit_,
                           runner->OpenSet(eval.fit_path, eval.max_images, &runner->eval_.labels));
  }
  return runner;
}

absl::Status ProbeRunner::FillSlice(const EvalSet& set, const Parts& parts,
                                    std::vector<float>& rows) const {
  const int width = config_.model.embed_dim;
  const auto images = static_cast<int64_t>(set.indices.size());
  const int64_t slice = SliceLength(images, config_.world_size);
  const int64_t begin = std::min(images, config_.rank * slice);
  const int64_t end = std::min(images, begin + slice);
  for (int64_t at = begin; at < end; at += kChunk) {
    IJEPA_RETURN_IF_ERROR(parts.host.Alive());
    const int64_t count = std::min(kChunk, end - at);
    const std::vector<int64_t> indices(set.indices.begin() + at, set.indices.begin() + at + count);
    std::vector<int64_t> bad;
    IJEPA_ASSIGN_OR_RETURN(const std::vector<uint8_t> pixels, LoadEvalView({.source = *set.source,
                                                                            .indices = indices,
                                                                            .data = config_.data,
                                                                            .host = parts.host,
                                                                            .step = parts.step},
                                                                           bad));
    IJEPA_ASSIGN_OR_RETURN(const Features features,
                           parts.learner.PooledFeatures(pixels, static_cast<int>(count)));
    for (int64_t i = 0; i < count; ++i) {
      float* row = rows.data() + (at - begin + i) * (width + 1);
      std::copy_n(features.values.data() + i * width, width, row);
      const bool readable = std::find(bad.begin(), bad.end(), indices[i]) == bad.end();
      row[width] = readable ? 1.0f : 0.0f;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ProbeRunner::Gathered> ProbeRunner::Gather(const EvalSet& set,
                                                          const Parts& parts) const {
  const int width = config_.model.embed_dim;
  const auto images = static_cast<int64_t>(set.indices.size());
  const int64_t slice_values = SliceLength(images, config_.world_size) * (width + 1);
  std::vector<float> mine(static_cast<size_t>(slice_values));
  IJEPA_RETURN_IF_ERROR(FillSlice(set, parts, mine));
  std::vector<float> all(static_cast<size_t>(slice_values * config_.world_size));
  IJEPA_RETURN_IF_ERROR(parts.peers.AllGather(mine.data(), slice_values, all.data()));

  Gathered gathered{{0, width, {}}, set.labels};
  for (Labels& column : gathered.labels) column.values.clear();
  for (int64_t i = 0; i < images; ++i) {
    const float* row = all.data() + i * (width + 1);
    if (row[width] == 0.0f) continue;
    gathered.features.values.insert(gathered.features.values.end(), row, row + width);
    for (size_t c = 0; c < set.labels.size(); ++c) {
      gathered.labels[c].values.push_back(set.labels[c].values[static_cast<size_t>(i)]);
    }
    ++gathered.features.images;
  }
  if (gathered.features.images == 0) {
    return absl::DataLossError(absl::StrCat("none of the ", images,
                                            " images to probe can be read, e.g. ",
                                            set.source->name(set.indices.front())));
  }
  if (gathered.features.images < images) {
    ijepa::LogWarning("probe skips unreadable images count=", images - gathered.features.images);
  }
  return gathered;
}

absl::StatusOr<std::optional<ProbeReport>> ProbeRunner::Run(Learner& learner, Communicator& peers,
                                                            RunHost& host, int64_t step) {
  const Parts parts{learner, peers, host, step};
  IJEPA_ASSIGN_OR_RETURN(const Gathered eval, Gather(eval_, parts));
  std::optional<Gathered> fit;
  if (fit_.has_value()) {
    IJEPA_ASSIGN_OR_RETURN(fit, Gather(*fit_, parts));
  }
  if (config_.rank != 0) return std::nullopt;
  ProbeReport report;
  for (const Labels& column : eval.labels) {
    const Labels* fit_labels = nullptr;
    if (fit.has_value()) {
      fit_labels = FindColumn(fit->labels, column.name);
      if (fit_labels == nullptr) {
        return absl::FailedPreconditionError(absl::StrCat(
            "eval.fit_path ", config_.eval.fit_path, " has no label '", column.name,
            "' as eval.path has; leave eval.fit_path out to cross-validate within eval.path"));
      }
    }
    const Features* fit_features = fit.has_value() ? &fit->features : nullptr;
    std::vector<ProbeScore> scores =
        ScoreProbes(eval.features, column, fit_features, fit_labels, config_.seed);
    report.scores.insert(report.scores.end(), scores.begin(), scores.end());
  }
  report.effective_rank = EffectiveRank(eval.features);
  return report;
}

}  // namespace jepa
