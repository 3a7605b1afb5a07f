// Backends from the coordinator's settings file:
//   queues:
//     gpu: {backend: slurm, limit: 512}
//   backends:
//     slurm: {coordinator: 10.0.0.1:7441, partition: main}
#ifndef IJEPA_COORDINATOR_BACKEND_SETTINGS_H_
#define IJEPA_COORDINATOR_BACKEND_SETTINGS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "coordinator/core/queues.h"
#include "proto/spec/settings_reader.h"

namespace ijepa::coordinator {

// Of one backend.
struct BackendSettings {
  // HOST:PORT at which workers in an allocation reach the worker listener; empty: worker_listen.
  std::string coordinator;
  // Between looks at the backend while nothing of ours starts or ends; 1 s while something does.
  absl::Duration poll = absl::Seconds(10);
  // Longest time of one call to it.
  absl::Duration call = absl::Seconds(20);
  // PEM files as the workers find them on their machines, all three or none (worker/daemon). The
  // certificate may have any name; the attempt's token says which node it is.
  std::string tls_certificate;
  std::string tls_key;
  std::string tls_authority;
  // Not a key: the folder for checkpoints, which every node sees.
  std::string shared_folder;
  // The keys that only this backend has, as text; the backend checks them itself.
  std::map<std::string, std::string> own;
};

// By name: slurm, kubernetes.
using Backends = std::map<std::string, BackendSettings>;

// The table `backends` and its keys.
spec::SettingsTable BackendTable();

// Takes the table. InvalidArgument names the setting, its value and the rule; also for a queue
// whose backend is not in it.
absl::Status TakeBackends(const spec::SettingsWithTables& settings, const SchedulingRules& rules,
                          Backends& backends);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_BACKEND_SETTINGS_H_
