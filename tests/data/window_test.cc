// A window of a file has the bits of the whole image there: for every kind of JPEG, and for files
// from the world where they are at hand.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "common/file.h"
#include "tests/data/test_data.h"
#include "tests/golden/golden.h"
#include "worker/jepa/data/decode.h"
#include "worker/jepa/data/resize_kernels.h"
#include "worker/jepa/plan/random.h"

namespace jepa {
namespace {

// Compares each row with the image's and counts them.
class RowCheck final : public RowSink {
 public:
  RowCheck(const Image& image, const Crop& part) : image_(image), part_(part) {}
  void Row(const uint8_t* pixels) override {
    const size_t at = (static_cast<size_t>(part_.top + rows) * image_.width + part_.left) * 3;
    same = same && std::equal(pixels, pixels + static_cast<size_t>(part_.width) * 3,
                              image_.pixels.data() + at);
    ++rows;
  }
  bool same = true;
  int rows = 0;

 private:
  const Image& image_;
  const Crop part_;
};

Crop RandomWindow(const Image& image, Philox& random) {
  const auto below = [&](int bound) {
    return static_cast<int>(random.Below(static_cast<uint32_t>(bound)));
  };
  Crop part{0, 0, 1 + below(image.height), 1 + below(image.width)};
  part.top = below(image.height - part.height + 1);
  part.left = below(image.width - part.width + 1);
  return part;
}

// False if the file has no image.
bool CheckWindows(const std::string& bytes, int windows, ImageReader& reader) {
  const absl::StatusOr<Image> image = Decode(bytes);
  if (!image.ok()) return false;
  Philox random(7, Purpose::kProbe, bytes.size(), 0);
  for (int i = 0; i < windows; ++i) {
    const Crop part = RandomWindow(*image, random);
    const absl::StatusOr<Size> size = reader.Open(bytes);
    EXPECT_TRUE(size.ok()) << size.status();
    RowCheck check(*image, part);
    const absl::Status status = reader.Read(part, check);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(check.rows, part.height);
    EXPECT_TRUE(check.same) << "window of " << part.height << "x" << part.width << " at "
                            << part.top << "," << part.left << " of " << image->height << "x"
                            << image->width;
  }
  return true;
}

TEST(WindowTest, EqualsTheWholeForEveryKindOfJpeg) {
  ImageReader reader;
  for (const auto& [across, down] :
       std::vector<std::pair<int, int>>{{1, 1}, {2, 1}, {1, 2}, {2, 2}, {4, 1}, {4, 2}}) {
    for (const bool progressive : {false, true}) {
      for (const int restart : {0, 3}) {
        for (const auto& [height, width] :
             std::vector<std::pair<int, int>>{{97, 131}, {160, 224}, {33, 300}, {1, 1}}) {
          const testing::JpegKind kind{across, down, progressive, restart};
          SCOPED_TRACE(kind.Text());
          const std::string bytes = testing::TestJpegOf(testing::TestImage(height, width, 3), kind);
          EXPECT_TRUE(CheckWindows(bytes, 12, reader));
        }
      }
    }
  }
}

TEST(WindowTest, EqualsTheWholeForGreyAndFourColours) {
  ImageReader reader;
  for (const int channels : {1, 4}) {
    testing::JpegKind kind;
    kind.channels = channels;
    const std::string bytes = testing::TestJpegOf(testing::TestImage(90, 140, 3), kind);
    EXPECT_TRUE(CheckWindows(bytes, 20, reader)) << channels;
  }
}

TEST(WindowTest, RefusesWhatIsCutOffWhateverTheWindow) {
  ImageReader reader;
  const std::string whole = testing::TestJpeg(64, 80, 1);
  const Image image = *Decode(whole);
  for (const size_t kept : {whole.size() - 2, whole.size() - 40, whole.size() / 2}) {
    const std::string bytes = whole.substr(0, kept);
    ASSERT_TRUE(reader.Open(bytes).ok());
    const Crop top{0, 0, 2, 80};
    RowCheck check(image, top);
    EXPECT_TRUE(absl::IsDataLoss(reader.Read(top, check))) << kept;
  }
  // The reader is good for the next file.
  EXPECT_TRUE(CheckWindows(whole, 3, reader));
}

TEST(WindowTest, EqualsTheWholeForGoldenFiles) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "h_images");
  const std::filesystem::path folder = goldens.front().folder() + "/files";
  ImageReader reader;
  int checked = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    SCOPED_TRACE(entry.path().string());
    const auto bytes = ijepa::ReadFile(entry.path().string());
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    checked += CheckWindows(*bytes, 40, reader) ? 1 : 0;
  }
  EXPECT_GT(checked, 5);
}

TEST(WindowTest, EqualsTheWholeForPhotographs) {
  const std::string path = testing::SharedData("imagenet-sample-300.tar");
  if (path.empty()) GTEST_SKIP() << "no imagenet-sample-300.tar in IJEPA_TEST_DATA";
  const auto source = OpenImageSource(path);
  ASSERT_TRUE(source.ok()) << source.status();
  ImageReader reader;
  for (int64_t i = 0; i < (*source)->size(); ++i) {
    SCOPED_TRACE((*source)->name(i));
    EXPECT_TRUE(CheckWindows((*source)->Read(i).value(), 3, reader));
  }
}

}  // namespace
}  // namespace jepa
