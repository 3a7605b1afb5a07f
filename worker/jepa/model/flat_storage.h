// One contiguous buffer per kind of state; every weight is a view into it.
//
//   params, grad, exp_avg, exp_avg_sq   [ decay: predictor | encoder ][ no decay: predictor |
//   encoder ] target                              [ decay: encoder ][ no decay: encoder ] grad ...
//   and kStepScalars floats at the end
//
// Within each part the parameters stand in reverse order of execution, so that a backward pass
// fills the buffer from the front. Every tensor starts at a multiple of kAlignment floats; the gaps
// hold zeros and stay zero under AdamW and EMA.
#ifndef IJEPA_WORKER_JEPA_MODEL_FLAT_STORAGE_H_
#define IJEPA_WORKER_JEPA_MODEL_FLAT_STORAGE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "worker/jepa/config.h"
#include "worker/jepa/plan/flat_ranges.h"
#include "worker/jepa/plan/parameter_table.h"

namespace jepa {

// One parameter: where it lies, and the views of it.
struct FlatParameter {
  ParameterInfo info;
  bool encoder = false;       // Else of the predictor.
  int64_t offset = 0;         // In params, grad, exp_avg, exp_avg_sq.
  int64_t target_offset = 0;  // In target; only for the encoder.
  at::Tensor value;           // Leaf that requires a gradient; its gradient is the view of grad.
  at::Tensor grad;            // View of grad.
  at::Tensor target;          // Only for the encoder.
  // The same in bf16, where such copies are kept.
  at::Tensor value_bf16;
  at::Tensor target_bf16;
};

// A range of the parameters whose moments are kept, and where they lie in exp_avg and exp_avg_sq.
struct OwnedRange {
  FlatRange range;
  int64_t offset = 0;
};

// Owned and used by the training thread.
class FlatStorage {
 public:
  static constexpr int64_t kAlignment = kFlatAlignment;

  // Allocates zeros on `device`. Throws c10::Error if there is no memory. `keep_bf16`: with bf16
  // copies of params and target, which Optimizer keeps true and which linear layers read, so that
  // weights are not cast anew in every step.
  FlatStorage(const ModelConfig& model, at::Device device, bool keep_bf16 = false);

  // In the order of the published state dicts, encoder first.
  const std::vector<FlatParameter>& parameters() const { return parameters_; }
  // "encoder/NAME" or "predictor/NAME". Aborts for another name: the tables are ours.
  const FlatParameter& Find(const std::string& name) const;

  // Where the parameter ends: a backward pass that has come past it, so that all executed after it
  // is done, has filled [0, EndOf(name)) of grad. Only for parameters that decay.
  int64_t EndOf(const std::string& name) const;

  int64_t count() const { return count_; }  // Without the scalars.
  FlatRange decay() const { return {0, decay_end_}; }
  FlatRange no_decay() const { return {decay_end_, count_}; }
  // Ranges of params that hold the encoder; target holds them one after the other.
  FlatRange encoder_decay() const { return encoder_decay_; }
  FlatRange encoder_no_decay() const { return encoder_no_decay_; }

  at::Tensor View(const at::Tensor& flat, const FlatParameter& parameter) const;

  // Keeps the moments of `ranges` only, which ascend, one after the other; they become zero. At
  // first all are kept.
  void KeepMomentsOf(const std::vector<FlatRange>& ranges);
  const std::vector<OwnedRange>& owned() const { return owned_; }
  bool owns_all() const { return exp_avg.numel() == count_; }
  // Copies kept moments to or from their places in a buffer laid out as params.
  void PutOwned(const at::Tensor& moments, const at::Tensor& flat) const;
  void TakeOwned(const at::Tensor& flat, const at::Tensor& moments) const;

  at::Tensor params;
  at::Tensor grad;  // count() + kStepScalars floats.
  at::Tensor exp_avg;
  at::Tensor exp_avg_sq;
  at::Tensor target;
  at::Tensor params_bf16;  // Undefined unless kept, as is target_bf16.
  at::Tensor target_bf16;

  // Makes the bf16 copies true after params or target were written by hand.
  void RefreshBf16();
  // Copies the encoder over the target; refreshes the bf16 copies.
  void CopyEncoderToTarget();

 private:
  void Place(const ModelConfig& model);
  FlatRange PlacePart(bool encoder, bool decay, int64_t* target_cursor);
  void MakeViews();

  std::vector<FlatParameter> parameters_;
  std::vector<OwnedRange> owned_;
  std::unordered_map<std::string, size_t> by_name_;
  int64_t count_ = 0;
  int64_t target_count_ = 0;
  int64_t decay_end_ = 0;
  FlatRange encoder_decay_;
  FlatRange encoder_no_decay_;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MODEL_FLAT_STORAGE_H_
