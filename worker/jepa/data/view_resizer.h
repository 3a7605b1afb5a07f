// Rows of an image in, a resized view out: Pillow's antialiased bilinear filter, row by row.
#ifndef IJEPA_WORKER_JEPA_DATA_VIEW_RESIZER_H_
#define IJEPA_WORKER_JEPA_DATA_VIEW_RESIZER_H_

#include <cstdint>
#include <vector>

#include "worker/jepa/data/decode.h"
#include "worker/jepa/data/resize_kernels.h"

namespace jepa {

// One axis of a resize: of `in` pixels, the stretch [start, start + length) becomes `out`.
struct AxisScale {
  int64_t in = 0;
  int64_t out = 0;
  double start = 0;
  double length = 0;
};

// A view: `crop` of the image resized to resized_height x resized_width, and of that the pixels
// `kept`. The crop lies inside the image, `kept` inside the resized crop; no side is 0.
struct ViewGeometry {
  Crop crop;
  int64_t resized_height = 0;
  int64_t resized_width = 0;
  int64_t kept_top = 0;
  int64_t kept_left = 0;
  int height = 0;  // Of what is kept.
  int width = 0;
  bool mirror = false;  // Left and right swapped.
  // Where the wanted part lies within the crop, if not all of it is wanted: rows and columns,
  // fractions of pixels included. No length: the whole crop.
  double box_top = 0;
  double box_left = 0;
  double box_height = 0;
  double box_width = 0;
};

// The scales of a view: down its rows, and across them.
AxisScale Vertical(const ViewGeometry& geometry);
AxisScale Horizontal(const ViewGeometry& geometry);

// The whole of `crop`, resized to height x width.
ViewGeometry CropGeometry(const Crop& crop, int height, int width);

// The deterministic view of probes: an image of image_height x image_width resized, with its
// aspect, to the smallest that covers height x width, and the middle of it. torchvision's Resize
// and CenterCrop where the view is square.
ViewGeometry CentreGeometry(const Size& image, int height, int width);

// Pillow's triangle filter, widened where it shrinks: weights of the input pixels around output
// pixel `output`, which add up to 1, into `shares` (as long as it has to be). Returns the first of
// these pixels; `count` is how many.
int64_t BilinearShares(const AxisScale& axis, double output, std::vector<double>& shares,
                       int& count);

// Whether a view is resized down the rows first, as Pillow 13 decides. It shows in the rounding
// between the passes.
bool DownFirst(const ViewGeometry& geometry);

// Keeps its memory from view to view; one per thread. Bit for bit as Pillow 13 (older ones run the
// two passes always in one order, and may differ by one grey level).
class ViewResizer final : public RowSink {
 public:
  explicit ViewResizer(const ResizeKernels& kernels = BestResizeKernels()) : kernels_(kernels) {}

  // Begins a view of an image of `channels` interleaved bytes a pixel, to be written to `planes`,
  // [channels, height, width]. Returns the part of the image that it needs: its rows, in order, are
  // what Row takes.
  Crop Begin(const ViewGeometry& geometry, int channels, uint8_t* planes);

  // The next needed row, from the first needed column on; kRowPadding bytes beyond the last are
  // readable. The view is complete after the last one.
  void Row(const uint8_t* pixels) override;

 private:
  // One axis, of whose output [begin, begin + count) is wanted.
  struct Axis {
    AxisScale scale;
    int64_t begin = 0;
    int count = 0;
  };
  // How the wanted pixels of an axis come from input pixels [first, first + span).
  struct Pass {
    int64_t first = 0;
    int span = 0;
    ResizeTaps taps;  // Relative to `first`.
  };

  void MakePass(const Axis& axis, Pass& pass);
  void Finish(int output);

  const ResizeKernels& kernels_;
  std::vector<double> shares_;
  Pass down_;
  Pass across_;
  int channels_ = 0;
  int width_ = 0;
  uint8_t* planes_ = nullptr;
  size_t plane_ = 0;
  bool down_first_ = false;
  // The last input rows, after the pass across or before it; as many as one output row needs.
  std::vector<uint8_t> ring_;
  size_t ring_stride_ = 0;
  std::vector<const uint8_t*> stack_;
  std::vector<uint8_t> line_;  // Of the pass down where it is the first.
  int rows_ = 0;               // Taken so far.
  int outputs_ = 0;            // Finished so far.
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_VIEW_RESIZER_H_
