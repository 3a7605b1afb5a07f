// The SLURM job of an attempt: options of sbatch, and the script.
#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "coordinator/backends/slurm_backend.h"
#include "coordinator/backends/slurm_words.h"

namespace ijepa::coordinator {
namespace {

// For bash: one word, whatever is in it.
std::string Quoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

// The script after its settings. Each node gets one worker with as many slots as it has tasks;
// SLURM_TASKS_PER_NODE is "2(x3),1". srun passes USR1 on to the workers, which drain. A SLURM job
// that is started over, because somebody made SLURM put it back, runs nothing: its attempt is over.
// The worker's folder is named by the SLURM job, which is all that an epilog is told
// (deploy/slurm/epilog.sh).
constexpr char kBody[] = R"(
[ "${SLURM_RESTART_COUNT:-0}" = 0 ] || exit 0
export IJEPA_TASKS=$SLURM_TASKS_PER_NODE
start='
slots=()
IFS=, read -ra parts <<< "$IJEPA_TASKS"
for part in "${parts[@]}"; do
  times=1
  [[ $part != *"(x"* ]] || { times=${part#*x}; times=${times%)}; }
  for ((i = 0; i < times; i++)); do slots+=("${part%%(*}"); done
done
exec "$IJEPA_WORKER" --coordinator "$IJEPA_COORDINATOR" --node "$SLURMD_NODENAME.$IJEPA_NAME" \
  --slots "${slots[$SLURM_NODEID]}" --state-dir "$IJEPA_STATE/ijepa-$SLURM_JOB_ID-$SLURMD_NODENAME" \
  --metrics-listen none --drain-seconds "$IJEPA_DRAIN" "${@}" \
  --allocation "$IJEPA_ATTEMPT:$SLURMD_NODENAME"
'
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 --cpu-bind=none --mem=0 \
  --kill-on-bad-exit=0 --wait=0 bash -c "$start" ijepa-worker "${options[@]}" &
step=$!
trap 'kill -USR1 "$step" 2> /dev/null' USR1
code=128
# A trap ends `wait` early.
while [ $code -gt 127 ] && kill -0 "$step" 2> /dev/null; do
  wait "$step"
  code=$?
done
exit $code
)";

int CpusPerRank(const v1::JobSpec& spec) {
  if (spec.slurm().has_cpus_per_rank()) return spec.slurm().cpus_per_rank();
  return std::max(1, spec.cpu_threads() + spec.data().num_workers());
}

}  // namespace

std::vector<std::string> SbatchArguments(const AllocationRequest& request,
                                         const SlurmSettings& settings, const std::string& prefix) {
  const v1::SlurmSpec& slurm = request.spec->slurm();
  std::vector<std::string> arguments = {
      "--no-requeue",
      "--open-mode=append",
      absl::StrCat("--job-name=", prefix, request.id.Name()),
      absl::StrCat("--ntasks=", request.ranks),
      absl::StrCat("--cpus-per-task=", CpusPerRank(*request.spec)),
      absl::StrCat("--signal=B:USR1@", absl::ToInt64Seconds(settings.warn)),
      absl::StrCat("--chdir=", settings.log_dir),
      absl::StrCat("--output=", settings.log_dir, "/", request.id.Name(), ".out"),
  };
  if (slurm.nodes() > 0) {
    arguments.push_back(absl::StrCat("--nodes=", slurm.nodes()));
    arguments.push_back(absl::StrCat("--ntasks-per-node=", request.ranks / slurm.nodes()));
  }
  const auto add = [&](const char* option, const std::string& asked, const std::string& otherwise) {
    const std::string& value = asked.empty() ? otherwise : asked;
    if (!value.empty()) arguments.push_back(absl::StrCat("--", option, "=", value));
  };
  add("partition", slurm.partition(), settings.partition);
  add("account", slurm.account(), settings.account);
  add("qos", slurm.qos(), settings.qos);
  add("constraint", slurm.constraint(), "");
  add("gres", slurm.gres(), "");
  add("reservation", slurm.reservation(), "");
  add("mem", slurm.memory(), "");
  absl::Duration limit;
  if (absl::ParseDuration(slurm.time_limit(), &limit)) {
    arguments.push_back(absl::StrCat("--time=", SlurmTime(limit)));
  }
  for (const v1::Label& option : slurm.options()) {
    arguments.push_back(option.value().empty()
                            ? absl::StrCat("--", option.key())
                            : absl::StrCat("--", option.key(), "=", option.value()));
  }
  return arguments;
}

std::string SlurmScript(const AllocationRequest& request, const SlurmSettings& settings,
                        const BackendSettings& common) {
  std::string script = absl::StrCat("#!/bin/bash\n# Attempt ", request.id.generation, " of job ",
                                    request.id.job, ".\n");
  const auto set = [&](const char* name, const std::string& value) {
    absl::StrAppend(&script, "export ", name, "=", Quoted(value), "\n");
  };
  if (!settings.conf.empty()) set("SLURM_CONF", settings.conf);
  set("IJEPA_ALLOCATION_TOKEN", request.token);
  set("IJEPA_ATTEMPT", absl::StrCat(request.id.uid, ":", request.id.generation));
  set("IJEPA_NAME", request.id.Name());
  set("IJEPA_WORKER", settings.worker);
  set("IJEPA_COORDINATOR", common.coordinator);
  set("IJEPA_STATE", settings.state_dir);
  set("IJEPA_DRAIN", absl::StrCat(absl::ToInt64Seconds(settings.warn)));
  absl::StrAppend(&script, "options=(");
  if (!common.tls_authority.empty()) {
    absl::StrAppend(&script, "--tls-certificate ", Quoted(common.tls_certificate), " --tls-key ",
                    Quoted(common.tls_key), " --tls-authority ", Quoted(common.tls_authority));
  }
  absl::StrAppend(&script, ")\n", kBody);
  return script;
}

}  // namespace ijepa::coordinator
