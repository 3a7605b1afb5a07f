// JPEG through libjpeg. Its errors come back by longjmp, so every function that calls setjmp holds
// only trivial objects, and what must be freed belongs to an object outside of it.
#include <setjmp.h>

#include <cstdio>
#include <cstdlib>
#include <vector>
// libjpeg needs FILE declared first.
#include <jerror.h>
#include <jpeglib.h>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/jepa/data/codec.h"

namespace jepa {
namespace {

// A progressive file may repeat scans without end; no encoder writes more than a few dozen.
constexpr int kMaxScans = 500;

struct JpegError {
  jpeg_error_mgr base;  // First: libjpeg knows only its address.
  jmp_buf jump;
  char text[JMSG_LENGTH_MAX];
};

[[noreturn]] void OnError(j_common_ptr info) {
  auto* error = reinterpret_cast<JpegError*>(info->err);
  error->base.format_message(info, error->text);
  longjmp(error->jump, 1);
}

// Only the end of the data before the end of the image is an error, as in Pillow; other oddities
// are decoded as far as libjpeg can.
void OnMessage(j_common_ptr info, int level) {
  if (level < 0 && info->err->msg_code == JWRN_JPEG_EOF) OnError(info);
}

void OnProgress(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= kMaxScans) return;
  auto* error = reinterpret_cast<JpegError*>(info->err);
  snprintf(error->text, sizeof(error->text), "more than %d scans", kMaxScans);
  longjmp(error->jump, 1);
}

void InstallHandlers(JpegError& error) {
  jpeg_std_error(&error.base);
  error.base.error_exit = OnError;
  error.base.emit_message = OnMessage;
  error.text[0] = '\0';
}

// Product of two bytes over 255, rounded.
inline int ScaleByte(int a, int b) {
  const int product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

void InvertedCmykToRgb(const uint8_t* cmyk, int width, uint8_t* rgb) {
  for (int x = 0; x < width; ++x, cmyk += 4, rgb += 3) {
    const int light = cmyk[3];  // 255 - black.
    for (int c = 0; c < 3; ++c) {
      rgb[c] = static_cast<uint8_t>(light - ScaleByte(255 - cmyk[c], light));
    }
  }
}

class JpegReader {
 public:
  JpegReader() {
    InstallHandlers(error_);
    info_.err = &error_.base;
    created_ = Create();
    progress_.progress_monitor = OnProgress;
  }
  ~JpegReader() {
    if (created_) jpeg_destroy_decompress(&info_);
  }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  absl::StatusOr<Image> Read(absl::string_view bytes) {
    if (!created_ || !ReadHeader(bytes)) return Failure();
    IJEPA_RETURN_IF_ERROR(CheckImageSize(info_.image_height, info_.image_width));
    Image image;
    image.height = static_cast<int>(info_.image_height);
    image.width = static_cast<int>(info_.image_width);
    const size_t row_bytes = static_cast<size_t>(image.width) * 3;
    if (!Start()) return Failure();
    image.pixels.resize(row_bytes * image.height);
    std::vector<uint8_t> inks;
    if (info_.out_color_space == JCS_CMYK) inks.resize(static_cast<size_t>(image.width) * 4);
    if (!ReadRows(image.pixels.data(), row_bytes, inks.empty() ? nullptr : inks.data())) {
      return Failure();
    }
    return image;
  }

 private:
  absl::Status Failure() const {
    return absl::DataLossError(absl::StrCat("the JPEG cannot be decoded: ", error_.text));
  }

  bool Create() {
    if (setjmp(error_.jump) != 0) return false;
    jpeg_create_decompress(&info_);
    info_.progress = &progress_;
    return true;
  }

  bool ReadHeader(absl::string_view bytes) {
    if (setjmp(error_.jump) != 0) return false;
    jpeg_mem_src(&info_, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    jpeg_read_header(&info_, TRUE);
    // libjpeg widens grey to RGB and turns YCCK into CMYK itself.
    info_.out_color_space = info_.num_components == 4 ? JCS_CMYK : JCS_RGB;
    info_.dct_method = JDCT_ISLOW;
    info_.do_fancy_upsampling = TRUE;
    return true;
  }

  bool Start() {
    if (setjmp(error_.jump) != 0) return false;
    jpeg_start_decompress(&info_);
    return true;
  }

  bool ReadRows(uint8_t* pixels, size_t row_bytes, uint8_t* inks) {
    if (setjmp(error_.jump) != 0) return false;
    while (info_.output_scanline < info_.output_height) {
      uint8_t* row = pixels + row_bytes * info_.output_scanline;
      uint8_t* target = inks != nullptr ? inks : row;
      jpeg_read_scanlines(&info_, &target, 1);
      if (inks != nullptr) {
        InvertedCmykToRgb(inks, static_cast<int>(info_.output_width), row);
      }
    }
    return true;
  }

  JpegError error_{};
  jpeg_progress_mgr progress_{};
  jpeg_decompress_struct info_{};
  bool created_ = false;
};

class JpegWriter {
 public:
  JpegWriter() {
    InstallHandlers(error_);
    info_.err = &error_.base;
  }
  ~JpegWriter() {
    if (created_) jpeg_destroy_compress(&info_);
    free(buffer_);
  }
  JpegWriter(const JpegWriter&) = delete;
  JpegWriter& operator=(const JpegWriter&) = delete;

  absl::StatusOr<std::string> Write(const Image& image, int quality) {
    if (!Compress(image, quality)) {
      return absl::InternalError(absl::StrCat("JPEG encoder: ", error_.text));
    }
    return std::string(reinterpret_cast<const char*>(buffer_), size_);
  }

 private:
  bool Compress(const Image& image, int quality) {
    if (setjmp(error_.jump) != 0) return false;
    jpeg_create_compress(&info_);
    created_ = true;
    jpeg_mem_dest(&info_, &buffer_, &size_);
    info_.image_width = static_cast<JDIMENSION>(image.width);
    info_.image_height = static_cast<JDIMENSION>(image.height);
    info_.input_components = 3;
    info_.in_color_space = JCS_RGB;
    jpeg_set_defaults(&info_);
    jpeg_set_quality(&info_, quality, TRUE);
    jpeg_start_compress(&info_, TRUE);
    const size_t row_bytes = static_cast<size_t>(image.width) * 3;
    while (info_.next_scanline < info_.image_height) {
      auto* row = const_cast<uint8_t*>(image.pixels.data()) + row_bytes * info_.next_scanline;
      jpeg_write_scanlines(&info_, &row, 1);
    }
    jpeg_finish_compress(&info_);
    return true;
  }

  JpegError error_{};
  jpeg_compress_struct info_{};
  unsigned char* buffer_ = nullptr;
  unsigned long size_ = 0;  // NOLINT: the type of libjpeg's interface.
  bool created_ = false;
};

}  // namespace

bool LooksLikeJpeg(absl::string_view bytes) { return bytes.substr(0, 3) == "\xff\xd8\xff"; }

absl::StatusOr<Image> DecodeJpeg(absl::string_view bytes) { return JpegReader().Read(bytes); }

absl::StatusOr<std::string> EncodeJpeg(const Image& image, int quality) {
  return JpegWriter().Write(image, quality);
}

}  // namespace jepa
