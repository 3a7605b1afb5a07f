// Settings of the coordinator: flags over a YAML file over defaults.
#ifndef IJEPA_COORDINATOR_SETTINGS_H_
#define IJEPA_COORDINATOR_SETTINGS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/backend_settings.h"
#include "coordinator/core/options.h"

namespace ijepa::coordinator {

struct Settings {
  // HOST:PORT; port 0 takes a free one, which addresses.json tells.
  std::string listen = "127.0.0.1:7440";
  std::string worker_listen = "127.0.0.1:7441";
  // "none" serves none.
  std::string metrics_listen = "127.0.0.1:7442";
  // Required. On a local disk; survives the coordinator.
  std::string data_dir;
  // Allows addresses beyond loopback without TLS.
  bool insecure = false;
  // PEM files. With certificate and key, clients and workers are served over TLS; with an
  // authority, too, workers must show a certificate of it whose common name is their node. Empty:
  // none.
  std::string tls_certificate;
  std::string tls_key;
  std::string tls_authority;
  // Clients must show a token; there is always one in a file for the user who runs the coordinator
  // (common/token_file.h). False: everybody may do everything.
  bool ask_for_token = true;
  // Calls that one user may make, in the long run and at once. Higher: one may hold up the others.
  double calls_per_second = 1000;
  double calls_at_once = 2000;
  Backends backends;
  // From a worker's connection until its hello. Lower: slow ones connect in vain.
  absl::Duration hello_deadline = absl::Seconds(10);
  // Times, limits, and checkpoint_root, which is required.
  CoreOptions core;
};

// Reads the command line and the file that --config names, and checks the result. InvalidArgument
// names the setting, its value and the rule. Ends the program for --help, --version (0) and flags
// that it does not know (2).
absl::StatusOr<Settings> ReadSettings(int argc, char** argv);

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SETTINGS_H_
