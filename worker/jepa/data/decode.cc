// Choice of the format by the first bytes; whole images by way of rows.
#include "worker/jepa/data/decode.h"

#include <cstring>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/jepa/data/augment.h"
#include "worker/jepa/data/bad_image.h"
#include "worker/jepa/data/codec.h"
#include "worker/jepa/data/exif.h"
#include "worker/jepa/data/view_resizer.h"

namespace jepa {
namespace {

// Keeps the rows as they come.
class WholeImage final : public RowSink {
 public:
  explicit WholeImage(const Size& size)
      : image_{size.height, size.width,
               std::vector<uint8_t>(static_cast<size_t>(size.height) * size.width * 3)} {}
  void Row(const uint8_t* pixels) override {
    const size_t bytes = static_cast<size_t>(image_.width) * 3;
    std::memcpy(image_.pixels.data() + bytes * rows_++, pixels, bytes);
  }
  Image Take() { return std::move(image_); }

 private:
  Image image_;
  size_t rows_ = 0;
};

// A sink may read beyond a row, so each goes through `line`.
void GiveRows(const Image& image, const Crop& part, std::vector<uint8_t>& line, RowSink& sink) {
  const auto pixel_bytes = static_cast<size_t>(image.pixel_bytes);
  const size_t bytes = static_cast<size_t>(part.width) * pixel_bytes;
  line.resize(bytes + kRowPadding);
  for (int y = part.top; y < part.top + part.height; ++y) {
    const size_t pixel = static_cast<size_t>(y) * image.width + part.left;
    std::memcpy(line.data(), image.pixels.data() + pixel * pixel_bytes, bytes);
    sink.Row(line.data());
  }
}

Image ViewOf(const Image& image, const ViewGeometry& view) {
  ViewResizer resizer;
  std::vector<uint8_t> planes(static_cast<size_t>(view.height) * view.width * 3);
  std::vector<uint8_t> line;
  GiveRows(image, resizer.Begin(view, 3, planes.data()), line, resizer);
  return Interleaved(planes.data(), {view.height, view.width});
}

}  // namespace

absl::Status CheckImageSize(int64_t height, int64_t width) {
  if (height < 1 || width <= kMaxPixels / height) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("image is ", width, " x ", height,
                                                   " pixels; at most ", kMaxPixels,
                                                   " are read; scale it down"));
}

struct ImageReader::Parts {
  JpegReader jpeg;
  bool orient = false;
  PixelFormat format;
  bool streams = false;  // The image that is open is the JPEG reader's; else it is `image`.
  Image image;
  std::vector<uint8_t> line;
};

absl::StatusOr<Size> ImageReader::OpenJpeg(Parts& parts, absl::string_view bytes) {
  IJEPA_ASSIGN_OR_RETURN(const Size size, parts.jpeg.Open(bytes));
  const int orientation = parts.orient ? ExifOrientation(bytes) : 1;
  if (orientation == 1) return size;
  // Rows come out as columns or from the end: the image is needed whole.
  WholeImage whole(size);
  IJEPA_RETURN_IF_ERROR(parts.jpeg.Read({0, 0, size.height, size.width}, whole));
  parts.image = Oriented(whole.Take(), orientation);
  parts.streams = false;
  return Size{parts.image.height, parts.image.width};
}

ImageReader::ImageReader() : parts_(std::make_unique<Parts>()) {}
ImageReader::~ImageReader() = default;
ImageReader::ImageReader(ImageReader&&) noexcept = default;
ImageReader& ImageReader::operator=(ImageReader&&) noexcept = default;

void ImageReader::set_orient(bool orient) { parts_->orient = orient; }

void ImageReader::set_format(const PixelFormat& format) { parts_->format = format; }

const Image* ImageReader::whole() const { return parts_->streams ? nullptr : &parts_->image; }

absl::StatusOr<Size> ImageReader::Open(absl::string_view bytes) {
  if (bytes.empty()) return EmptyError("the file is empty");
  const PixelFormat& format = parts_->format;
  const bool is_png = LooksLikePng(bytes);
  parts_->streams = LooksLikeJpeg(bytes) && format.IsRgb();
  if (parts_->streams) return OpenJpeg(*parts_, bytes);
  if (is_png) {
    IJEPA_ASSIGN_OR_RETURN(parts_->image, DecodePng(bytes, format));
  } else if (!format.IsRgb()) {
    return absl::DataLossError(absl::StrCat("no PNG by its first bytes, which data.channels ",
                                            format.channels, " and data.bit_depth ",
                                            format.bit_depth, " want"));
  } else if (LooksLikeWebp(bytes)) {
    IJEPA_ASSIGN_OR_RETURN(parts_->image, DecodeWebp(bytes));
  } else {
    return absl::DataLossError("neither a JPEG, a PNG nor a WebP by its first bytes");
  }
  return Size{parts_->image.height, parts_->image.width};
}

Size ImageReader::Reduce(int reduction) {
  if (parts_->streams) return parts_->jpeg.Reduce(reduction);
  return {parts_->image.height, parts_->image.width};
}

absl::Status ImageReader::Read(const Crop& part, RowSink& sink) {
  IJEPA_CHECK(part.top >= 0 && part.left >= 0 && part.height > 0 && part.width > 0);
  if (parts_->streams) return parts_->jpeg.Read(part, sink);
  IJEPA_CHECK(part.height <= parts_->image.height - part.top);
  IJEPA_CHECK(part.width <= parts_->image.width - part.left);
  GiveRows(parts_->image, part, parts_->line, sink);
  return absl::OkStatus();
}

absl::StatusOr<Image> Decode(absl::string_view bytes) {
  ImageReader reader;
  IJEPA_ASSIGN_OR_RETURN(const Size size, reader.Open(bytes));
  WholeImage whole(size);
  IJEPA_RETURN_IF_ERROR(reader.Read({0, 0, size.height, size.width}, whole));
  return whole.Take();
}

Image CropAndResize(const Image& image, Crop crop, int out_height, int out_width) {
  IJEPA_CHECK(crop.height <= image.height - crop.top && crop.width <= image.width - crop.left);
  return ViewOf(image, CropGeometry(crop, out_height, out_width));
}

Image ResizeAndCentreCrop(const Image& image, Size size) {
  return ViewOf(image, CentreGeometry({image.height, image.width}, size.height, size.width));
}

}  // namespace jepa
