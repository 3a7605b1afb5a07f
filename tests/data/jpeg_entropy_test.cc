// Our entropy decoder against libjpeg's own: the same pixels of whole and of damaged files.
#include "worker/jepa/data/jpeg_entropy.h"

#include <gtest/gtest.h>

#include <optional>

#include "absl/strings/str_cat.h"
#include "tests/data/test_data.h"
#include "worker/jepa/data/decode.h"
#include "worker/jepa/data/image_source.h"
#include "worker/jepa/data/jpeg_error.h"
#include "worker/jepa/plan/random.h"

namespace jepa {
namespace {

using testing::JpegKind;
using testing::TestImage;
using testing::TestJpegOf;

// What libjpeg alone makes of `bytes`, with the settings of the reader; nothing if it fails.
class Libjpeg {
 public:
  Libjpeg() { InstallHandlers(error_); }

  std::optional<Image> Decode(const std::string& bytes) {
    info_.err = &error_.base;
    const bool whole = Run(bytes);
    jpeg_destroy_decompress(&info_);
    if (!whole) return std::nullopt;
    return image_;
  }

 private:
  bool Run(const std::string& bytes) {
    if (setjmp(error_.jump) != 0) return false;
    jpeg_create_decompress(&info_);
    jpeg_mem_src(&info_, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    jpeg_read_header(&info_, TRUE);
    if (info_.num_components == 4) return false;
    info_.out_color_space = JCS_RGB;
    info_.dct_method = JDCT_ISLOW;
    jpeg_start_decompress(&info_);
    image_.height = static_cast<int>(info_.output_height);
    image_.width = static_cast<int>(info_.output_width);
    image_.pixels.resize(size_t{3} * image_.height * image_.width);
    while (info_.output_scanline < info_.output_height) {
      uint8_t* row = image_.pixels.data() + size_t{3} * image_.width * info_.output_scanline;
      jpeg_read_scanlines(&info_, &row, 1);
    }
    return true;
  }

  JpegError error_{};
  jpeg_decompress_struct info_{};
  Image image_;
};

void ExpectAsLibjpeg(const std::string& bytes, const std::string& what) {
  const std::optional<Image> expected = Libjpeg().Decode(bytes);
  const auto actual = Decode(bytes);
  ASSERT_EQ(actual.ok(), expected.has_value()) << what << ": " << actual.status();
  if (expected.has_value()) {
    EXPECT_TRUE(actual->pixels == expected->pixels) << what;
  }
}

std::vector<JpegKind> Kinds() {
  std::vector<JpegKind> kinds;
  for (const int across : {1, 2, 4}) {
    for (const int down : {1, 2}) {
      for (const int restart_rows : {0, 1}) {
        kinds.push_back({.across = across, .down = down, .restart_rows = restart_rows});
      }
    }
  }
  kinds.push_back({.channels = 1});
  return kinds;
}

TEST(JpegEntropyTest, GivesThePixelsOfLibjpegForEveryKind) {
  for (const JpegKind& kind : Kinds()) {
    for (const auto& [height, width] : {std::pair(8, 8), std::pair(33, 70), std::pair(130, 97)}) {
      const std::string jpeg = TestJpegOf(TestImage(height, width, /*seed=*/3), kind);
      ExpectAsLibjpeg(jpeg, absl::StrCat(kind.Text(), " ", height, " x ", width));
    }
  }
}

// Noise has long codes and large numbers.
TEST(JpegEntropyTest, GivesThePixelsOfLibjpegForNoise) {
  Philox random(1, Purpose::kProbe, 0, 0);
  Image noise{64, 64, std::vector<uint8_t>(size_t{3} * 64 * 64)};
  for (uint8_t& value : noise.pixels) value = static_cast<uint8_t>(random.Below(2) * 255);
  for (const JpegKind& kind : Kinds()) ExpectAsLibjpeg(TestJpegOf(noise, kind), kind.Text());
}

// Codes that do not exist, markers in the middle, restarts out of order, ends without an end: what
// libjpeg makes of these is kept, to the bit.
TEST(JpegEntropyTest, LeavesWhatIsOddToLibjpeg) {
  Philox random(2, Purpose::kProbe, 0, 0);
  const std::vector<JpegKind> kinds = Kinds();
  for (uint32_t round = 0; round < 1500; ++round) {
    std::string bytes = TestJpegOf(TestImage(40, 50, round), kinds[round % kinds.size()]);
    const size_t scan = bytes.find("\xff\xda") + 14;
    const auto place = [&] {
      return scan + random.Below(static_cast<uint32_t>(bytes.size() - scan));
    };
    const uint32_t damage = random.Below(4);
    if (damage == 0) bytes.resize(place());
    if (damage == 1) bytes.erase(place(), 1 + random.Below(20));
    if (damage == 2) bytes[place()] = '\xff';
    for (uint32_t i = 0; i <= random.Below(4) && damage != 0; ++i) {
      bytes[place()] = static_cast<char>(random.Below(256));
    }
    ExpectAsLibjpeg(bytes, absl::StrCat("round ", round));
  }
}

// Of the code no bits are a beginning.
TEST(JpegEntropyTest, LeavesACodeWithoutSymbolsToLibjpeg) {
  std::string bytes = TestJpegOf(TestImage(40, 50, /*seed=*/4), {.channels = 1});
  const size_t table =
      bytes.find(std::string("\xff\xc4\x00\xb5\x10", 5));  // Of the AC coefficients.
  ASSERT_NE(table, std::string::npos);
  bytes.replace(table + 2, 0xb5, std::string({'\x00', '\x13', '\x10'}) + std::string(16, '\0'));
  ExpectAsLibjpeg(bytes, "a code without symbols");
}

TEST(JpegEntropyTest, GivesThePixelsOfLibjpegForPhotographs) {
  const std::string path = testing::SharedData("imagenet-sample-300.tar");
  if (path.empty()) GTEST_SKIP() << "imagenet-sample-300.tar is not there";
  const auto source = OpenImageSource(path);
  ASSERT_TRUE(source.ok()) << source.status();
  for (int64_t i = 0; i < (*source)->size(); i += 6) {
    ExpectAsLibjpeg((*source)->Read(i).value(), (*source)->name(i));
  }
}

}  // namespace
}  // namespace jepa
