#include "worker/rank/node_facts.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "common/file.h"

namespace ijepa::rank {

spec::NodeFacts FindNodeFacts(const std::string& proc, const std::string& dev,
                              const char* visible_devices) {
  spec::NodeFacts facts;
  std::error_code error;
  for (auto it = std::filesystem::directory_iterator(dev, error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    const std::string file = it->path().filename().string();
    absl::string_view name = file;
    int index = 0;
    if (absl::ConsumePrefix(&name, "nvidia") && absl::SimpleAtoi(name, &index)) {
      facts.has_cuda = true;
    }
  }
  // An empty list, or -1, hides every GPU.
  const absl::string_view visible = visible_devices == nullptr ? "all" : visible_devices;
  if (visible.empty() || absl::StartsWith(visible, "-")) facts.has_cuda = false;
  const absl::StatusOr<std::string> cpu = ReadFile(proc + "/cpuinfo");
  facts.cpu_bf16 =
      cpu.ok() && (absl::StrContains(*cpu, "avx512_bf16") || absl::StrContains(*cpu, "amx_bf16"));
  return facts;
}

}  // namespace ijepa::rank
