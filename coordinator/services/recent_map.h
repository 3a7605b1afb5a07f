// A map that forgets: of two generations of entries the older goes when the newer is full.
#ifndef IJEPA_COORDINATOR_SERVICES_RECENT_MAP_H_
#define IJEPA_COORDINATOR_SERVICES_RECENT_MAP_H_

#include <cstddef>
#include <map>
#include <utility>

namespace ijepa::coordinator {

// Holds at most `most` entries, and at least the newest `most` / 2 that were added or found.
// Thread-compatible.
template <typename Key, typename Value>
class RecentMap {
 public:
  // `most` >= 2.
  explicit RecentMap(size_t most) : half_(most / 2) {}

  // Null if it was forgotten, or never added. Valid until the next call.
  const Value* Find(const Key& key) {
    const auto found = newer_.find(key);
    if (found != newer_.end()) return &found->second;
    const auto old = older_.find(key);
    if (old == older_.end()) return nullptr;
    Value value = std::move(old->second);
    older_.erase(old);
    return Add(key, std::move(value));
  }

  const Value* Add(const Key& key, Value value) {
    if (newer_.size() >= half_ && newer_.count(key) == 0) {
      older_ = std::move(newer_);
      newer_.clear();
    }
    return &(newer_[key] = std::move(value));
  }

  size_t size() const { return newer_.size() + older_.size(); }

 private:
  const size_t half_;
  std::map<Key, Value> newer_;
  std::map<Key, Value> older_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SERVICES_RECENT_MAP_H_
