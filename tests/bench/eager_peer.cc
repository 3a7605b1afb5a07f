// The Python side of step_bench; see eager_peer.h.
#include "eager_peer.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace jepa::bench {
namespace {

constexpr char kPython[] = "python3";

// Becomes eager_baseline.py. Only in the child.
[[noreturn]] void RunPython(int input, int output) {
  dup2(input, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  setenv("PYTHONPATH", IJEPA_PYTHON_SITE, 1);
  execlp(kPython, kPython, IJEPA_EAGER_BASELINE, nullptr);
  _exit(127);
}

}  // namespace

absl::StatusOr<std::unique_ptr<EagerPeer>> EagerPeer::Start(const nlohmann::json& config) {
  signal(SIGPIPE, SIG_IGN);  // A peer that died is a status, not a signal.
  int down[2], up[2];
  if (pipe2(down, O_CLOEXEC) != 0) return absl::InternalError("no pipe for eager_baseline.py");
  if (pipe2(up, O_CLOEXEC) != 0) {
    close(down[0]);
    close(down[1]);
    return absl::InternalError("no pipe for eager_baseline.py");
  }
  std::unique_ptr<EagerPeer> peer(new EagerPeer());
  peer->child_ = fork();
  if (peer->child_ == 0) RunPython(down[0], up[1]);
  close(down[0]);
  close(up[1]);
  peer->to_child_ = fdopen(down[1], "w");
  peer->from_child_ = fdopen(up[0], "r");
  if (peer->child_ < 0) return absl::InternalError("cannot fork eager_baseline.py");
  IJEPA_RETURN_IF_ERROR(peer->Ask(config).status());
  return peer;
}

EagerPeer::~EagerPeer() {
  fclose(to_child_);  // The end of its input ends it.
  fclose(from_child_);
  if (child_ > 0) waitpid(child_, nullptr, 0);
}

absl::StatusOr<nlohmann::json> EagerPeer::Ask(const nlohmann::json& line) {
  const std::string text = line.dump() + "\n";
  if (fwrite(text.data(), 1, text.size(), to_child_) != text.size() || fflush(to_child_) != 0) {
    return absl::UnavailableError("eager_baseline.py has ended; its error is above");
  }
  char* answer = nullptr;
  size_t capacity = 0;
  const ssize_t length = getline(&answer, &capacity, from_child_);
  const std::string copy(answer != nullptr && length > 0 ? answer : "");
  free(answer);
  nlohmann::json parsed = nlohmann::json::parse(copy, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_discarded()) {
    return absl::UnavailableError(
        absl::StrCat("eager_baseline.py answered \"", copy, "\"; its error is above"));
  }
  return parsed;
}

absl::StatusOr<EagerStep> EagerPeer::Step(const MaskBatch& masks) {
  IJEPA_ASSIGN_OR_RETURN(const nlohmann::json answer,
                         Ask({{"context", masks.context}, {"target", masks.target}}));
  return EagerStep{.wall_ms = answer.value("ms", 0.0),
                   .cpu_ms = answer.value("cpu_ms", 0.0),
                   .loss = answer.value("loss", 0.0),
                   .peak_rss_bytes = answer.value("peak_rss_bytes", int64_t{0})};
}

}  // namespace jepa::bench
