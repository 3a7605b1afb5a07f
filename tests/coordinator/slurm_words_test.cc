// What SLURM says and what we make of it; the lines are those of SLURM 22.05.
#include "coordinator/backends/slurm_words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "coordinator/backends/slurm_backend.h"

namespace ijepa::coordinator {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;

ObservedAllocation Parse(const std::string& line) {
  const auto found = ParseSqueue(line, "ijepa-abc-");
  return found.ok() && found->size() == 1 ? found->front() : ObservedAllocation();
}

TEST(SlurmWordsTest, ALineOfSqueueIsAnAllocationOfOurs) {
  const ObservedAllocation seen = Parse("12|ijepa-abc-demo-k3-g2|RUNNING|None|vn[0-1]|0|0|\n");
  EXPECT_EQ(seen.handle, "12");
  EXPECT_EQ(seen.name, "demo-k3-g2");
  EXPECT_EQ(seen.phase, ObservedPhase::kRunning);
  EXPECT_EQ(seen.reason, "");
  EXPECT_FALSE(seen.started_over);
}

TEST(SlurmWordsTest, JobsOfOthersAreNotListed) {
  const auto found =
      ParseSqueue("7|wrap|RUNNING|None||0|1|\n8|ijepa-xyz-a-g1|PENDING|None||0|0|\n", "ijepa-abc-");
  ASSERT_TRUE(found.ok());
  EXPECT_TRUE(found->empty());
  EXPECT_FALSE(ParseSqueue("slurm_load_jobs error\n", "ijepa-abc-").ok());
}

TEST(SlurmWordsTest, EveryStateHasOnePlaceInTheTable) {
  std::set<std::string> names;
  for (const SlurmState& state : SlurmStates()) {
    EXPECT_TRUE(names.insert(state.name).second) << state.name;
  }
  const auto end_of = [](const char* name) {
    const SlurmState state = SlurmStateOf(name);
    EXPECT_EQ(state.phase, ObservedPhase::kEnded) << name;
    return state.end;
  };
  EXPECT_EQ(end_of("COMPLETED"), AllocationEnd::kCompleted);
  EXPECT_EQ(end_of("FAILED"), AllocationEnd::kFailed);
  EXPECT_EQ(end_of("CANCELLED"), AllocationEnd::kCancelled);
  EXPECT_EQ(end_of("PREEMPTED"), AllocationEnd::kPreempted);
  EXPECT_EQ(end_of("TIMEOUT"), AllocationEnd::kTimeLimit);
  EXPECT_EQ(end_of("NODE_FAIL"), AllocationEnd::kNodeFailed);
  EXPECT_EQ(end_of("BOOT_FAIL"), AllocationEnd::kNodeFailed);
  EXPECT_EQ(end_of("OUT_OF_MEMORY"), AllocationEnd::kOutOfMemory);
  EXPECT_EQ(SlurmStateOf("COMPLETING").phase, ObservedPhase::kRunning) << "not over yet";
  EXPECT_EQ(SlurmStateOf("CONFIGURING").phase, ObservedPhase::kPending);
  EXPECT_EQ(SlurmStateOf("NEW_IN_SLURM_30").phase, ObservedPhase::kRunning) << "nothing is lost";
}

TEST(SlurmWordsTest, AJobThatSlurmPutBackIsStartedOver) {
  EXPECT_TRUE(Parse("12|ijepa-abc-a-g1|PENDING|BeginTime||1|0|\n").started_over);
}

TEST(SlurmWordsTest, TheOneHostOfANodeFailureAndTheExitCodeAreTaken) {
  EXPECT_EQ(Parse("1|ijepa-abc-a-g1|NODE_FAIL|NodeDown|vn3|0|0|\n").host, "vn3");
  EXPECT_EQ(Parse("1|ijepa-abc-a-g1|NODE_FAIL|NodeDown|x3,vn[0-1]|0|0|\n").host, "")
      << "which of them is not said";
  EXPECT_EQ(Parse("1|ijepa-abc-a-g1|FAILED|NonZeroExitCode|vn0|0|768|\n").reason,
            "NonZeroExitCode, exit code 3");
}

TEST(SlurmWordsTest, AFailedPrologIsNotTakenForSomebodyWhoCancels) {
  const ObservedAllocation failed = Parse("3|ijepa-abc-a-g1|CANCELLED|None|vn[0-1]|0|0|\n");
  EXPECT_EQ(failed.end, AllocationEnd::kFailed);
  EXPECT_EQ(failed.reason, "its script was not started");
  EXPECT_THAT(failed.advice, HasSubstr("sinfo -R"));
  EXPECT_EQ(Parse("1|ijepa-abc-a-g1|CANCELLED|None|vn[0-1]|0|15|\n").end,
            AllocationEnd::kCancelled);
  EXPECT_EQ(Parse("2|ijepa-abc-a-g1|CANCELLED|Resources||0|0|\n").end, AllocationEnd::kCancelled);
}

TEST(SlurmWordsTest, RefusalsKeepItsWordsAndAddAdvice) {
  const absl::Status refused =
      SlurmError("sbatch",
                 "sbatch: error: invalid partition specified: nope\n"
                 "sbatch: error: Batch job submission failed: Invalid partition name specified\n");
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("invalid partition specified: nope"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("set slurm.partition"));
  EXPECT_TRUE(absl::IsUnavailable(
      SlurmError("sbatch",
                 "sbatch: error: Batch job submission failed: Unable to contact slurm controller "
                 "(connect failure)\n")));
  EXPECT_THAT(SlurmAdvice("AssocGrpGRES"), HasSubstr("a limit of the account"));
  EXPECT_THAT(SlurmAdvice("Requested partition configuration not available now"),
              HasSubstr("ask for less"));
  EXPECT_EQ(SlurmAdvice("Resources"), "") << "only to be waited for";
}

// The words are those of SLURM 22.05: slurm_strerror, job_reason_string.
TEST(SlurmWordsTest, EachRefusalAndReasonHasTheAdviceThatFitsIt) {
  const struct {
    const char* words;
    const char* advice;
  } cases[] = {
      {"No partition specified or system default partition", "slurm.partition"},
      {"Requested nodes not in this partition", "slurm.partition"},
      {"User's group not permitted to use this partition", "slurm.partition"},
      {"Access/permission denied", "allow the coordinator's user"},
      {"Invalid account or account/partition combination specified", "slurm.account"},
      {"AccountNotAllowed", "slurm.account"},
      {"Invalid qos specification", "set slurm.qos"},
      {"QOSNotAllowed", "set slurm.qos"},
      {"Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
       "a limit of the account"},
      {"Requested account has breached requested QOS usage threshold", "a limit of the account"},
      {"QOSMaxGRESPerUser", "a limit of the account"},
      {"MaxJobsPerAccount", "a limit of the account"},
      {"AccountingPolicy", "a limit of the account"},
      {"Requested time limit is invalid (missing or exceeds some limit)", "slurm.time_limit"},
      {"PartitionTimeLimit", "slurm.time_limit"},
      {"Access denied to requested reservation", "set slurm.reservation"},
      {"Requested reservation is invalid", "set slurm.reservation"},
      {"ReservationDeleted", "set slurm.reservation"},
      {"Reservation", "it waits for its reservation"},
      {"Invalid feature specification", "slurm.constraint"},
      {"Invalid generic resource (gres) specification", "set slurm.gres"},
      {"Invalid GRES specification (with and without type identification)", "set slurm.gres"},
      {"Node count specification invalid", "ask for less"},
      {"Memory required by task is not available", "ask for less"},
      {"MaxMemPerLimit", "ask for less"},
      {"Partition in DOWN state", "the partition is down"},
      {"Required partition not available (inactive or drain)", "the partition is down"},
      {"Required node not available (down, drained or reserved)", "nodes are down"},
      {"NodeDown", "nodes are down"},
  };
  for (const auto& one : cases)
    EXPECT_THAT(SlurmAdvice(one.words), HasSubstr(one.advice)) << one.words;
  for (const char* only_time : {"Priority", "Resources", "Dependency", "BeginTime", "Licenses"}) {
    EXPECT_EQ(SlurmAdvice(only_time), "");
  }
}

TEST(SlurmWordsTest, NodesOfSeveralPartitionsAreListedOnce) {
  const auto nodes = ParseSinfo("vn0|idle|none\nvn0|idle|none\nvn1|down*|Not responding\n");
  ASSERT_EQ(nodes.size(), 2);
  EXPECT_TRUE(nodes[0].usable);
  EXPECT_FALSE(nodes[1].usable);
  EXPECT_EQ(nodes[1].reason, "Not responding");
}

TEST(SlurmScriptTest, TheJobsSectionBecomesOptionsAndTheTokenStaysOutOfThem) {
  v1::JobSpec spec;
  spec.set_cpu_threads(2);
  spec.mutable_data()->set_num_workers(1);
  spec.mutable_slurm()->set_nodes(2);
  spec.mutable_slurm()->set_gres("gpu:2");
  spec.mutable_slurm()->set_time_limit("90s");
  spec.mutable_slurm()->set_account("vision");
  spec.mutable_slurm()->set_qos("long");
  spec.mutable_slurm()->set_constraint("h100&ib");
  spec.mutable_slurm()->set_reservation("august");
  spec.mutable_slurm()->set_memory("64G");
  v1::Label& option = *spec.mutable_slurm()->add_options();
  option.set_key("exclude");
  option.set_value("n1; rm -rf /");
  AllocationRequest request{
      {"demo", "uid", 3}, 4, std::make_shared<const v1::JobSpec>(spec), "secret"};
  SlurmSettings settings;
  settings.partition = "main";
  settings.log_dir = "/logs";
  const std::vector<std::string> arguments = SbatchArguments(request, settings, "ijepa-abc-");
  EXPECT_THAT(arguments, Contains("--job-name=ijepa-abc-demo-g3"));
  EXPECT_THAT(arguments, Contains("--ntasks-per-node=2"));
  EXPECT_THAT(arguments, Contains("--cpus-per-task=3"));
  EXPECT_THAT(arguments, Contains("--partition=main"));
  EXPECT_THAT(arguments, Contains("--time=0:01:30"));
  EXPECT_THAT(arguments,
              IsSupersetOf({"--gres=gpu:2", "--account=vision", "--qos=long",
                            "--constraint=h100&ib", "--reservation=august", "--mem=64G"}));
  EXPECT_THAT(arguments, Contains("--no-requeue"));
  EXPECT_THAT(arguments, Contains("--exclude=n1; rm -rf /")) << "one word: no shell reads it";
  EXPECT_THAT(arguments, Not(Contains(HasSubstr("secret"))));
  settings.worker = "/opt/it's/ijepa-worker";
  const std::string script = SlurmScript(request, settings, BackendSettings());
  EXPECT_THAT(script, HasSubstr("IJEPA_ALLOCATION_TOKEN='secret'"));
  EXPECT_THAT(script, HasSubstr("IJEPA_WORKER='/opt/it'\\''s/ijepa-worker'"));
}

}  // namespace
}  // namespace ijepa::coordinator
