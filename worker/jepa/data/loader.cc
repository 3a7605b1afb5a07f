// A ring of batches that threads fill image by image, in the order of the job.
//
// Invariants: batches are numbered 0, 1, ... over (step, local shard); delivered_ <= claim_.batch
// <= delivered_ + ring_.size(); an image is claimed once; a slot is taken again only after its
// batch was delivered.
#include "worker/jepa/data/loader.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/log.h"
#include "worker/jepa/data/sample_view.h"
#include "worker/jepa/data/stall_watch.h"

namespace jepa {
namespace {

constexpr int kStepsAhead = 3;
constexpr int kNice = 10;  // Decoding yields to the trainer.
constexpr int kMaxNotes = 20;
constexpr int kAlwaysForgiven = 10;  // Bad images before max_bad_fraction counts.
constexpr std::chrono::milliseconds kLookAtClock(100);

// The bad images met while making one image of a batch.
struct BadImages {
  int image = 0;
  std::vector<BadImage> found;
};

struct Slot {
  std::vector<uint8_t> pixels;
  int finished = 0;
  std::vector<BadImages> bad;
  absl::Status status;
};

class RingLoader final : public Loader {
 public:
  RingLoader(const LoaderOptions& options, const ImageSource& source, RunHost& host);
  ~RingLoader() override;

  absl::StatusOr<Batch> Next() override;
  void Recycle(Batch batch) override;
  LoaderStats stats() const override { return stats_; }

 private:
  struct Claim {
    int64_t batch = 0;
    int image = 0;
  };
  using Lock = std::unique_lock<std::mutex>;

  int64_t StepOf(int64_t batch) const {
    return options_.first_step + batch / static_cast<int64_t>(options_.local_shards.size());
  }
  int ShardOf(int64_t batch) const {
    return options_.local_shards[batch % options_.local_shards.size()];
  }
  Slot& SlotOf(int64_t batch) { return ring_[batch % ring_.size()]; }
  bool HeadIsReady() {
    return delivered_ < claim_.batch && SlotOf(delivered_).finished == options_.data.batch_size;
  }
  bool MayClaim() const {
    return claim_.batch < total_ && claim_.batch < delivered_ + static_cast<int64_t>(ring_.size());
  }

  void StartThreads();
  void ThreadLoop(size_t thread);
  // Makes the next image; the lock is let go meanwhile.
  void MakeOne(Lock& lock, ViewTools& tools, std::optional<size_t> thread);
  Claim TakeClaim();
  absl::Status WaitForHead(Lock& lock);
  // Brings stats_ up to date; under the lock.
  void CountReady();
  // Counts and tells the bad images of a batch. Consumer only.
  absl::Status Account(int64_t step, std::vector<BadImages>& bad);

  const LoaderOptions options_;
  const ImageSource& source_;
  RunHost& host_;
  ijepa::Clock& clock_;
  const SamplePlan plan_;
  SampleViews views_;  // Constant once the threads start.
  const size_t view_bytes_;
  const int64_t total_;  // Batches of the whole run.

  // The consumer's own.
  ViewTools tools_;  // Without threads.
  LoaderStats stats_;
  int64_t seen_ = 0;
  int notes_ = 0;
  absl::Status failure_;

  std::mutex mutex_;  // Guards what follows, but for the pixels of claimed images.
  std::condition_variable finished_one_;
  std::condition_variable space_;
  std::vector<Slot> ring_;
  std::vector<std::vector<uint8_t>> spare_;
  BusyThreads busy_;
  Claim claim_;  // The next image to make.
  int64_t delivered_ = 0;
  int64_t finished_images_ = 0;
  int64_t bytes_read_ = 0;
  absl::Duration work_;
  absl::Duration reading_;
  bool stopping_ = false;

