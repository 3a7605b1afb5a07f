// JPEG to rows, through libjpeg.
//
// Of a plain JPEG (one scan, not four-colour) only a window is decoded: rows above it are passed
// over after entropy decoding, columns beside it lose inverse transform and colours, and what is
// below is not looked at. Smooth upsampling looks at neighbours, so the window is decoded with a
// margin on each side; the bits are those of the whole image. Entropy decoding is our own
// (jpeg_entropy.h).
#include <algorithm>
#include <cstdio>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/jepa/data/bad_image.h"
#include "worker/jepa/data/codec.h"
#include "worker/jepa/data/jpeg_entropy.h"
#include "worker/jepa/data/jpeg_error.h"
#include "worker/jepa/data/resize_kernels.h"
// After jpeg_error.h, which brings what it needs.
#include <jerror.h>

namespace jepa {
namespace {

// A progressive file may repeat scans without end; no encoder writes more than a few dozen.
constexpr int kMaxScans = 500;
// Columns beside a window that its own colours depend on: smooth upsampling takes the two chroma
// samples next to a pixel, and the last columns decoded are upsampled as at the edge of an image.
constexpr int kMargin = 2;
// Narrowing costs libjpeg a new set-up of its upsampling, which fewer columns do not pay for.
constexpr int kColumnsWorthCutting = 32;

void OnProgress(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= kMaxScans) return;
  auto* error = reinterpret_cast<JpegError*>(info->err);
  snprintf(error->text, sizeof(error->text), "more than %d scans", kMaxScans);
  error->base.msg_code = 0;
  longjmp(error->jump, 1);
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

}  // namespace

struct JpegReader::State {
  JpegError error{};
  jpeg_progress_mgr progress{};
  jpeg_decompress_struct info{};
  bool created = false;
  JpegEntropy entropy;
  absl::string_view bytes;
  bool ends_whole = false;  // With the marker of the end: nothing is cut off.
  unsigned reduction = 1;
  int given = 0;  // Rows that the sink has got of this image.
  std::vector<uint8_t> row;
  std::vector<uint8_t> inks;

  absl::Status Failure() const {
    const std::string message = absl::StrCat("the JPEG cannot be decoded: ", error.text);
    if (error.base.msg_code == JERR_IMAGE_TOO_BIG) return absl::ResourceExhaustedError(message);
    return error.base.msg_code == JWRN_JPEG_EOF ? TruncatedError(message)
                                                : absl::DataLossError(message);
  }

  bool Create() {
    if (setjmp(error.jump) != 0) return false;
    jpeg_create_decompress(&info);
    info.progress = &progress;
    return true;
  }

  bool ReadHeader() {
    if (setjmp(error.jump) != 0) return false;
    jpeg_abort_decompress(&info);
    jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    jpeg_read_header(&info, TRUE);
    // libjpeg widens grey to RGB and turns YCCK into CMYK itself.
    info.out_color_space = info.num_components == 4 ? JCS_CMYK : JCS_RGB;
    info.dct_method = JDCT_ISLOW;
    info.do_fancy_upsampling = TRUE;
    info.scale_num = 1;
    info.scale_denom = reduction;
    return true;
  }

  // Sets *first to the first column that rows will have. `alone`: libjpeg decodes by itself.
  bool Start(const Crop& part, bool alone, int* first) {
    if (setjmp(error.jump) != 0) return false;
    jpeg_start_decompress(&info);
    if (!alone) entropy.TakeOver(info);
    if (!MayCut()) return true;
    const int left = std::max(part.left - kMargin, 0);
    const int right =
        std::min(part.left + part.width + kMargin, static_cast<int>(info.output_width));
    if (static_cast<int>(info.output_width) - (right - left) < kColumnsWorthCutting) return true;
    auto offset = static_cast<JDIMENSION>(left);
    auto width = static_cast<JDIMENSION>(right - left);
    jpeg_crop_scanline(&info, &offset, &width);
    *first = static_cast<int>(offset);
    return true;
  }

