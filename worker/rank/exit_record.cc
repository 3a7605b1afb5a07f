#include "worker/rank/exit_record.h"

#include <google/protobuf/util/time_util.h>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/utf8.h"
#include "worker/jepa/run_host.h"
#include "worker/link/rank_folder.h"

namespace ijepa::rank {
namespace {

// A record is read by people and stored with the job; LibTorch's messages can be very long.
constexpr size_t kMaxMessageBytes = 4096;

v1::RankExit Record(v1::RankOutcome outcome, int64_t last_step, absl::Time now) {
  v1::RankExit record;
  record.set_outcome(outcome);
  record.set_last_step(last_step);
  *record.mutable_time() =
      google::protobuf::util::TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(now));
  return record;
}

}  // namespace

v1::RankExit SuccessRecord(bool drained, int64_t last_step, absl::Time now) {
  v1::RankExit record =
      Record(drained ? v1::RANK_OUTCOME_DRAINED : v1::RANK_OUTCOME_COMPLETED, last_step, now);
  record.set_exit_code(kExitSuccess);
  record.set_status_code("OK");
  return record;
}

v1::RankExit FailureRecord(const absl::Status& status, int64_t last_step, absl::Time now) {
  v1::RankExit record = Record(v1::RANK_OUTCOME_FAILED, last_step, now);
  record.set_exit_code(kExitFailed);
  record.set_status_code(absl::StatusCodeToString(status.code()));
  // The cut may be in the middle of a character.
  record.set_message(ToUtf8(status.message().substr(0, kMaxMessageBytes)));
  record.set_slow_link(status.GetPayload(jepa::kSlowLinkPayload).has_value());
  return record;
}

absl::Status WriteExitRecord(const std::string& folder, const v1::RankExit& record) {
  return WriteFileAtomically(absl::StrCat(folder, "/", link::kExitFile),
                             record.SerializeAsString());
}

}  // namespace ijepa::rank