  std::vector<std::thread> threads_;  // Last: they use all of the above.
};

RingLoader::RingLoader(const LoaderOptions& options, const ImageSource& source, RunHost& host)
    : options_(options),
      source_(source),
      host_(host),
      clock_(options.clock != nullptr ? *options.clock : ijepa::Clock::Real()),
      plan_{options.shards, options.data.batch_size, options.steps_per_epoch},
      views_(options_.data, options.seed, source),
      view_bytes_(ViewBytes(options.data)),
      total_(std::max<int64_t>(options.last_step - options.first_step, 0) *
             static_cast<int64_t>(options.local_shards.size())),
      busy_(static_cast<size_t>(std::max(options.data.num_workers, 0))) {
  IJEPA_CHECK(source.size() > 0 && options.data.batch_size > 0 && view_bytes_ > 0);
  IJEPA_CHECK(!options.local_shards.empty() && options.steps_per_epoch > 0);
  views_.set_retry_delay(options.retry_delay);
  views_.set_clock(clock_);
  const bool ahead = options.data.num_workers > 0;
  ring_.resize(ahead ? kStepsAhead * options.local_shards.size() : 1);
  StartThreads();
}

RingLoader::~RingLoader() {
  {
    const Lock lock(mutex_);
    stopping_ = true;
  }
  space_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

// Where the system gives no thread at all, Next decodes, as with num_workers 0.
void RingLoader::StartThreads() {
  const size_t wanted = static_cast<size_t>(std::max(options_.data.num_workers, 0));
  threads_.reserve(wanted);
  try {
    while (threads_.size() < wanted) {
      threads_.emplace_back(&RingLoader::ThreadLoop, this, threads_.size());
    }
  } catch (const std::system_error& error) {
    ijepa::LogWarning("loader: ", threads_.size(), " of ", wanted,
                      " decoding threads started: ", error.what());
  }
}

void RingLoader::ThreadLoop(size_t thread) {
  setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), kNice);
  ViewTools tools;
  Lock lock(mutex_);
  while (!stopping_) {
    if (MayClaim()) {
      MakeOne(lock, tools, thread);
    } else {
      space_.wait(lock);
    }
  }
}

RingLoader::Claim RingLoader::TakeClaim() {
  const Claim claim = claim_;
  if (claim.image == 0) {
    Slot& slot = SlotOf(claim.batch);
    slot = Slot();
    if (!spare_.empty()) {
      slot.pixels = std::move(spare_.back());
      spare_.pop_back();
    }
    slot.pixels.resize(view_bytes_ * options_.data.batch_size);
  }
  if (++claim_.image == options_.data.batch_size) claim_ = {claim.batch + 1, 0};
  return claim;
}

void RingLoader::MakeOne(Lock& lock, ViewTools& tools, std::optional<size_t> thread) {
  const Claim claim = TakeClaim();
  const Sample sample = plan_.At(StepOf(claim.batch), ShardOf(claim.batch), claim.image);
  if (thread.has_value()) busy_.Begin(*thread, views_.IndexOf(sample), clock_.Monotonic());
  uint8_t* planes = SlotOf(claim.batch).pixels.data() + view_bytes_ * claim.image;
  lock.unlock();
  std::vector<BadImage> bad;
  const absl::Duration begin = clock_.Monotonic();
  absl::Status status = views_.Write(sample, tools, planes, bad);
  const absl::Duration work = clock_.Monotonic() - begin;
  lock.lock();
  work_ += work;
  reading_ += tools.reading;
  bytes_read_ += static_cast<int64_t>(tools.bytes.size());
  if (thread.has_value()) busy_.End(*thread);
  Slot& slot = SlotOf(claim.batch);
  if (!bad.empty()) slot.bad.push_back({claim.image, std::move(bad)});
  slot.status.Update(status);
  ++slot.finished;
  ++finished_images_;
  if (claim.batch == delivered_ && slot.finished == options_.data.batch_size) {
    finished_one_.notify_one();
  }
}

absl::Status RingLoader::WaitForHead(Lock& lock) {
  StallWatch watch(clock_, finished_images_);
  while (!HeadIsReady()) {
    finished_one_.wait_for(lock, kLookAtClock);
    if (HeadIsReady()) break;
    const StallWatch::State state = watch.Look(finished_images_);
    if (state == StallWatch::State::kHangs) return StallWatch::Failure(busy_.Slowest(source_));
    if (state == StallWatch::State::kStalled) {
      const std::string line = StallWatch::Line(busy_.Slowest(source_));
      const int64_t step = StepOf(delivered_);
      lock.unlock();
      host_.Note("DATA_STALLED", line, step);
      lock.lock();
    }
  }
  return absl::OkStatus();
}

absl::Status RingLoader::Account(int64_t step, std::vector<BadImages>& bad) {
  std::sort(bad.begin(), bad.end(),
            [](const BadImages& a, const BadImages& b) { return a.image < b.image; });
  seen_ += options_.data.batch_size;
  std::string last;
  for (BadImages& image : bad) {
    for (BadImage& found : image.found) {
      ++stats_.bad_images;
      ++stats_.bad_reasons[static_cast<size_t>(found.reason)];
      if (notes_++ < kMaxNotes) host_.Note("BAD_IMAGE", found.line, step);
      last = std::move(found.line);
    }
  }
  const double allowed = options_.data.max_bad_fraction * static_cast<double>(seen_);
  if (stats_.bad_images > kAlwaysForgiven && static_cast<double>(stats_.bad_images) > allowed) {
    return absl::DataLossError(absl::StrCat(
        stats_.bad_images, " of ", seen_, " images could not be read; data.max_bad_fraction is ",
        options_.data.max_bad_fraction, "; repair the data or raise it; the last: ", last));
  }
  return absl::OkStatus();
}

void RingLoader::CountReady() {
  stats_.images = finished_images_;
  stats_.bytes_read = bytes_read_;
  stats_.work = work_;
  stats_.reading = reading_;
  stats_.max_batches = static_cast<int>(ring_.size());
  stats_.ready_batches = 0;
  for (int64_t batch = delivered_; batch < claim_.batch; ++batch) {
    stats_.ready_batches += SlotOf(batch).finished == options_.data.batch_size ? 1 : 0;
  }
}

absl::StatusOr<Batch> RingLoader::Next() {
  if (!failure_.ok()) return failure_;
  const absl::Duration begin = clock_.Monotonic();
  Slot slot;
  Batch batch;
  {
    Lock lock(mutex_);
    if (delivered_ == total_) {
      return absl::OutOfRangeError(absl::StrCat("step ", options_.last_step, " is the last"));
    }
    if (threads_.empty()) {
      while (!HeadIsReady()) MakeOne(lock, tools_, std::nullopt);
    } else if (const absl::Status status = WaitForHead(lock); !status.ok()) {
      stats_.wait += clock_.Monotonic() - begin;
      return status;
    }
    CountReady();
    slot = std::move(SlotOf(delivered_));
    batch.step = StepOf(delivered_);
    batch.shard = ShardOf(delivered_);
    ++delivered_;
  }
  space_.notify_all();
  stats_.wait += clock_.Monotonic() - begin;
  failure_ = Account(batch.step, slot.bad);
  failure_.Update(slot.status);
  if (!failure_.ok()) return failure_;
  batch.images = options_.data.batch_size;
  batch.pixels = std::move(slot.pixels);
  return batch;
}

void RingLoader::Recycle(Batch batch) {
  const Lock lock(mutex_);
  const bool fits = batch.pixels.size() == view_bytes_ * options_.data.batch_size;
  // As many as the ring and the consumer can hold together: where the consumer has emptied the
  // ring, one thrown away would be made anew, and the allocator may keep both.
  if (fits && spare_.size() <= ring_.size()) spare_.push_back(std::move(batch.pixels));
}

}  // namespace

std::unique_ptr<Loader> NewLoader(const LoaderOptions& options, const ImageSource& source,
                                  RunHost& host) {
  return std::make_unique<RingLoader>(options, source, host);
}

}  // namespace jepa
