// Decoding, cropping, resizing and colour against the reference's pixels, file by file.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "common/file.h"
#include "tests/golden/golden.h"
#include "worker/jepa/data/color.h"
#include "worker/jepa/data/decode.h"
#include "worker/jepa/data/random_crop.h"
#include "worker/jepa/plan/torch_generator.h"

namespace jepa {
namespace {

using testing::Golden;

std::string FileBytes(const Golden& golden, const std::string& file) {
  const auto bytes = ijepa::ReadFile(golden.folder() + "/files/" + file);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  return bytes.ok() ? *bytes : "";
}

Image DecodeFile(const Golden& golden, const std::string& file) {
  auto image = Decode(FileBytes(golden, file));
  EXPECT_TRUE(image.ok()) << file << ": " << image.status();
  return image.ok() ? *std::move(image) : Image();
}

Image Mirrored(Image image) {
  for (int y = 0; y < image.height; ++y) {
    for (int left = 0, right = image.width - 1; left < right; ++left, --right) {
      uint8_t* row = image.pixels.data() + static_cast<size_t>(y) * image.width * 3;
      std::swap_ranges(row + left * 3, row + left * 3 + 3, row + right * 3);
    }
  }
  return image;
}

// Greatest difference of one value.
int Distance(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b) {
  if (a.size() != b.size()) return 256;
  int greatest = 0;
  for (size_t i = 0; i < a.size(); ++i) greatest = std::max(greatest, std::abs(a[i] - b[i]));
  return greatest;
}

void ExpectNormalised(const Image& image, const std::vector<float>& expected,
                      const nlohmann::json& json) {
  const size_t plane = image.pixels.size() / 3;
  ASSERT_EQ(expected.size(), image.pixels.size());
  double greatest = 0;
  for (size_t i = 0; i < plane; ++i) {
    for (size_t c = 0; c < 3; ++c) {
      const float value =
          (static_cast<float>(image.pixels[i * 3 + c]) / 255.0f - kImageMean[c]) / kImageStd[c];
      greatest = std::max<double>(greatest, std::abs(value - expected[c * plane + i]));
    }
  }
  EXPECT_LE(greatest, 1e-6);
  for (size_t c = 0; c < 3; ++c) {
    EXPECT_FLOAT_EQ(json["mean"][c].get<float>(), kImageMean[c]);
    EXPECT_FLOAT_EQ(json["std"][c].get<float>(), kImageStd[c]);
  }
}

void CheckCrops(const Golden& golden) {
  for (const auto& [file, about] : golden.json()["files"].items()) {
    SCOPED_TRACE(file);
    const Image image = DecodeFile(golden, file);
    EXPECT_EQ(image.width, about["width"].get<int>());
    EXPECT_EQ(image.height, about["height"].get<int>());
    EXPECT_EQ(Distance(image.pixels, golden.Bytes("decoded." + file)), 0);
  }
  for (const auto& box : golden.json()["cases"]) {
    const std::string key = box["key"];
    SCOPED_TRACE(key);
    const Image image = DecodeFile(golden, box["file"]);
    const Crop crop{box["top"], box["left"], box["height"], box["width"]};
    Image view = CropAndResize(image, crop, box["size"], box["size"]);
    if (box["flip"].get<bool>()) view = Mirrored(std::move(view));
    EXPECT_EQ(Distance(view.pixels, golden.Bytes("resized." + key)), 0);
    if (golden.Has("normalized." + key)) {
      ExpectNormalised(view, golden.Floats("normalized." + key), golden.json());
    }
  }
}

TEST(GoldenImagesTest, DecodesCropsAndResizesBitForBit) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "h_images");
  int checked = 0;
  for (const Golden& golden : goldens) {
    if (!golden.json().contains("cases")) continue;
    CheckCrops(golden);
    ++checked;
  }
  EXPECT_GT(checked, 0);
}

TEST(GoldenImagesTest, RejectsWhatTheReferenceRejects) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "h_images");
  int checked = 0;
  for (const Golden& golden : goldens) {
    if (!golden.json().contains("expected_errors")) continue;
    for (const auto& [file, error] : golden.json()["expected_errors"].items()) {
      const auto image = Decode(FileBytes(golden, file));
      EXPECT_TRUE(absl::IsDataLoss(image.status())) << file << ": " << image.status();
      ++checked;
    }
  }
  EXPECT_GT(checked, 0);
}

