// See wal_mover.h.
#include "coordinator/store/wal_mover.h"

#include <utility>

#include "absl/memory/memory.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace ijepa::coordinator {

absl::StatusOr<std::unique_ptr<WalMover>> WalMover::Start(const std::string& path) {
  IJEPA_ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection,
                         Connection::Open(path, Connection::Mode::kMove));
  auto mover = absl::WrapUnique(new WalMover(std::move(connection)));
  mover->thread_ = std::thread([raw = mover.get()] { raw->Run(); });
  return mover;
}

WalMover::~WalMover() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void WalMover::Wake() {
  std::lock_guard lock(mutex_);
  wanted_ = true;
  wake_.notify_one();
}

void WalMover::Wait() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return !wanted_; });
}

std::optional<int> WalMover::Moved() const {
  std::lock_guard lock(mutex_);
  return wanted_ ? std::nullopt : std::optional<int>(moved_);
}

void WalMover::LogBegan() {
  std::lock_guard lock(mutex_);
  ++log_;
  moved_ = 0;
}

void WalMover::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stop_ || wanted_; });
    if (stop_) return;
    const int64_t log = log_;
    lock.unlock();
    const absl::StatusOr<LogPages> pages = connection_->MoveLog();
    // The writer moves it itself when it becomes too long, and its commits say what is wrong.
    if (!pages.ok()) LogWarning("store: the log was not moved: ", pages.status().message());
    lock.lock();
    wanted_ = false;
    if (pages.ok() && log == log_) moved_ = pages->moved;
    idle_.notify_all();
  }
}

}  // namespace ijepa::coordinator
