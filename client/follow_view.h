// How a followed job is shown: a live block on a terminal, lines in a pipe, messages for programs.
#ifndef IJEPA_CLIENT_FOLLOW_VIEW_H_
#define IJEPA_CLIENT_FOLLOW_VIEW_H_

#include <functional>
#include <memory>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/render/message.h"
#include "client/render/terminal.h"
#include "ijepa/v1/job.pb.h"

namespace ijepa::client {

using Writer = std::function<void(absl::string_view)>;

// Gets the job after every change. Thread-compatible.
class FollowView {
 public:
  virtual ~FollowView() = default;
  virtual void Update(const v1::Job& job, absl::Time now) = 0;
  // After the last Update: the job is terminal, or the watcher leaves.
  virtual void Finish(const v1::Job& job, absl::Time now) = 0;
};

// A block redrawn in place: state, progress bar, figures, loss curve; state changes and events
// scroll above it. `terminal` must be a terminal.
std::unique_ptr<FollowView> NewLiveView(const Terminal& terminal, Writer write);

// One line per state change and event, and one of figures at most every `interval`.
std::unique_ptr<FollowView> NewLineView(const Terminal& terminal, absl::Duration interval,
                                        Writer write);

// Every update as one JSON line or one YAML document.
std::unique_ptr<FollowView> NewMessageView(OutputFormat format, Writer write);

// How a job ended: state, reason, checkpoint, what it learnt.
std::string EndSummary(const v1::Job& job, absl::Time now, const Terminal& terminal);

}  // namespace ijepa::client

#endif  // IJEPA_CLIENT_FOLLOW_VIEW_H_
