// Reading, decoding, cropping and replacing; all chance is keyed by (seed, epoch, k).
#include "worker/jepa/data/sample_view.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/jepa/data/loader.h"
#include "worker/jepa/plan/random.h"

namespace jepa {
namespace {

constexpr int kMaxDraws = 100;

}  // namespace

int64_t SampleViews::IndexOf(Sample sample) const {
  const int64_t n = source_.size();
  return SampleAt(seed_, sample.epoch, sample.k % n, n);
}

absl::Status SampleViews::WriteImage(int64_t index, Sample sample, ViewTools& tools,
                                     uint8_t* planes) const {
  IJEPA_RETURN_IF_ERROR(source_.ReadInto(index, tools.bytes));
  Philox random(seed_, Purpose::kCrop, static_cast<uint64_t>(sample.epoch),
                static_cast<uint64_t>(sample.k));
  return WriteTrainingView(tools.bytes, data_, random, tools, planes);
}

absl::Status SampleViews::Write(Sample sample, ViewTools& tools, uint8_t* planes,
                                std::vector<std::string>& bad) const {
  Philox random(seed_, Purpose::kReplace, static_cast<uint64_t>(sample.epoch),
                static_cast<uint64_t>(sample.k));
  int64_t index = IndexOf(sample);
  for (int draw = 0; draw < kMaxDraws; ++draw) {
    const absl::Status status = WriteImage(index, sample, tools, planes);
    if (status.ok()) return status;
    bad.push_back(absl::StrCat(source_.name(index), ": ", status.message(),
                               "; another image takes its place"));
    const uint64_t high = random.Next();
    const uint64_t wide = (high << 32) | random.Next();
    index = static_cast<int64_t>(wide % static_cast<uint64_t>(source_.size()));
  }
  return absl::DataLossError(absl::StrCat("no readable image in ", kMaxDraws,
                                          " draws from the data; the last was ", bad.back()));
}

}  // namespace jepa
