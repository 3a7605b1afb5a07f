// See data_meter.h.
#include "worker/jepa/data_meter.h"

namespace jepa {

DataReport DataMeter::Read(const LoaderStats& stats, double seconds) {
  DataReport report;
  report.bad_reasons = stats.bad_reasons;
  report.ready_batches = stats.ready_batches;
  report.max_batches = stats.max_batches;
  report.wait_seconds = absl::ToDoubleSeconds(stats.wait);
  if (stats.images > 0) {
    const auto images = static_cast<double>(stats.images);
    report.seconds_per_image = absl::ToDoubleSeconds(stats.work) / images;
    report.decode_seconds_per_image = absl::ToDoubleSeconds(stats.work - stats.reading) / images;
  }
  if (seconds > 0) {
    report.read_bytes_per_second = static_cast<double>(stats.bytes_read - bytes_read_) / seconds;
  }
  bytes_read_ = stats.bytes_read;
  return report;
}

}  // namespace jepa
