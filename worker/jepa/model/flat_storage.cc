// Flat buffers; see flat_storage.h.
#include "worker/jepa/model/flat_storage.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "common/check.h"
#include "worker/jepa/model/learner.h"

namespace jepa {

FlatStorage::FlatStorage(const ModelConfig& model, at::Device device, bool keep_bf16) {
  Place(model);
  const auto options = at::TensorOptions().dtype(at::kFloat).device(device);
  params = at::zeros({count_}, options);
  grad = at::zeros({count_ + kStepScalars}, options);
  KeepMomentsOf({{0, count_}});
  target = at::zeros({target_count_}, options);
  if (keep_bf16) {
    params_bf16 = at::zeros({count_}, options.dtype(at::kBFloat16));
    target_bf16 = at::zeros({target_count_}, options.dtype(at::kBFloat16));
  }
  MakeViews();
}

void FlatStorage::Place(const ModelConfig& model) {
  for (ParameterInfo& info : EncoderParameterTable(model)) {
    by_name_["encoder/" + info.name] = parameters_.size();
    parameters_.push_back({.info = std::move(info), .encoder = true});
  }
  for (ParameterInfo& info : PredictorParameterTable(model)) {
    by_name_["predictor/" + info.name] = parameters_.size();
    parameters_.push_back({.info = std::move(info), .encoder = false});
  }
  PlacePart(false, true, nullptr);
  encoder_decay_ = PlacePart(true, true, &target_count_);
  decay_end_ = count_;
  PlacePart(false, false, nullptr);
  encoder_no_decay_ = PlacePart(true, false, &target_count_);
}

FlatRange FlatStorage::PlacePart(bool encoder, bool decay, int64_t* target_cursor) {
  FlatRange range{count_, count_};
  for (auto it = parameters_.rbegin(); it != parameters_.rend(); ++it) {
    if (it->encoder != encoder || it->info.decays() != decay) continue;
    const int64_t padded = (it->info.count() + kAlignment - 1) / kAlignment * kAlignment;
    it->offset = count_;
    count_ += padded;
    if (target_cursor != nullptr) {
      it->target_offset = *target_cursor;
      *target_cursor += padded;
    }
  }
  range.end = count_;
  return range;
}

void FlatStorage::MakeViews() {
  for (FlatParameter& parameter : parameters_) {
    parameter.value = View(params, parameter).detach();
    parameter.value.set_requires_grad(true);
    parameter.grad = View(grad, parameter);
    parameter.value.mutable_grad() = parameter.grad;
    if (params_bf16.defined()) parameter.value_bf16 = View(params_bf16, parameter);
    if (!parameter.encoder) continue;
    const auto of_target = [&](const at::Tensor& flat) {
      return flat.narrow(0, parameter.target_offset, parameter.info.count())
          .view(parameter.info.shape);
    };
    parameter.target = of_target(target);
    if (target_bf16.defined()) parameter.target_bf16 = of_target(target_bf16);
  }
}

const FlatParameter& FlatStorage::Find(const std::string& name) const {
  const auto it = by_name_.find(name);
  IJEPA_CHECK(it != by_name_.end());
  return parameters_[it->second];
}

int64_t FlatStorage::EndOf(const std::string& name) const {
  const FlatParameter& parameter = Find(name);
  IJEPA_CHECK(parameter.info.decays());
  return parameter.offset + parameter.info.count();
}

at::Tensor FlatStorage::View(const at::Tensor& flat, const FlatParameter& parameter) const {
  return flat.narrow(0, parameter.offset, parameter.info.count()).view(parameter.info.shape);
}

void FlatStorage::KeepMomentsOf(const std::vector<FlatRange>& ranges) {
  owned_.clear();
  int64_t kept = 0;
  for (const FlatRange& range : ranges) {
    owned_.push_back({range, kept});
    kept += range.size();
  }
  exp_avg = exp_avg_sq = at::Tensor();  // Old and new need not be there together.
  exp_avg = at::zeros({kept}, params.options());
  exp_avg_sq = at::zeros({kept}, params.options());
}

void FlatStorage::PutOwned(const at::Tensor& moments, const at::Tensor& flat) const {
  for (const OwnedRange& owned : owned_) {
    flat.narrow(0, owned.range.begin, owned.range.size())
        .copy_(moments.narrow(0, owned.offset, owned.range.size()));
  }
}

void FlatStorage::TakeOwned(const at::Tensor& flat, const at::Tensor& moments) const {
  for (const OwnedRange& owned : owned_) {
    moments.narrow(0, owned.offset, owned.range.size())
        .copy_(flat.narrow(0, owned.range.begin, owned.range.size()));
  }
}

void FlatStorage::CopyEncoderToTarget() {
  const c10::NoGradGuard no_grad;
  const int64_t first = encoder_decay_.size();
  target.narrow(0, 0, first).copy_(params.narrow(0, encoder_decay_.begin, first));
  target.narrow(0, first, encoder_no_decay_.size())
      .copy_(params.narrow(0, encoder_no_decay_.begin, encoder_no_decay_.size()));
  RefreshBf16();
}

void FlatStorage::RefreshBf16() {
  if (!params_bf16.defined()) return;
  const c10::NoGradGuard no_grad;
  params_bf16.copy_(params);
  target_bf16.copy_(target);
}

}  // namespace jepa
