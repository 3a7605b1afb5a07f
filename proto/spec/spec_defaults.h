// The defaults that train.proto and job.proto document, in one place.
#ifndef IJEPA_PROTO_SPEC_SPEC_DEFAULTS_H_
#define IJEPA_PROTO_SPEC_SPEC_DEFAULTS_H_

#include "ijepa/v1/job.pb.h"

namespace ijepa::spec {

// Gives every absent field its documented default. Fields without one stay absent: the required
// ones (the submitter names the job, NameFromFile) and those whose absence means none (paths,
// logging.folder, the sizes of vit_custom). Idempotent; never changes a value that is there;
// accepts any spec, valid or not.
void ResolveDefaults(v1::JobSpec* spec);

}  // namespace ijepa::spec

#endif  // IJEPA_PROTO_SPEC_SPEC_DEFAULTS_H_
