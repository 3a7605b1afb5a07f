// bf16 arithmetic of matrix products for a stretch of code.
#ifndef IJEPA_WORKER_JEPA_MODEL_AUTOCAST_H_
#define IJEPA_WORKER_JEPA_MODEL_AUTOCAST_H_

#include <ATen/autocast_mode.h>

#include "worker/jepa/config.h"

namespace jepa {

// While it lives, LibTorch's autocast runs linear layers and attention of this thread in bf16 for
// kBf16, and nothing changes for kFp32; weights stay fp32. May be nested. ijepa-spec 3.
class AutocastScope {
 public:
  AutocastScope(Precision precision, at::Device device)
      : active_(precision == Precision::kBf16), type_(device.type()) {
    if (!active_) return;
    was_enabled_ = at::autocast::is_autocast_enabled(type_);
    at::autocast::set_autocast_dtype(type_, at::kBFloat16);
    at::autocast::set_autocast_enabled(type_, true);
    at::autocast::increment_nesting();
  }
  ~AutocastScope() {
    if (!active_) return;
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(type_, was_enabled_);
  }
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  bool active_;
  bool was_enabled_ = false;
  at::DeviceType type_;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_MODEL_AUTOCAST_H_
