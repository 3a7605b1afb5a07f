// What is said to slurmrestd and what it answers; the answers are those of SLURM 22.05.
#include "coordinator/backends/slurm_rest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace ijepa::coordinator {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kFile[] = "/etc/ijepa/slurm.token";

std::string TokenText(const std::string& claims) {
  std::string head;
  std::string body;
  absl::WebSafeBase64Escape(R"({"alg":"HS256","typ":"JWT"})", &head);
  absl::WebSafeBase64Escape(claims, &body);
  return absl::StrCat(head, ".", body, ".c2lnbmF0dXJl");
}

SlurmToken Token(int64_t end) {
  const auto token = ReadSlurmToken(TokenText(absl::StrCat(R"({"sun":"ann","exp":)", end, "}")));
  EXPECT_TRUE(token.ok()) << token.status();
  return token.value_or(SlurmToken());
}

absl::Status ErrorOf(long code, const std::string& body, int64_t now = 100) {
  return RestError({code, body}, Token(1000), kFile, absl::FromUnixSeconds(now));
}

TEST(SlurmRestTest, ATokenSaysForWhomItIsAndUntilWhen) {
  const auto token =
      ReadSlurmToken("SLURM_JWT=" + TokenText(R"({"exp":1000,"iat":5,"sun":"ann"})") + "\n");
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_EQ(token->text, TokenText(R"({"exp":1000,"iat":5,"sun":"ann"})"));
  EXPECT_EQ(token->user, "ann");
  EXPECT_EQ(token->end, absl::FromUnixSeconds(1000));
  EXPECT_EQ(ReadSlurmToken(TokenText("{}"))->end, absl::InfiniteFuture());
}

TEST(SlurmRestTest, WhatIsNoTokenIsRefusedAndNeverRepeated) {
  for (const std::string& text :
       {std::string(), std::string("s3cret"), std::string("s3cret.!!.x"), TokenText("[1]"),
        "s3cret\r\nX-Other: 1." + TokenText("{}"), TokenText("{}") + ".s3cret"}) {
    const auto token = ReadSlurmToken(text);
    EXPECT_TRUE(absl::IsInvalidArgument(token.status())) << text;
    EXPECT_THAT(std::string(token.status().message()), Not(HasSubstr("s3cret")));
  }
}

TEST(SlurmRestTest, OptionsOfSbatchBecomePropertiesOfTheJob) {
  const auto sent = nlohmann::json::parse(
      RestSubmission({"--no-requeue", "--job-name=ijepa-abc-demo-g3", "--ntasks=4",
                      "--ntasks-per-node=2", "--cpus-per-task=3", "--signal=B:USR1@20",
                      "--chdir=/logs", "--output=/logs/a=b.out", "--constraint=a100", "--mem=4G",
                      "--time=0:01:30", "--gres=gpu:2", "--open-mode=append", "--spread-job"},
                     "#!/bin/bash\necho \xff\n", "/opt/slurm/bin"));
  const auto& job = sent["job"];
  EXPECT_EQ(job["requeue"], false);
  EXPECT_EQ(job["name"], "ijepa-abc-demo-g3");
  EXPECT_EQ(job["tasks"], "4");
  EXPECT_EQ(job["tasks_per_node"], "2");
  EXPECT_EQ(job["cpus_per_task"], "3");
  EXPECT_EQ(job["signal"], "USR1@20") << "to the steps: B: is refused";
  EXPECT_EQ(job["current_working_directory"], "/logs");
  EXPECT_EQ(job["standard_output"], "/logs/a=b.out");
  EXPECT_EQ(job["constraints"], "a100");
  EXPECT_EQ(job["memory_per_node"], "4G");
  EXPECT_EQ(job["time_limit"], "0:01:30");
  EXPECT_EQ(job["gres"], "gpu:2");
  EXPECT_EQ(job["spread_job"], true);
  EXPECT_THAT(job["environment"]["PATH"].get<std::string>(), HasSubstr("/opt/slurm/bin:/usr"));
  EXPECT_THAT(sent["script"].get<std::string>(), HasSubstr("#!/bin/bash\necho "));
}

TEST(SlurmRestTest, PropertiesByOtherNamesDoNotReplaceOurs) {
  const auto sent = nlohmann::json::parse(
      RestSubmission({"--job-name=ours", "--output=/ours", "--name=x", "--standard-output=/x",
                      "--environment=LD_PRELOAD", "--requeue"},
                     "script", ""));
  EXPECT_EQ(sent["job"]["name"], "ours");
  EXPECT_EQ(sent["job"]["standard_output"], "/ours");
  EXPECT_TRUE(sent["job"]["environment"].is_object());
  EXPECT_THAT(sent["job"]["environment"].dump(), Not(HasSubstr("LD_PRELOAD")));
}

