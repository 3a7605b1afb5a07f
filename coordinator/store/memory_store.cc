// See memory_store.h.
#include "coordinator/store/memory_store.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace ijepa::coordinator {

absl::Status MemoryStore::Commit(const Batch& batch) {
  if (!failure_.ok()) return failure_;
  for (const Condition& condition : batch.conditions) {
    const auto found = values_.find(condition.key);
    const bool holds = found == values_.end()
                           ? !condition.value.has_value()
                           : condition.value.has_value() && *condition.value == found->second;
    if (!holds) return absl::AbortedError(absl::StrCat(condition.key, " was changed by another"));
  }
  for (const Write& write : batch.writes) {
    if (write.value.has_value()) {
      values_[write.key] = *write.value;
    } else {
      values_.erase(write.key);
    }
  }
  ++commits_;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<KeyValue>> MemoryStore::Range(absl::string_view prefix) {
  std::vector<KeyValue> result;
  for (auto it = values_.lower_bound(std::string(prefix));
       it != values_.end() && absl::StartsWith(it->first, prefix); ++it) {
    result.push_back({it->first, it->second});
  }
  return result;
}

}  // namespace ijepa::coordinator
