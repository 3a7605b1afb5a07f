// What a job will cost and how long it is, for --dry-run and describe.
#ifndef IJEPA_PROTO_SPEC_SUMMARY_H_
#define IJEPA_PROTO_SPEC_SUMMARY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ijepa/v1/job.pb.h"

namespace ijepa::spec {

struct JobSummary {
  int64_t encoder_parameters = 0;
  int64_t predictor_parameters = 0;
  int patches = 0;             // of one image
  double context_patches = 0;  // expected, per context block
  double target_patches = 0;   // expected, per target block
  double target_gflop = 0;     // per image and step
  double context_gflop = 0;
  double predictor_gflop = 0;
  int64_t memory_bytes_per_rank = 0;
  int64_t state_bytes_per_rank = 0;  // parameters, gradients, moments, target
  int64_t global_batch = 0;          // images per step
  int64_t images = -1;               // -1: unknown
  int64_t steps_per_epoch = -1;      // -1: unknown; 0: less data than one global batch
  int64_t total_steps = -1;

  double gflop_per_image() const { return target_gflop + context_gflop + predictor_gflop; }
};

// Summarises a resolved, valid spec. `images` is the size of the data set, -1 if unknown. Draws
// some masks; takes milliseconds. Returns InvalidArgument for a spec that is not valid.
absl::StatusOr<JobSummary> Summarise(const v1::JobSpec& resolved, int64_t images);

// The summary as lines of name and value, aligned.
std::string SummaryTable(const JobSummary& summary);

struct SpecRow {
  std::string path;
  std::string value;
  bool is_default = false;  // absent from what the user wrote
};

// Every value of the resolved spec, in the order of the protos; `sparse` is what the user wrote.
std::vector<SpecRow> SpecRows(const v1::JobSpec& sparse, const v1::JobSpec& resolved);

// SpecRows as aligned lines; defaults are marked.
std::string SpecTable(const v1::JobSpec& sparse, const v1::JobSpec& resolved);

}  // namespace ijepa::spec

#endif  // IJEPA_PROTO_SPEC_SUMMARY_H_
