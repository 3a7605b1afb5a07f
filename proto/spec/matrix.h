// Sweeps: one spec and, for some of its paths, the values to try.
#ifndef IJEPA_PROTO_SPEC_MATRIX_H_
#define IJEPA_PROTO_SPEC_MATRIX_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ijepa/v1/job.pb.h"

namespace ijepa::spec {

// Jobs of one sweep.
inline constexpr size_t kMaxMatrixJobs = 1000;
// Of one value of an axis: it is copied into every job that has it.
inline constexpr size_t kMaxValueBytes = 4096;

// Values for one path, as YAML.
struct MatrixAxis {
  std::string path;
  std::vector<std::string> values;
};

// One job of a sweep.
struct MatrixJob {
  // Neither resolved nor validated.
  v1::JobSpec spec;
  // One per axis, in their order.
  std::vector<v1::MatrixSetting> settings;
};

// Every combination of the values over `spec`, the last axis changing fastest; no axis gives the
// spec itself. Returns InvalidArgument for a path that is not in the spec, that is there twice,
// that tells jobs apart (name, labels, depends_on), without values or with one twice, for a value
// that is not of the path's type, and for more than kMaxMatrixJobs.
absl::StatusOr<std::vector<MatrixJob>> ExpandMatrix(const v1::JobSpec& spec,
                                                    const std::vector<MatrixAxis>& axes);

}  // namespace ijepa::spec

#endif  // IJEPA_PROTO_SPEC_MATRIX_H_
