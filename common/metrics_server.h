// /metrics over HTTP, by prometheus-cpp, for the coordinator and the worker. Never in a process
// that loads LibTorch: the exposer's small thread stacks collide with LibTorch's thread-local
// storage.
#ifndef IJEPA_COMMON_METRICS_SERVER_H_
#define IJEPA_COMMON_METRICS_SERVER_H_

#include <prometheus/collectable.h>
#include <prometheus/registry.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace prometheus {
class Exposer;
}

namespace ijepa {

// Serves a registry at http://HOST:PORT/metrics until destroyed. Thread-safe as the registry is.
class MetricsServer {
 public:
  // Starts to serve on `address` (HOST:PORT; port 0 takes a free one). Returns Unavailable if the
  // port is taken, InvalidArgument if the address is not HOST:PORT.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(const std::string& address);
  ~MetricsServer();

  // Families and metrics are made here; they live as long as the server.
  prometheus::Registry& registry() { return *registry_; }
  // Adds figures that are computed when scraped, on a thread of the server. The server keeps only a
  // weak reference: the caller keeps `collectable` alive for as long as it shall be scraped.
  void AddCollectable(const std::shared_ptr<prometheus::Collectable>& collectable);
  // HOST:PORT it serves on, with the real port.
  const std::string& address() const { return address_; }

 private:
  MetricsServer(std::shared_ptr<prometheus::Registry> registry,
                std::unique_ptr<prometheus::Exposer> exposer, std::string address);

  std::shared_ptr<prometheus::Registry> registry_;
  std::unique_ptr<prometheus::Exposer> exposer_;
  std::string address_;
};

}  // namespace ijepa

#endif  // IJEPA_COMMON_METRICS_SERVER_H_
