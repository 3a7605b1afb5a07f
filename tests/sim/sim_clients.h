// The people of a run: they submit, repeat what was not answered, cancel and pin.
#ifndef IJEPA_TESTS_SIM_SIM_CLIENTS_H_
#define IJEPA_TESTS_SIM_SIM_CLIENTS_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "auditor.h"
#include "sim_coordinator.h"

namespace ijepa::sim {

class SimClients {
 public:
  SimClients(EventQueue& events, SimRandom& random, SimCoordinator& coordinator, Auditor& auditor)
      : events_(events), random_(random), coordinator_(coordinator), auditor_(auditor) {}

  // Submits a job of chance for at most `most_ranks`, and goes on until it is acknowledged or
  // refused.
  void Submit(int most_ranks);
  // Cancels a job of chance, and goes on until that is acknowledged.
  void CancelOne();
  // Cancels what can never start here.
  void CancelHopeless();
  // Ends the cordon of a node, and goes on until that is acknowledged.
  void Uncordon(const std::string& node);
  // Pins or unpins the newest checkpoint of a job of chance; once.
  void PinOne();

  // Requests that wait for an answer.
  int waiting() const { return waiting_; }
  const std::vector<std::string>& jobs() const { return names_; }

 private:
  void Create(const std::string& request_id, const v1::JobSpec& spec);
  void Cancel(const std::string& name);
  // Calls `again` after a while if the answer may come another time.
  bool Repeats(const absl::Status& status, std::function<void()> again);

  EventQueue& events_;
  SimRandom& random_;
  SimCoordinator& coordinator_;
  Auditor& auditor_;
  int next_request_ = 1;
  int next_id_ = 1;
  int waiting_ = 0;
  std::vector<std::string> names_;
};

}  // namespace ijepa::sim

#endif  // IJEPA_TESTS_SIM_SIM_CLIENTS_H_
