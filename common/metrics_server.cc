// Wraps prometheus-cpp's exposer; its exceptions end here.
#include "common/metrics_server.h"

#include <prometheus/exposer.h>

#include <exception>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"

namespace ijepa {
namespace {

// One scraper at a time is the normal case; a second thread keeps a stuck one from blocking it.
constexpr std::size_t kServerThreads = 2;

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == address.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("metrics address is \"", address, "\"; must be HOST:PORT"));
  }
  try {
    auto exposer = std::make_unique<prometheus::Exposer>(address, kServerThreads);
    const std::vector<int> ports = exposer->GetListeningPorts();
    if (ports.empty()) {
      return absl::UnavailableError(
          absl::StrCat("cannot serve metrics on ", address, ": nothing listens; use another port"));
    }
    auto registry = std::make_shared<prometheus::Registry>();
    exposer->RegisterCollectable(registry);
    std::string actual = absl::StrCat(address.substr(0, colon), ":", ports.front());
    return absl::WrapUnique(
        new MetricsServer(std::move(registry), std::move(exposer), std::move(actual)));
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrCat("cannot serve metrics on ", address, ": ",
                                               error.what(), "; is the port taken?"));
  }
}

MetricsServer::MetricsServer(std::shared_ptr<prometheus::Registry> registry,
                             std::unique_ptr<prometheus::Exposer> exposer, std::string address)
    : registry_(std::move(registry)), exposer_(std::move(exposer)), address_(std::move(address)) {}

MetricsServer::~MetricsServer() = default;

void MetricsServer::AddCollectable(const std::shared_ptr<prometheus::Collectable>& collectable) {
  exposer_->RegisterCollectable(collectable);
}

}  // namespace ijepa
