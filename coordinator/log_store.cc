// See log_store.h.
#include "coordinator/log_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "coordinator/log_files.h"

namespace ijepa::coordinator {
namespace {

// A page, and so a message to a client.
constexpr int64_t kPageBytes = 65536;

bool Wanted(const LogQuery& query, const LogFile& file) {
  if (query.generation != 0 && file.generation != query.generation) return false;
  return query.ranks.empty() ||
         std::find(query.ranks.begin(), query.ranks.end(), file.rank) != query.ranks.end();
}

absl::Status Stopped() { return absl::UnavailableError("the coordinator is stopping"); }

// Puts the cursor at the last lines of each rank, over all its generations.
absl::Status StartAtTail(const std::vector<LogFile>& files, int count, LogCursor& cursor) {
  std::map<int, int> missing;
  for (const LogFile& file : files) missing[file.rank] = count;
  for (auto file = files.rbegin(); file != files.rend(); ++file) {
    int& left = missing[file->rank];
    if (left <= 0) {
      struct stat info {};
      if (stat(file->path.c_str(), &info) != 0) return ErrnoStatus(errno, "stat", file->path);
      cursor.offsets[{file->generation, file->rank}] = info.st_size;
      continue;
    }
    IJEPA_ASSIGN_OR_RETURN(const Tail tail, FindTail(*file, left));
    cursor.offsets[{file->generation, file->rank}] = tail.offset;
    left -= tail.lines;
  }
  return absl::OkStatus();
}

}  // namespace

LogStore::LogStore(Options options, Clock& clock) : options_(std::move(options)), clock_(clock) {
  thread_ = std::thread([this] { Run(); });
}

LogStore::~LogStore() { Stop(); }

void LogStore::Append(LogKey key, int64_t offset, std::string data,
                      std::function<void(absl::StatusOr<int64_t>)> done) {
  const bool taken = Enqueue([this, key = std::move(key), offset, data = std::move(data), done] {
    done(AppendNow(key, offset, data));
    for (const auto& waiter : TakeWaiters(key.job, false)) waiter();
  });
  if (!taken) done(Stopped());
}

void LogStore::Read(LogQuery query, LogCursor cursor,
                    std::function<void(absl::StatusOr<LogPage>)> done) {
  const bool taken = Enqueue([this, query = std::move(query), cursor = std::move(cursor), done] {
    done(ReadNow(query, cursor));
  });
  if (!taken) done(Stopped());
}

void LogStore::WaitForAppend(std::string job, absl::Duration timeout, std::function<void()> done) {
  {
    std::lock_guard lock(mutex_);
    if (!stop_) {
      waiters_.push_back({std::move(job), clock_.Monotonic() + timeout, std::move(done)});
      wake_.notify_one();
      return;
    }
  }
  done();
}

bool LogStore::Enqueue(std::function<void()> work) {
  std::lock_guard lock(mutex_);
  if (stop_) return false;
  queue_.push_back(std::move(work));
  wake_.notify_one();
  return true;
}

void LogStore::Stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

std::vector<std::function<void()>> LogStore::TakeWaiters(const std::string& job, bool all) {
  std::vector<std::function<void()>> taken;
  const absl::Duration now = clock_.Monotonic();
  std::lock_guard lock(mutex_);
  for (auto it = waiters_.begin(); it != waiters_.end();) {
    if (!all && it->job != job && it->until > now) {
      ++it;
      continue;
    }
    taken.push_back(std::move(it->done));
    it = waiters_.erase(it);
  }
  return taken;
}

void LogStore::Run() {
  while (true) {
    std::deque<std::function<void()>> work;
    bool stop = false;
    {
      std::unique_lock lock(mutex_);
      absl::Duration wait = absl::Hours(1);
      for (const Waiter& waiter : waiters_) {
        wait = std::min(wait, waiter.until - clock_.Monotonic());
      }
      if (queue_.empty() && !stop_ && wait > absl::ZeroDuration()) {
        wake_.wait_for(lock, absl::ToChronoMilliseconds(absl::Ceil(wait, absl::Milliseconds(1))));
      }
      work.swap(queue_);
      stop = stop_;
    }
    for (const auto& item : work) item();
    for (const auto& waiter : TakeWaiters("", stop)) waiter();
    if (stop) return;
  }
}

std::string LogStore::FolderOf(const std::string& job) const {
  return absl::StrCat(options_.folder, "/", job);
}

absl::StatusOr<int64_t> LogStore::AppendNow(const LogKey& key, int64_t offset,
                                            const std::string& data) {
  const std::string folder = FolderOf(key.job);
  const std::string path = absl::StrCat(folder, "/", LogFileName(key.generation, key.rank));
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  if (!fd.valid() && errno == ENOENT) {
    IJEPA_RETURN_IF_ERROR(MakeFolders(folder));
    fd.Reset(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  }
  if (!fd.valid()) return ErrnoStatus(errno, "open", path);
  const int64_t size = lseek(fd.get(), 0, SEEK_END);
  if (size < 0) return ErrnoStatus(errno, "seek", path);
  const int64_t end = offset + static_cast<int64_t>(data.size());
  if (size >= options_.max_file_bytes) return std::max(size, end);
  if (offset < 0 || offset > size || end <= size) return size;
  IJEPA_RETURN_IF_ERROR(
      WriteAll(fd.get(), absl::string_view(data).substr(static_cast<size_t>(size - offset)), path));
  return end;
}

absl::StatusOr<LogPage> LogStore::ReadNow(const LogQuery& query, LogCursor cursor) {
  std::vector<LogFile> files = ListLogFiles(FolderOf(query.job));
  files.erase(std::remove_if(files.begin(), files.end(),
                             [&](const LogFile& file) { return !Wanted(query, file); }),
              files.end());
  if (!cursor.started) {
    cursor.started = true;
    if (query.tail_lines > 0) {
      IJEPA_RETURN_IF_ERROR(StartAtTail(files, query.tail_lines, cursor));
    }
  }
  LogPage page;
  int64_t left = kPageBytes;
  for (const LogFile& file : files) {
    int64_t& offset = cursor.offsets[{file.generation, file.rank}];
    while (left > 0) {
      const int64_t before = offset;
      IJEPA_RETURN_IF_ERROR(ReadLines(file, kPageBytes, query.complete, offset, page.lines));
      left -= offset - before;
      if (offset == before) break;
    }
  }
  page.cursor = std::move(cursor);
  return page;
}

}  // namespace ijepa::coordinator
