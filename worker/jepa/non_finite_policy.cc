// See non_finite_policy.h.
#include "worker/jepa/non_finite_policy.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace jepa {
namespace {

constexpr size_t kNamed = 5;

}  // namespace

NonFiniteAction NonFinitePolicy::Take(int64_t step, absl::string_view what) {
  ++taken_;
  window_.push_back({step, std::string(what)});
  while (window_.front().step <= step - config_.window_steps && window_.size() > 1) {
    window_.pop_front();
  }
  const bool exhausted = static_cast<int64_t>(window_.size()) > config_.budget;
  return exhausted ? NonFiniteAction::kFail : config_.non_finite;
}

std::string NonFinitePolicy::History() const {
  const size_t first = window_.size() - std::min(window_.size(), kNamed);
  std::string text = first > 0 ? absl::StrCat(first, " before; ") : "";
  for (size_t i = first; i < window_.size(); ++i) {
    absl::StrAppend(&text, i > first ? "; " : "", "step ", window_[i].step, ": ", window_[i].what);
  }
  return text;
}

}  // namespace jepa
