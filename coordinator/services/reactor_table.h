// Live streams by number, so that a callback that comes late finds a stream that is still there, or
// nothing.
#ifndef IJEPA_COORDINATOR_SERVICES_REACTOR_TABLE_H_
#define IJEPA_COORDINATOR_SERVICES_REACTOR_TABLE_H_

#include <cstdint>
#include <map>
#include <mutex>

namespace ijepa::coordinator {

// Holds reactors it does not own: each adds itself when it starts and removes itself before it is
// deleted. Thread-safe. Lock order: the table, then a reactor; a reactor calls the table only
// without holding its own lock.
template <typename Reactor>
class ReactorTable {
 public:
  // Returns the number of the reactor: from 1, never used again.
  uint64_t Add(Reactor* reactor) {
    std::lock_guard lock(mutex_);
    reactors_[++last_] = reactor;
    return last_;
  }

  void Remove(uint64_t number) {
    std::lock_guard lock(mutex_);
    reactors_.erase(number);
  }

  // Calls `use` with the reactor, which stays alive meanwhile. False if it is gone.
  template <typename Use>
  bool With(uint64_t number, const Use& use) {
    std::lock_guard lock(mutex_);
    const auto found = reactors_.find(number);
    if (found == reactors_.end()) return false;
    use(*found->second);
    return true;
  }

  template <typename Use>
  void ForEach(const Use& use) {
    std::lock_guard lock(mutex_);
    for (auto& [number, reactor] : reactors_) use(*reactor);
  }

  size_t size() {
    std::lock_guard lock(mutex_);
    return reactors_.size();
  }

 private:
  std::mutex mutex_;
  uint64_t last_ = 0;
  std::map<uint64_t, Reactor*> reactors_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SERVICES_REACTOR_TABLE_H_
