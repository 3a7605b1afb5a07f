// The figures of a run: the newest, and a curve that stays small however long the run is.
#ifndef IJEPA_COORDINATOR_CORE_PROGRESS_H_
#define IJEPA_COORDINATOR_CORE_PROGRESS_H_

#include <cstdint>

#include "ijepa/v1/job.pb.h"

namespace ijepa::coordinator {

inline constexpr int kMaxCurvePoints = 256;
inline constexpr int kMaxTelemetryPoints = 128;

// Takes a report of rank 0 as the newest figures and as a point of the curve, if it is `stride`
// steps past the last point; when the curve is full, every second point goes and `stride` doubles.
// A report of an earlier step than the last point (a restart) first removes the points from that
// step on, so that a step never shows two values.
void RecordStep(const v1::StepReport& report, v1::JobStatus& status, int64_t& stride);

// Takes the measurement of a report, if it has a new one, as a point of status.telemetry, by the
// same rules; the stride follows from the points that are there.
void RecordTelemetry(const v1::StepReport& report, v1::JobStatus& status);

// The stride that a stored curve was thinned with.
int64_t StrideOf(const v1::JobStatus& status);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_CORE_PROGRESS_H_
