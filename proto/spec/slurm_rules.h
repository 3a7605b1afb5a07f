// Rules of the section `slurm` of a job, as far as they can be told without a controller.
#ifndef IJEPA_PROTO_SPEC_SLURM_RULES_H_
#define IJEPA_PROTO_SPEC_SLURM_RULES_H_

#include <string>
#include <utility>
#include <vector>

#include "ijepa/v1/job.pb.h"

namespace ijepa::spec {

// What is wrong with `slurm`: path and the rest of the sentence.
std::vector<std::pair<std::string, std::string>> SlurmViolations(const v1::JobSpec& spec);

}  // namespace ijepa::spec

#endif  // IJEPA_PROTO_SPEC_SLURM_RULES_H_
