// Jobs wherever they are: live ones from the state thread, ended ones from history.
#ifndef IJEPA_COORDINATOR_SERVICES_JOB_READER_H_
#define IJEPA_COORDINATOR_SERVICES_JOB_READER_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "ijepa/v1/coordinator.pb.h"
#include "ijepa/v1/storage.pb.h"

namespace ijepa::coordinator {

class HistoryThread;
class ListWatchers;
class StateThread;

// Thread-safe. Answers come on the state thread or the history thread, once per call, and must not
// block; ResourceExhausted if too many calls wait, Unavailable while nothing can be read.
class JobReader {
 public:
  template <typename Value>
  using Answer = std::function<void(absl::StatusOr<Value>)>;

  // All outlive the reader.
  JobReader(StateThread& state, HistoryThread& history, const ListWatchers& watchers)
      : state_(state), history_(history), watchers_(watchers) {}

  // Names as clients send them: an id alone is of the default project.

  // The whole job. NotFound names it.
  void Find(const std::string& name, Answer<v1::Job> answer);
  // With its checkpoints.
  void FindWhole(const std::string& name, Answer<v1::SealedJob> answer);
  // Newest first, with what keeps each.
  void FindCheckpoints(const std::string& job, Answer<v1::ListCheckpointsResponse> answer);
  // A page. InvalidArgument as ReadListQuery.
  void List(const v1::ListJobsRequest& request, Answer<v1::ListJobsResponse> answer);

 private:
  void FindPast(const std::string& name, Answer<v1::SealedJob> answer);

  StateThread& state_;
  HistoryThread& history_;
  const ListWatchers& watchers_;
};

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SERVICES_JOB_READER_H_
