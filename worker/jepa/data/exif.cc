// JPEG segments up to the first scan, then the first directory of the TIFF in APP1 (EXIF 2.3, 4.5
// and 4.6.2). Every offset is checked: files come from outside.
#include "worker/jepa/data/exif.h"

#include <cstdint>
#include <cstring>
#include <utility>

namespace jepa {
namespace {

constexpr int kUpright = 1;
constexpr uint32_t kOrientationTag = 0x0112;
constexpr uint32_t kShort = 3;

// Numbers of a TIFF in its byte order; 0 beyond the end.
class TiffBytes {
 public:
  explicit TiffBytes(absl::string_view bytes)
      : bytes_(bytes),
        big_(bytes.substr(0, 2) == "MM"),
        valid_(big_ || bytes.substr(0, 2) == "II") {}
  bool valid() const { return valid_ && Number(2, 2) == 42; }
  uint32_t Number(size_t at, size_t count) const {
    if (at > bytes_.size() || count > bytes_.size() - at) return 0;
    uint32_t value = 0;
    for (size_t i = 0; i < count; ++i) {
      const size_t place = big_ ? at + i : at + count - 1 - i;
      value = (value << 8) | static_cast<uint8_t>(bytes_[place]);
    }
    return value;
  }

 private:
  absl::string_view bytes_;
  bool big_;
  bool valid_;
};

int OrientationOfTiff(absl::string_view bytes) {
  const TiffBytes tiff(bytes);
  if (!tiff.valid()) return kUpright;
  const size_t directory = tiff.Number(4, 4);
  const size_t entries = tiff.Number(directory, 2);
  for (size_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + i * 12;
    if (entry + 12 > bytes.size()) break;
    if (tiff.Number(entry, 2) != kOrientationTag) continue;
    if (tiff.Number(entry + 2, 2) != kShort) break;
    const uint32_t value = tiff.Number(entry + 8, 2);
    if (value >= 1 && value <= 8) return static_cast<int>(value);
    break;
  }
  return kUpright;
}

}  // namespace

int ExifOrientation(absl::string_view jpeg) {
  constexpr uint8_t kApp1 = 0xe1, kScan = 0xda, kEnd = 0xd9;
  size_t at = 2;  // After the marker of the start.
  while (at + 4 <= jpeg.size() && static_cast<uint8_t>(jpeg[at]) == 0xff) {
    const auto marker = static_cast<uint8_t>(jpeg[at + 1]);
    if (marker == 0xff) {  // Fill bytes may come before a marker.
      ++at;
      continue;
    }
    if (marker == kScan || marker == kEnd) break;
    const size_t size = static_cast<size_t>(static_cast<uint8_t>(jpeg[at + 2])) << 8 |
                        static_cast<uint8_t>(jpeg[at + 3]);
    if (size < 2) break;
    const absl::string_view data = jpeg.substr(at + 4, size - 2);
    const absl::string_view name("Exif\0\0", 6);
    if (marker == kApp1 && data.substr(0, 6) == name) return OrientationOfTiff(data.substr(6));
    at += 2 + size;
  }
  return kUpright;
}

Image Oriented(Image image, int orientation) {
  if (orientation <= kUpright || orientation > 8) return image;
  // Of the output: whether rows come from columns, and which ends are swapped in the input.
  const bool turned = orientation >= 5;
  const bool from_right = orientation == 2 || orientation == 3 || orientation >= 7;
  const bool from_bottom =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Image out{turned ? image.width : image.height, turned ? image.height : image.width,
            std::vector<uint8_t>(image.pixels.size())};
  uint8_t* target = out.pixels.data();
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x, target += 3) {
      int row = turned ? x : y;
      int column = turned ? y : x;
      if (from_bottom) row = image.height - 1 - row;
      if (from_right) column = image.width - 1 - column;
      std::memcpy(target,
                  image.pixels.data() + (static_cast<size_t>(row) * image.width + column) * 3, 3);
    }
  }
  return out;
}

}  // namespace jepa