bool Apply(const nlohmann::json& operation, Image& image) {
  const std::string name = operation["op"];
  const double factor = operation.value("factor", operation.value("radius", 0.0));
  if (name == "brightness") {
    AdjustBrightness(static_cast<float>(factor), image);
  } else if (name == "contrast") {
    AdjustContrast(static_cast<float>(factor), image);
  } else if (name == "saturation") {
    AdjustSaturation(static_cast<float>(factor), image);
  } else if (name == "hue") {
    AdjustHue(factor, image);
  } else if (name == "grayscale to 3 channels") {
    ToGrey(image);
  } else if (name == "gaussian blur") {
    GaussianBlur(static_cast<float>(factor), image);
  } else {
    return false;
  }
  return true;
}

TEST(GoldenImagesTest, ColourOperationsEqualThoseOfPillow) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "h_images");
  int checked = 0;
  for (const Golden& golden : goldens) {
    if (!golden.json().contains("ops")) continue;
    const std::vector<int64_t> shape = golden.Shape("input");
    for (const auto& operation : golden.json()["ops"]) {
      const std::string key = operation["key"];
      Image image{static_cast<int>(shape[0]), static_cast<int>(shape[1]), golden.Bytes("input")};
      ASSERT_TRUE(Apply(operation, image)) << key;
      EXPECT_EQ(Distance(image.pixels, golden.Bytes(key)), 0) << key;
      ++checked;
    }
  }
  EXPECT_GT(checked, 0);
}

// torch's generator behind DrawCrop's two calls, in its fp32.
class TorchDraws {
 public:
  explicit TorchDraws(uint64_t seed) : generator_(seed) {}
  double Uniform(double low, double high) {
    const auto from = static_cast<float>(low);
    return generator_.Rand() * (static_cast<float>(high) - from) + from;
  }
  uint32_t Below(uint32_t bound) { return static_cast<uint32_t>(generator_.RandInt(bound)); }
  float Rand() { return generator_.Rand(); }

 private:
  TorchGenerator generator_;
};

TEST(GoldenImagesTest, CropsFollowTheReferencesLawDrawForDraw) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "h_images");
  int checked = 0;
  for (const Golden& golden : goldens) {
    if (!golden.json().contains("params")) continue;
    for (const auto& about : golden.json()["params"]) {
      const std::vector<int64_t> expected = golden.Ints(about["key"]);
      TorchDraws draws(about["seed"].get<uint64_t>());
      std::vector<int64_t> got;
      while (got.size() < expected.size()) {
        const Crop crop = DrawCrop({about["height"], about["width"]}, {0.3, 1.0}, 1, draws);
        got.insert(got.end(), {crop.top, crop.left, crop.height, crop.width});
      }
      EXPECT_EQ(got, expected) << about["key"];
      ++checked;
    }
  }
  EXPECT_GT(checked, 0);
}

TEST(GoldenImagesTest, WholeRandomTransformEqualsTheReference) {
  IJEPA_GOLDENS_OR_SKIP(goldens, "h_images");
  int checked = 0;
  for (const Golden& golden : goldens) {
    if (!golden.json().contains("pipelines")) continue;
    for (const auto& about : golden.json()["pipelines"]) {
      TorchDraws draws(about["seed"].get<uint64_t>());
      const int size = about["crop_size"];
      for (const std::string file : about["order"]) {
        const std::string key = "pipeline." + about["name"].get<std::string>() + "." + file;
        SCOPED_TRACE(key);
        const Image image = DecodeFile(golden, file);
        const Range scale{about["crop_scale"][0], about["crop_scale"][1]};
        const Crop crop = DrawCrop({image.height, image.width}, scale, 1, draws);
        Image view = CropAndResize(image, crop, size, size);
        if (about.value("horizontal_flip", false) && draws.Rand() < 0.5f) {
          view = Mirrored(std::move(view));
        }
        ExpectNormalised(view, golden.Floats(key),
                         {{"mean", {0.485, 0.456, 0.406}}, {"std", {0.229, 0.224, 0.225}}});
        ++checked;
      }
    }
  }
  EXPECT_GT(checked, 0);
}

}  // namespace
}  // namespace jepa
