// YAML to JobSpec and back. The proto is the only schema: the reader walks its descriptor.
#ifndef IJEPA_PROTO_SPEC_SPEC_READER_H_
#define IJEPA_PROTO_SPEC_SPEC_READER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ijepa/v1/job.pb.h"
#include "proto/spec/fields.h"
#include "proto/spec/matrix.h"

namespace ijepa::spec {

// Reads a job file: fields absent from the file, or null, stay absent. Anything else that is not a
// known key with a value of its type is InvalidArgument, one line per problem, as
//   job.yaml:12:3: mask.patch_sizee is not a key; nearest is mask.patch_size
// `file_name` is for messages. `sources`, when given, receives the place of every value, for
// Validate.
absl::StatusOr<v1::JobSpec> ReadJobSpec(absl::string_view text, absl::string_view file_name,
                                        SourceMap* sources = nullptr);

// A job file with, where it has one, a section `matrix: {PATH: [VALUE, ...], ...}`.
struct Sweep {
  v1::JobSpec spec;
  // In the order of the file; none: it is one job.
  std::vector<MatrixAxis> axes;
};

// As ReadJobSpec. The values of the matrix are checked where they are applied (ExpandMatrix).
absl::StatusOr<Sweep> ReadSweep(absl::string_view text, absl::string_view file_name,
                                SourceMap* sources = nullptr);

// Applies "optimization.lr=1e-3" (the value is YAML; empty or null makes the field absent) over
// the spec. Returns InvalidArgument as above, with "--set" as the file, and leaves the spec as it
// was.
absl::Status ApplySetting(v1::JobSpec* spec, absl::string_view setting,
                          SourceMap* sources = nullptr);

// YAML that ReadJobSpec reads back as an equal spec.
std::string WriteJobSpec(const v1::JobSpec& spec);

// A valid job name from a file's name: "configs/in1k_vith16-448_ep300.yaml" gives
// "in1k-vith16-448-ep300"; "job" when nothing is left.
std::string NameFromFile(absl::string_view file_name);

}  // namespace ijepa::spec

#endif  // IJEPA_PROTO_SPEC_SPEC_READER_H_