TEST(SlurmRestTest, OnlyOurJobsAreListedAsSqueueHasThem) {
  const auto found = ParseRestJobs(
      R"({"meta": {}, "errors": [], "jobs": [
        {"job_id": 7, "name": "wrap", "user_name": "ann", "job_state": "RUNNING"},
        {"job_id": 8, "name": "ijepa-abc-a-g1", "user_name": "bob", "job_state": "RUNNING"},
        {"job_id": 9, "name": "ijepa-abc-a-g2", "user_name": "ann", "job_state": "PENDING",
         "state_reason": "Resources", "nodes": "", "restart_cnt": 1, "exit_code": 0,
         "job_resources": {"allocated_nodes": [{"sockets": {"0": {"name": "x"}}}]}},
        {"job_id": 10, "name": "ijepa-abc-b-g1", "user_name": "ann", "job_state": "FAILED",
         "state_reason": "NonZeroExitCode", "nodes": "vn[0-1]", "restart_cnt": 0,
         "exit_code": 768}]})",
      "ijepa-abc-", "ann");
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->size(), 2);
  EXPECT_EQ((*found)[0].handle, "9");
  EXPECT_EQ((*found)[0].name, "a-g2");
  EXPECT_EQ((*found)[0].phase, ObservedPhase::kPending);
  EXPECT_EQ((*found)[0].reason, "Resources");
  EXPECT_TRUE((*found)[0].started_over);
  EXPECT_EQ((*found)[1].reason, "NonZeroExitCode, exit code 3");
  EXPECT_EQ((*found)[1].end, AllocationEnd::kFailed);
}

TEST(SlurmRestTest, AnAnswerOfAnotherVersionIsNotTakenForAnEmptyOne) {
  for (const char* body : {"", "{}", "[]", R"({"jobs": {}})", R"({"jobs": [1]})",
                           R"({"jobs": [{"name": "ijepa-abc-a-g1", "user_name": "ann",
                               "job_state": ["RUNNING"]}]})"}) {
    const auto found = ParseRestJobs(body, "ijepa-abc-", "ann");
    EXPECT_TRUE(absl::IsUnavailable(found.status())) << body;
  }
  EXPECT_FALSE(ParseRestSubmit(R"({"errors": []})").ok());
  EXPECT_EQ(*ParseRestSubmit(R"({"errors": [], "job_id": 12})"), "12");
  EXPECT_FALSE(ParseRestNodes("{}").ok());
}

TEST(SlurmRestTest, ANodeWithAFlagThatKeepsWorkAwayIsNotUsable) {
  const auto nodes = ParseRestNodes(
      R"({"nodes": [{"name": "vn0", "state": "mixed", "state_flags": ["COMPLETING"], "reason": ""},
                    {"name": "vn1", "state": "idle", "state_flags": ["DRAIN"], "reason": "disk"}]})");
  ASSERT_TRUE(nodes.ok()) << nodes.status();
  EXPECT_TRUE((*nodes)[0].usable);
  EXPECT_FALSE((*nodes)[1].usable);
  EXPECT_EQ((*nodes)[1].state, "idle+drain");
  EXPECT_EQ((*nodes)[1].reason, "disk");
}

TEST(SlurmRestTest, RefusalsKeepItsWordsAndAddAdvice) {
  EXPECT_TRUE(ErrorOf(200, R"({"errors": [], "job_id": 4})").ok());
  const absl::Status refused = ErrorOf(
      500, R"({"errors": [{"error_code": 2000, "error": "Invalid partition name specified"}]})");
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("slurmrestd: Invalid partition name specified; set slurm.partition"));
  const absl::Status unknown =
      ErrorOf(400, R"({"errors": [{"description": "Unknown key \"bogus\"", "source": "hsearch_r"},
                          {"error_code": 9001, "error": "Failure during parsing"}]})");
  EXPECT_TRUE(absl::IsFailedPrecondition(unknown));
  EXPECT_THAT(std::string(unknown.message()),
              HasSubstr("Unknown key \"bogus\"; Failure during parsing; slurmrestd has no such"));
  EXPECT_EQ(ErrorOf(500, R"({"errors": [{"error": "Unspecified error", "errno": -1}]})").message(),
            "slurmrestd: HTTP 500 Unspecified error");
  EXPECT_THAT(std::string(ErrorOf(404, "Unable find requested URL.").message()),
              HasSubstr("HTTP 404 Unable find requested URL."));
}

TEST(SlurmRestTest, AnEndedTokenIsNamedWhateverSlurmSaysOfIt) {
  const std::string hung_up =
      R"({"errors": [{"error_code": 5005, "error": "Zero Bytes were transmitted or received"}]})";
  const absl::Status ended = ErrorOf(500, hung_up, 1012);
  EXPECT_TRUE(absl::IsUnavailable(ended)) << "asked again once there is a new one";
  EXPECT_THAT(std::string(ended.message()), HasSubstr("Zero Bytes were transmitted or received; "
                                                      "the token in /etc/ijepa/slurm.token ended "
                                                      "12s ago: scontrol token username=ann"));
  EXPECT_THAT(std::string(ErrorOf(500, hung_up).message()), HasSubstr("made with another key"));
  const absl::Status unauthenticated = ErrorOf(401, "Authentication failure");
  EXPECT_TRUE(absl::IsUnavailable(unauthenticated));
  EXPECT_THAT(std::string(unauthenticated.message()),
              HasSubstr("HTTP 401 Authentication failure; slurmctld may not take the token"));
}

}  // namespace
}  // namespace ijepa::coordinator
