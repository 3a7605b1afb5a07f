// What a job's spec says that the defaults do not.
#ifndef IJEPA_CLIENT_RENDER_SPEC_DIFF_H_
#define IJEPA_CLIENT_RENDER_SPEC_DIFF_H_

#include "client/render/table.h"
#include "ijepa/v1/job.pb.h"

namespace ijepa::client {

// One row per value of the resolved spec that is not its default: path, value, default ("-" where
// there is none). Defaults that depend on other values are those of this spec.
Table SpecDifferences(const v1::JobSpec& resolved);

}  // namespace ijepa::client

#endif  // IJEPA_CLIENT_RENDER_SPEC_DIFF_H_
