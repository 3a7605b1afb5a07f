// The engine for Kubernetes without a coordinator around it: one call per line of stdin, as JSON,
// and its answer as a line of stdout. Started by tests/integration/kubernetes with a kubeconfig.
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/log.h"
#include "coordinator/backends/kubernetes_backend.h"
#include "proto/spec/spec_defaults.h"
#include "proto/spec/spec_reader.h"
#include "proto/spec/spec_validate.h"

namespace ijepa::coordinator {
namespace {

using nlohmann::json;

constexpr absl::Duration kWithin = absl::Seconds(10);

json Refusal(const absl::Status& status) {
  return {{"code", absl::StatusCodeToString(status.code())},
          {"message", std::string(status.message())}};
}

json Allocate(KubernetesBackend& backend, const json& call) {
  absl::StatusOr<v1::JobSpec> spec = spec::ReadJobSpec(call.value("spec", ""), "job.yaml");
  if (!spec.ok()) return Refusal(spec.status());
  spec::ResolveDefaults(&*spec);
  if (const absl::Status fits = backend.Validate(*spec); !fits.ok()) return Refusal(fits);
  AllocationRequest request;
  request.id = {call.value("job", ""), call.value("uid", "uid"), call.value("generation", 1)};
  request.ranks = call.value("ranks", 1);
  request.spec = std::make_shared<const v1::JobSpec>(*std::move(spec));
  request.token = "token-of-the-attempt";
  const absl::StatusOr<std::string> handle = backend.Allocate(request, kWithin);
  return handle.ok() ? json{{"handle", *handle}} : Refusal(handle.status());
}

json Reconcile(KubernetesBackend& backend) {
  static constexpr const char* kPhases[] = {"pending", "running", "ended"};
  static constexpr const char* kEnds[] = {"completed",  "failed",      "preempted",
                                          "time_limit", "node_failed", "out_of_memory",
                                          "cancelled",  "refused",     "vanished"};
  const auto seen = backend.Reconcile(kWithin);
  if (!seen.ok()) return Refusal(seen.status());
  json allocations = json::object();
  for (const ObservedAllocation& one : *seen) {
    allocations[one.name] = {{"handle", one.handle},
                             {"phase", kPhases[static_cast<int>(one.phase)]},
                             {"state", one.state},
                             {"reason", one.reason},
                             {"advice", one.advice},
                             {"hosts", one.hosts},
                             {"end", kEnds[static_cast<int>(one.end)]},
                             {"host", one.host}};
  }
  return {{"allocations", allocations}};
}

json Nodes(KubernetesBackend& backend) {
  const auto nodes = backend.Nodes(kWithin);
  if (!nodes.ok()) return Refusal(nodes.status());
  json all = json::object();
  for (const BackendNode& node : *nodes) {
    all[node.name] = {{"state", node.state}, {"reason", node.reason}, {"usable", node.usable}};
  }
  return {{"nodes", all}};
}

json Answer(KubernetesBackend& backend, const json& call) {
  const std::string what = call.value("do", "");
  if (what == "allocate") return Allocate(backend, call);
  if (what == "reconcile") return Reconcile(backend);
  if (what == "nodes") return Nodes(backend);
  if (what == "kill") {
    ObservedAllocation allocation;
    allocation.name = call.value("name", "");
    const absl::Status killed = backend.Kill(allocation, kWithin);
    return killed.ok() ? json{{"killed", allocation.name}} : Refusal(killed);
  }
  if (what == "wait") {
    const absl::Time began = absl::Now();
    backend.Wait(absl::Seconds(call.value("seconds", 1)));
    return {{"waited", absl::ToDoubleSeconds(absl::Now() - began)}};
  }
  return {{"code", "UNKNOWN"}, {"message", "no such call"}};
}

int Main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: kubernetes_probe KUBECONFIG NAMESPACE JOB_SETS(true|false)\n");
    return 2;
  }
  InitLog("kubernetes_probe");
  const absl::StatusOr<KubernetesAccess> access = ReadKubeconfig(argv[1]);
  if (!access.ok()) {
    std::fprintf(stderr, "%s\n", std::string(access.status().message()).c_str());
    return 1;
  }
  KubernetesBackend::Options options;
  options.access = *access;
  options.name_space = argv[2];
  options.job_sets = std::string(argv[3]) == "true";
  options.setup.coordinator = "coordinator.ijepa:7441";
  options.setup.identity = "0a1b2c3d";
  options.setup.image = "ijepa-worker:test";
  options.setup.checkpoint_root = "/checkpoints";
  options.setup.allow_pod_patch = true;
  KubernetesBackend backend(std::move(options));
  std::string line;
  while (std::getline(std::cin, line)) {
    const json call = json::parse(line, nullptr, false);
    std::cout << (call.is_object() ? Answer(backend, call) : json()).dump() << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace ijepa::coordinator

int main(int argc, char** argv) { return ijepa::coordinator::Main(argc, argv); }
