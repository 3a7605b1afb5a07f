// Rules of the section `network` of a job.
#ifndef IJEPA_PROTO_SPEC_NETWORK_RULES_H_
#define IJEPA_PROTO_SPEC_NETWORK_RULES_H_

#include <string>

#include "ijepa/v1/job.pb.h"

namespace ijepa::spec {

// What is wrong with network.env, the rest of a sentence; empty if nothing is. A job sets NCCL's
// own variables and no others: what a rank loads and who it is are not the job's to say.
std::string NetworkEnvProblem(const v1::NetworkSpec& network);

}  // namespace ijepa::spec

#endif  // IJEPA_PROTO_SPEC_NETWORK_RULES_H_
