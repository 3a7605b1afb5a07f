// A state under other figures than its source gives.
#ifndef IJEPA_WORKER_JEPA_EXCHANGE_STATE_WITH_INFO_H_
#define IJEPA_WORKER_JEPA_EXCHANGE_STATE_WITH_INFO_H_

#include <memory>
#include <string>
#include <utility>

#include "worker/jepa/exchange/state_source.h"

namespace jepa {

// The tensors of `source`, the figures of `info`; whoever makes it sees to it that they agree.
class StateWithInfo : public StateSource {
 public:
  StateWithInfo(std::unique_ptr<StateSource> source, StateInfo info)
      : source_(std::move(source)), info_(std::move(info)) {}

  const StateInfo& info() const override { return info_; }
  const TensorShapes& tensors() const override { return source_->tensors(); }
  absl::Status Read(const std::string& name, float* out) const override {
    return source_->Read(name, out);
  }

 private:
  const std::unique_ptr<StateSource> source_;
  const StateInfo info_;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_EXCHANGE_STATE_WITH_INFO_H_