  bool MayCut() {
    return info.out_color_space == JCS_RGB && jpeg_has_multiple_scans(&info) == FALSE;
  }

  // Gives the sink the rows that it has not got yet.
  bool ReadRows(const Crop& part, int first, RowSink& sink) {
    if (setjmp(error.jump) != 0) return false;
    if (part.top > 0 && MayCut()) jpeg_skip_scanlines(&info, static_cast<JDIMENSION>(part.top));
    const auto end = static_cast<JDIMENSION>(part.top + part.height);
    const JDIMENSION last = ends_whole ? end : info.output_height;
    const uint8_t* wanted = row.data() + static_cast<size_t>(part.left - first) * 3;
    while (info.output_scanline < last) {
      uint8_t* target = inks.empty() ? row.data() : inks.data();
      const bool wants = info.output_scanline >= static_cast<JDIMENSION>(part.top + given) &&
                         info.output_scanline < end;
      jpeg_read_scanlines(&info, &target, 1);
      if (!wants) continue;
      ++given;
      if (!inks.empty()) {
        InvertedCmykToRgb(inks.data(), static_cast<int>(info.output_width), row.data());
      }
      sink.Row(wanted);
    }
    return true;
  }
};

JpegReader::JpegReader() : state_(std::make_unique<State>()) {
  InstallHandlers(state_->error);
  state_->info.err = &state_->error.base;
  state_->progress.progress_monitor = OnProgress;
  state_->created = state_->Create();
}

JpegReader::~JpegReader() {
  if (state_->created) jpeg_destroy_decompress(&state_->info);
}

absl::StatusOr<Size> JpegReader::Open(absl::string_view bytes) {
  state_->bytes = bytes;
  state_->reduction = 1;
  if (!state_->created || !state_->ReadHeader()) return state_->Failure();
  IJEPA_RETURN_IF_ERROR(CheckImageSize(state_->info.image_height, state_->info.image_width));
  state_->ends_whole = absl::EndsWith(bytes, "\xff\xd9");
  return Size{static_cast<int>(state_->info.image_height),
              static_cast<int>(state_->info.image_width)};
}

Size JpegReader::Reduce(int reduction) {
  jpeg_decompress_struct& info = state_->info;
  state_->reduction = info.scale_denom = static_cast<unsigned>(reduction);
  const auto reduced = [&](JDIMENSION side) {
    return (static_cast<int>(side) + reduction - 1) / reduction;
  };
  return {reduced(info.image_height), reduced(info.image_width)};
}

absl::Status JpegReader::Read(const Crop& part, RowSink& sink) {
  state_->given = 0;
  const absl::Status read = ReadOnce(part, /*alone=*/false, sink);
  if (read.ok() || !state_->entropy.met_odd()) return read;
  if (!state_->ReadHeader()) return state_->Failure();
  return ReadOnce(part, /*alone=*/true, sink);
}

absl::Status JpegReader::ReadOnce(const Crop& part, bool alone, RowSink& sink) {
  const jpeg_decompress_struct& info = state_->info;
  int first = 0;
  if (!state_->Start(part, alone, &first)) return state_->Failure();
  IJEPA_CHECK(part.height <= static_cast<int>(info.output_height) - part.top);
  IJEPA_CHECK(part.left + part.width <= first + static_cast<int>(info.output_width));
  state_->row.resize(
      std::max(state_->row.size(), static_cast<size_t>(info.output_width) * 3 + kRowPadding));
  const bool four_colours = info.out_color_space == JCS_CMYK;
  state_->inks.resize(four_colours ? static_cast<size_t>(info.output_width) * 4 : 0);
  if (!state_->ReadRows(part, first, sink)) return state_->Failure();
  jpeg_abort_decompress(&state_->info);
  return absl::OkStatus();
}

bool LooksLikeJpeg(absl::string_view bytes) { return bytes.substr(0, 3) == "\xff\xd8\xff"; }

}  // namespace jepa
