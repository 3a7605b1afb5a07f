// PNG through libpng, with the colours that Pillow's convert("RGB") gives: transparency and gamma
// ignored, 16-bit colour cut to its high byte, 16-bit grey clipped at 255; or in its own format.
#include <png.h>
#include <setjmp.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/jepa/data/bad_image.h"
#include "worker/jepa/data/codec.h"

namespace jepa {
namespace {

constexpr png_alloc_size_t kMaxChunkBytes = 8 << 20;  // Of an ancillary chunk, unpacked.

// What the rows hold after libpng's transformations.
enum class RowKind { kRgb, kPalette, kGrey16, kOwn };

class PngReader {
 public:
  PngReader(absl::string_view bytes, const PixelFormat& format) : format_(format), rest_(bytes) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, OnError, OnWarning);
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
  }
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  absl::StatusOr<Image> Read() {
    if (info_ == nullptr) return absl::ResourceExhaustedError("no memory for the PNG reader");
    if (!ReadHeader()) return Failure();
    IJEPA_RETURN_IF_ERROR(CheckImageSize(height_, width_));
    Image image;
    image.height = static_cast<int>(height_);
    image.width = static_cast<int>(width_);
    if (!(format_.IsRgb() ? Prepare() : PrepareOwn())) return Failure();
    if (kind_ == RowKind::kOwn) IJEPA_RETURN_IF_ERROR(CheckFormat());
    image.pixel_bytes = format_.pixel_bytes();
    image.pixels.resize(static_cast<size_t>(height_) * width_ * image.pixel_bytes);
    if (kind_ == RowKind::kRgb || kind_ == RowKind::kOwn) {
      if (!ReadRows(image.pixels.data())) return Failure();
      return image;
    }
    std::vector<uint8_t> raw(row_bytes_ * height_);
    if (!ReadRows(raw.data())) return Failure();
    Expand(raw, image);
    return image;
  }

 private:
  [[noreturn]] static void OnError(png_structp png, png_const_charp text) {
    auto* self = static_cast<PngReader*>(png_get_error_ptr(png));
    snprintf(self->text_, sizeof(self->text_), "%s", text);
    png_longjmp(png, 1);
  }
  static void OnWarning(png_structp, png_const_charp) {}

  static void OnRead(png_structp png, png_bytep target, png_size_t size) {
    auto* self = static_cast<PngReader*>(png_get_io_ptr(png));
    if (size > self->rest_.size()) {
      self->truncated_ = true;
      png_error(png, "the file is truncated");
    }
    std::memcpy(target, self->rest_.data(), size);
    self->rest_.remove_prefix(size);
  }

  absl::Status Failure() const {
    const std::string message = absl::StrCat("the PNG cannot be decoded: ", text_);
    return truncated_ ? TruncatedError(message) : absl::DataLossError(message);
  }

  bool ReadHeader() {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_read_fn(png_, this, OnRead);
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_chunk_malloc_max(png_, kMaxChunkBytes);
    png_read_info(png_, info_);
    height_ = png_get_image_height(png_, info_);
    width_ = png_get_image_width(png_, info_);
    return true;
  }

  bool Prepare() {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    const int type = png_get_color_type(png_, info_);
    const int depth = png_get_bit_depth(png_, info_);
    if (type == PNG_COLOR_TYPE_PALETTE) {
      kind_ = RowKind::kPalette;
      CopyPalette();
      png_set_packing(png_);
    } else if (type == PNG_COLOR_TYPE_GRAY && depth == 16) {
      kind_ = RowKind::kGrey16;
    } else {
      if (depth == 16) png_set_strip_16(png_);
      if (depth < 8) png_set_expand_gray_1_2_4_to_8(png_);
      if ((type & PNG_COLOR_MASK_ALPHA) != 0) png_set_strip_alpha(png_);
      if ((type & PNG_COLOR_MASK_COLOR) == 0) png_set_gray_to_rgb(png_);
    }
    Update();
    return true;
  }

  // Channels and bits as they are; a palette as the colours that it holds.
  bool PrepareOwn() {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    kind_ = RowKind::kOwn;
    const int type = png_get_color_type(png_, info_);
    const int depth = png_get_bit_depth(png_, info_);
    if (type == PNG_COLOR_TYPE_PALETTE) {
      png_set_palette_to_rgb(png_);
      if (png_get_valid(png_, info_, PNG_INFO_tRNS) != 0) png_set_tRNS_to_alpha(png_);
    } else if (depth < 8) {
      png_set_expand_gray_1_2_4_to_8(png_);
    }
    if (depth == 16 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) png_set_swap(png_);
    Update();
    return true;
  }

  void Update() {
    passes_ = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    row_bytes_ = png_get_rowbytes(png_, info_);
  }

  absl::Status CheckFormat() const {
    const int channels = png_get_channels(png_, info_);
    const int depth = png_get_bit_depth(png_, info_);
    if (channels == format_.channels && depth == format_.bit_depth) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat("the PNG has ", channels, " channels of ", depth,
                                            " bits; data.channels is ", format_.channels,
                                            " and data.bit_depth ", format_.bit_depth));
  }

  // Numbers beyond the palette are black, as in Pillow.
  void CopyPalette() {
    png_colorp colors = nullptr;
    int count = 0;
    png_get_PLTE(png_, info_, &colors, &count);
    for (int i = 0; i < std::min(count, 256); ++i) {
      palette_[i] = {colors[i].red, colors[i].green, colors[i].blue};
    }
  }

  bool ReadRows(uint8_t* rows) {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    for (int pass = 0; pass < passes_; ++pass) {
      for (size_t y = 0; y < height_; ++y) png_read_row(png_, rows + y * row_bytes_, nullptr);
    }
    return true;
  }

  void Expand(const std::vector<uint8_t>& raw, Image& image) const {
    uint8_t* out = image.pixels.data();
    for (size_t y = 0; y < height_; ++y) {
      const uint8_t* row = raw.data() + y * row_bytes_;
      for (size_t x = 0; x < width_; ++x, out += 3) {
        if (kind_ == RowKind::kPalette) {
          std::copy(palette_[row[x]].begin(), palette_[row[x]].end(), out);
        } else {
          std::fill(out, out + 3, row[2 * x] == 0 ? row[2 * x + 1] : uint8_t{255});
        }
      }
    }
  }

  const PixelFormat format_;
  absl::string_view rest_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  char text_[128] = "";
  bool truncated_ = false;
  size_t height_ = 0;
  size_t width_ = 0;
  size_t row_bytes_ = 0;
  int passes_ = 1;
  RowKind kind_ = RowKind::kRgb;
  std::array<std::array<uint8_t, 3>, 256> palette_{};
};

}  // namespace

bool LooksLikePng(absl::string_view bytes) { return bytes.substr(0, 8) == "\x89PNG\r\n\x1a\n"; }

absl::StatusOr<Image> DecodePng(absl::string_view bytes, const PixelFormat& format) {
  return PngReader(bytes, format).Read();
}

}  // namespace jepa
