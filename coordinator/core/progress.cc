// See progress.h.
#include "coordinator/core/progress.h"

#include <algorithm>

namespace ijepa::coordinator {

void RecordStep(const v1::StepReport& report, v1::JobStatus& status, int64_t& stride) {
  *status.mutable_progress() = report;
  auto* curve = status.mutable_curve();
  while (!curve->empty() && curve->rbegin()->step() >= report.step()) curve->RemoveLast();
  if (!curve->empty() && report.step() < curve->rbegin()->step() + stride) return;
  if (curve->size() == kMaxCurvePoints) {
    int kept = 0;
    for (int i = 0; i < curve->size(); i += 2) curve->SwapElements(kept++, i);
    curve->DeleteSubrange(kept, curve->size() - kept);
    stride *= 2;
    if (report.step() < curve->rbegin()->step() + stride) return;
  }
  *curve->Add() = report;
}

int64_t StrideOf(const v1::JobStatus& status) {
  if (status.curve_size() < 2) return 1;
  return std::max<int64_t>(1, status.curve(1).step() - status.curve(0).step());
}

}  // namespace ijepa::coordinator
