// Threads take the next index; sums are whole numbers, so that their order does not show.
#include "worker/jepa/data/survey.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "worker/jepa/data/decode.h"

namespace jepa {
namespace {

constexpr std::chrono::milliseconds kProgressEvery(100);

struct Sums {
  int64_t images = 0;
  int64_t bytes = 0;
  uint64_t pixels = 0;
  int min_side = 0;
  int max_side = 0;
  std::array<uint64_t, 3> sum{};
  std::array<uint64_t, 3> squares{};
  std::vector<BadFile> bad;

  void Add(const Sums& other) {
    if (other.images > 0) {
      min_side = images == 0 ? other.min_side : std::min(min_side, other.min_side);
      max_side = std::max(max_side, other.max_side);
    }
    images += other.images;
    bytes += other.bytes;
    pixels += other.pixels;
    for (size_t c = 0; c < 3; ++c) {
      sum[c] += other.sum[c];
      squares[c] += other.squares[c];
    }
    bad.insert(bad.end(), other.bad.begin(), other.bad.end());
  }
};

// Sums of the rows of one image.
class RowSums final : public RowSink {
 public:
  explicit RowSums(int width) : width_(width) {}
  void Row(const uint8_t* pixels) override {
    for (int x = 0; x < width_; ++x, pixels += 3) {
      for (size_t c = 0; c < 3; ++c) {
        sum[c] += pixels[c];
        squares[c] += static_cast<uint64_t>(pixels[c]) * pixels[c];
      }
    }
  }
  std::array<uint64_t, 3> sum{};
  std::array<uint64_t, 3> squares{};

 private:
  const int width_;
};

absl::Status LookAt(absl::string_view bytes, ImageReader& reader, Sums& image) {
  const absl::StatusOr<Size> size = reader.Open(bytes);
  if (!size.ok()) return size.status();
  RowSums rows(size->width);
  const absl::Status status = reader.Read({0, 0, size->height, size->width}, rows);
  if (!status.ok()) return status;
  image.images = 1;
  image.bytes = static_cast<int64_t>(bytes.size());
  image.pixels = static_cast<uint64_t>(size->height) * static_cast<uint64_t>(size->width);
  image.min_side = std::min(size->height, size->width);
  image.max_side = std::max(size->height, size->width);
  image.sum = rows.sum;
  image.squares = rows.squares;
  return status;
}

class Surveyor {
 public:
  explicit Surveyor(const ImageSource& source) : source_(source) {}

  Sums Run(const SurveyOptions& options) {
    std::vector<std::thread> threads;
    running_ = std::clamp(options.threads, 1, 64);
    for (int i = 0; i < std::clamp(options.threads, 1, 64); ++i) {
      threads.emplace_back(&Surveyor::Work, this);
    }
    {
      std::unique_lock<std::mutex> lock(mutex_);
      while (!ended_.wait_for(lock, kProgressEvery, [this] { return running_ == 0; })) {
        if (options.on_progress) options.on_progress(std::min(next_.load(), source_.size()));
      }
    }
    for (std::thread& thread : threads) thread.join();
    if (options.on_progress) options.on_progress(source_.size());
    return std::move(total_);
  }

 private:
  void Work() {
    ImageReader reader;
    std::string bytes;
    Sums mine;
    for (int64_t i = next_++; i < source_.size(); i = next_++) {
      Sums image;
      absl::Status status = source_.ReadInto(i, bytes);
      const bool read = status.ok();
      if (read) status = LookAt(bytes, reader, image);
      if (!status.ok()) {
        image.bad.push_back({i, BadReasonOf(status, !read), std::string(status.message())});
      }
      mine.Add(image);
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    total_.Add(mine);
    --running_;
    ended_.notify_one();
  }

  const ImageSource& source_;
  std::atomic<int64_t> next_{0};
  std::mutex mutex_;  // Guards what follows.
  std::condition_variable ended_;
  int running_ = 0;
  Sums total_;
};

}  // namespace

Survey SurveyImages(const ImageSource& source, const SurveyOptions& options) {
  Sums sums = Surveyor(source).Run(options);
  std::sort(sums.bad.begin(), sums.bad.end(),
            [](const BadFile& a, const BadFile& b) { return a.index < b.index; });
  Survey survey;
  survey.images = sums.images;
  survey.bytes = sums.bytes;
  survey.bad = std::move(sums.bad);
  survey.min_side = sums.min_side;
  survey.max_side = sums.max_side;
  if (sums.images == 0) return survey;
  const auto pixels = static_cast<double>(sums.pixels);
  survey.mean_pixels = pixels / static_cast<double>(sums.images);
  for (size_t c = 0; c < 3; ++c) {
    const double mean = static_cast<double>(sums.sum[c]) / pixels;
    const double square = static_cast<double>(sums.squares[c]) / pixels;
    survey.mean[c] = mean / 255;
    survey.deviation[c] = std::sqrt(std::max(square - mean * mean, 0.0)) / 255;
  }
  return survey;
}

}  // namespace jepa
