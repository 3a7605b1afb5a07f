// Threads take the next index; sums are whole numbers, so that their order does not show.
#include "worker/jepa/data/survey.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "common/check.h"
#include "worker/jepa/data/decode.h"
#include "worker/jepa/data/task_threads.h"

namespace jepa {
namespace {

constexpr size_t kMaxChannels = 4;
__extension__ typedef unsigned __int128 Whole;  // Squares of 16 bits over many images.

struct Sums {
  int64_t images = 0;
  int64_t bytes = 0;
  uint64_t pixels = 0;
  int min_side = 0;
  int max_side = 0;
  std::array<Whole, kMaxChannels> sum{};
  std::array<Whole, kMaxChannels> squares{};
  std::vector<BadFile> bad;

  void Add(const Sums& other) {
    if (other.images > 0) {
      min_side = images == 0 ? other.min_side : std::min(min_side, other.min_side);
      max_side = std::max(max_side, other.max_side);
    }
    images += other.images;
    bytes += other.bytes;
    pixels += other.pixels;
    for (size_t c = 0; c < kMaxChannels; ++c) {
      sum[c] += other.sum[c];
      squares[c] += other.squares[c];
    }
    bad.insert(bad.end(), other.bad.begin(), other.bad.end());
  }
};

// Sums of the rows of one image.
class RowSums final : public RowSink {
 public:
  RowSums(int width, const PixelFormat& format) : width_(width), format_(format) {}
  void Row(const uint8_t* pixels) override {
    if (format_.bit_depth == 16) {
      Add<uint16_t>(pixels);
    } else {
      Add<uint8_t>(pixels);
    }
  }
  std::array<Whole, kMaxChannels> sum{};
  std::array<Whole, kMaxChannels> squares{};

 private:
  template <typename Value>
  void Add(const uint8_t* pixels) {
    const auto channels = static_cast<size_t>(format_.channels);
    std::array<uint64_t, kMaxChannels> row{};
    std::array<uint64_t, kMaxChannels> row_squares{};
    for (int x = 0; x < width_; ++x) {
      for (size_t c = 0; c < channels; ++c, pixels += sizeof(Value)) {
        Value value;
        std::memcpy(&value, pixels, sizeof(value));
        row[c] += value;
        row_squares[c] += static_cast<uint64_t>(value) * value;
      }
    }
    for (size_t c = 0; c < channels; ++c) {
      sum[c] += row[c];
      squares[c] += row_squares[c];
    }
  }

  const int width_;
  const PixelFormat& format_;
};

absl::Status LookAt(absl::string_view bytes, const PixelFormat& format, ImageReader& reader,
                    Sums& image) {
  reader.set_format(format);
  const absl::StatusOr<Size> size = reader.Open(bytes);
  if (!size.ok()) return size.status();
  RowSums rows(size->width, format);
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

// What one thread works with.
struct Surveyor {
  ImageReader reader;
  std::string bytes;
  Sums sums;

  void Look(const ImageSource& source, const PixelFormat& format, int64_t index) {
    Sums image;
    absl::Status status = source.ReadInto(index, bytes);
    const bool read = status.ok();
    if (read) status = LookAt(bytes, format, reader, image);
    if (!status.ok()) {
      image.bad.push_back({index, BadReasonOf(status, !read), std::string(status.message())});
    }
    sums.Add(image);
  }
};

}  // namespace

Survey SurveyImages(const ImageSource& source, const SurveyOptions& options) {
  std::vector<Surveyor> surveyors(static_cast<size_t>(std::max(options.threads, 1)));
  const absl::Status ran =
      RunTasks({.tasks = source.size(),
                .threads = options.threads,
                .work =
                    [&](int64_t index, int thread) {
                      surveyors[static_cast<size_t>(thread)].Look(source, options.format, index);
                      return absl::OkStatus();
                    },
                .on_progress = options.on_progress});
  IJEPA_CHECK(ran.ok());
  Sums sums;
  for (const Surveyor& surveyor : surveyors) sums.Add(surveyor.sums);
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
  const double peak = options.format.bit_depth == 16 ? 65535 : 255;
  for (size_t c = 0; c < static_cast<size_t>(options.format.channels); ++c) {
    const double mean = static_cast<double>(sums.sum[c]) / pixels;
    const double square = static_cast<double>(sums.squares[c]) / pixels;
    survey.mean.push_back(mean / peak);
    survey.deviation.push_back(std::sqrt(std::max(square - mean * mean, 0.0)) / peak);
  }
  return survey;
}

}  // namespace jepa
