// See progress.h.
#include "coordinator/core/progress.h"

#include <algorithm>

namespace ijepa::coordinator {
namespace {

// Removes every second point but the first.
template <typename Points>
void Thin(Points& points) {
  int kept = 0;
  for (int i = 0; i < points.size(); i += 2) points.SwapElements(kept++, i);
  points.DeleteSubrange(kept, points.size() - kept);
}

// A step never shows two values: what a restart repeats goes first.
template <typename Points>
void RemoveFrom(int64_t step, Points& points) {
  while (!points.empty() && points.rbegin()->step() >= step) points.RemoveLast();
}

}  // namespace

void RecordStep(const v1::StepReport& report, v1::JobStatus& status, int64_t& stride) {
  RecordTelemetry(report, status);
  *status.mutable_progress() = report;
  auto& curve = *status.mutable_curve();
  RemoveFrom(report.step(), curve);
  if (!curve.empty() && report.step() < curve.rbegin()->step() + stride) return;
  if (curve.size() == kMaxCurvePoints) {
    Thin(curve);
    stride *= 2;
    if (report.step() < curve.rbegin()->step() + stride) return;
  }
  *curve.Add() = report;
  curve.rbegin()->clear_telemetry();
}

void RecordTelemetry(const v1::StepReport& report, v1::JobStatus& status) {
  auto& points = *status.mutable_telemetry();
  // A report of an attempt that has measured nothing yet repeats steps, too.
  const v1::Telemetry& measured = report.telemetry();
  if (!points.empty() && report.has_telemetry() && points.rbegin()->step() == measured.step() &&
      status.progress().telemetry().step() == measured.step()) {
    return;
  }
  RemoveFrom(report.has_telemetry() ? measured.step() : report.step(), points);
  if (!report.has_telemetry()) return;
  const int64_t stride = points.size() < 2 ? 1 : points.Get(1).step() - points.Get(0).step();
  if (points.size() >= 2 && measured.step() < points.rbegin()->step() + stride) return;
  if (points.size() == kMaxTelemetryPoints) {
    Thin(points);
    if (measured.step() < points.rbegin()->step() + 2 * stride) return;
  }
  *points.Add() = measured;
  points.rbegin()->clear_encoder_block_gradient_norms();
  points.rbegin()->clear_predictor_block_gradient_norms();
}

int64_t StrideOf(const v1::JobStatus& status) {
  if (status.curve_size() < 2) return 1;
  return std::max<int64_t>(1, status.curve(1).step() - status.curve(0).step());
}

}  // namespace ijepa::coordinator
