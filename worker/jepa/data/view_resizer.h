// Rows of an image in, a resized view out: Pillow's antialiased bilinear filter, row by row.
#ifndef IJEPA_WORKER_JEPA_DATA_VIEW_RESIZER_H_
#define IJEPA_WORKER_JEPA_DATA_VIEW_RESIZER_H_

#include <cstdint>
#include <vector>

#include "worker/jepa/data/decode.h"
#include "worker/jepa/data/resize_kernels.h"

namespace jepa {

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
};

// The whole of `crop`, resized to height x width.
ViewGeometry CropGeometry(const Crop& crop, int height, int width);

// The deterministic view of probes: an image of image_height x image_width resized, with its
// aspect, to the smallest that covers height x width, and the middle of it. torchvision's Resize
// and CenterCrop where the view is square.
ViewGeometry CentreGeometry(const Size& image, int height, int width);

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
  // One axis: `in` pixels become `out`, of which [begin, begin + count) are wanted.
  struct Axis {
    int64_t in = 0;
    int64_t out = 0;
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
  int64_t MakeWeights(const Axis& axis, double output, int* count);
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
