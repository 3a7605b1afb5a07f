// How the data pipeline does, from the loader's counts.
#ifndef IJEPA_WORKER_JEPA_DATA_METER_H_
#define IJEPA_WORKER_JEPA_DATA_METER_H_

#include <cstdint>

#include "worker/jepa/data/loader.h"
#include "worker/jepa/run_host.h"

namespace jepa {

// Thread-compatible.
class DataMeter {
 public:
  // The report of a step that took `seconds`, from what the loader has done so far.
  DataReport Read(const LoaderStats& stats, double seconds);

 private:
  int64_t bytes_read_ = 0;  // Until the last Read.
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_METER_H_
