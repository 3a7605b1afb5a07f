// Reading, decoding, cropping and replacing; all chance is keyed by (seed, epoch, k).
#include "worker/jepa/data/sample_view.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/jepa/plan/random.h"

namespace jepa {
namespace {

constexpr int kMaxDraws = 100;

}  // namespace

int64_t SampleViews::IndexOf(Sample sample) const { return order_.At(sample.epoch, sample.k); }

absl::Status SampleViews::WriteImage(int64_t index, Sample sample, ViewTools& tools,
                                     uint8_t* planes, BadReason& reason) const {
  const absl::Duration begin = clock_->Monotonic();
  absl::Status status = ReadPatiently(source_, index, retry_delay_, tools.bytes);
  tools.reading += clock_->Monotonic() - begin;
  const bool read = status.ok();
  if (read) {
    Philox random(seed_, Purpose::kCrop, static_cast<uint64_t>(sample.epoch),
                  static_cast<uint64_t>(sample.k));
    status = WriteTrainingView(tools.bytes, data_, random, tools, planes);
  }
  if (!status.ok()) reason = BadReasonOf(status, /*reading=*/!read);
  return status;
}

absl::Status SampleViews::Write(Sample sample, ViewTools& tools, uint8_t* planes,
                                std::vector<BadImage>& bad) const {
  Philox random(seed_, Purpose::kReplace, static_cast<uint64_t>(sample.epoch),
                static_cast<uint64_t>(sample.k));
  int64_t index = IndexOf(sample);
  tools.reading = absl::ZeroDuration();
  for (int draw = 0; draw < kMaxDraws; ++draw) {
    BadImage image;
    const absl::Status status = WriteImage(index, sample, tools, planes, image.reason);
    if (status.ok()) return status;
    image.line = absl::StrCat(source_.name(index), ": ", BadReasonName(image.reason), ": ",
                              status.message(), "; another image takes its place");
    bad.push_back(std::move(image));
    const uint64_t high = random.Next();
    const uint64_t wide = (high << 32) | random.Next();
    index = static_cast<int64_t>(wide % static_cast<uint64_t>(source_.size()));
  }
  return absl::DataLossError(absl::StrCat("no readable image in ", kMaxDraws,
                                          " draws from the data; the last was ", bad.back().line));
}

}  // namespace jepa
