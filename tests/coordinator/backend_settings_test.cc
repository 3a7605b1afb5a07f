// Backends and the queues that use them, from the coordinator's settings file.
#include "coordinator/backend_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/backends/slurm_backend.h"
#include "coordinator/queue_settings.h"

namespace ijepa::coordinator {
namespace {

using ::testing::HasSubstr;

absl::Status Read(const std::string& text, Backends& backends) {
  std::vector<spec::SettingsTable> tables = QueueTables();
  tables.push_back(BackendTable());
  const auto settings = spec::ReadSettingsWithTables(text, "c.yaml", {}, tables);
  if (!settings.ok()) return settings.status();
  SchedulingRules rules;
  if (absl::Status status = TakeQueues(*settings, rules); !status.ok()) return status;
  return TakeBackends(*settings, rules, backends);
}

std::string Refusal(const std::string& text) {
  Backends backends;
  return std::string(Read(text, backends).message());
}

TEST(BackendSettingsTest, ABackendAndAQueueOfIt) {
  Backends backends;
  ASSERT_TRUE(Read("queues:\n  gpu: {backend: slurm, limit: 64}\n"
                   "backends:\n  slurm: {coordinator: \"10.0.0.1:7441\", poll_seconds: 3, "
                   "partition: main, warn_seconds: 60}\n",
                   backends)
                  .ok());
  EXPECT_EQ(backends.at("slurm").coordinator, "10.0.0.1:7441");
  EXPECT_EQ(backends.at("slurm").poll, absl::Seconds(3));
  const auto slurm = ReadSlurmSettings(backends.at("slurm"));
  ASSERT_TRUE(slurm.ok()) << slurm.status();
  EXPECT_EQ(slurm->partition, "main");
  EXPECT_EQ(slurm->warn, absl::Seconds(60));
}

TEST(BackendSettingsTest, EveryRefusalNamesTheSettingAndTheRule) {
  EXPECT_THAT(Refusal("queues:\n  gpu: {backend: slurm}\n"),
              HasSubstr("queues.gpu.backend is slurm; must be own or a name in backends"));
  EXPECT_THAT(Refusal("queues:\n  gpu: {backend: slurm, nominal: 4}\nbackends:\n  slurm: {}\n"),
              HasSubstr("queues.gpu.nominal is 4; must be absent"));
  EXPECT_THAT(Refusal("backends:\n  lsf: {}\n"), HasSubstr("backends has lsf; must be slurm"));
  EXPECT_THAT(Refusal("backends:\n  slurm: {poll_seconds: 0}\n"),
              HasSubstr("backends.slurm.poll_seconds is 0; must be"));
  EXPECT_THAT(Refusal("backends:\n  slurm: {tls_key: /k}\n"), HasSubstr("go together"));
  BackendSettings wrong;
  wrong.own["warn_seconds"] = "0";
  EXPECT_THAT(std::string(ReadSlurmSettings(wrong).status().message()),
              HasSubstr("backends.slurm.warn_seconds is 0; must be"));
  wrong.own = {{"worker", "bin/ijepa-worker"}};
  EXPECT_THAT(std::string(ReadSlurmSettings(wrong).status().message()),
              HasSubstr("must be an absolute path"));
}

TEST(BackendSettingsTest, SlurmrestdNeedsATokenAndAWayOnWhichNobodyReadsIt) {
  const auto read = [](std::map<std::string, std::string> own) {
    BackendSettings settings;
    settings.own = std::move(own);
    return ReadSlurmSettings(settings);
  };
  const auto refusal = [&](std::map<std::string, std::string> own) {
    return std::string(read(std::move(own)).status().message());
  };
  const std::string token = "/etc/ijepa/slurm.token";
  const auto slurm = read({{"rest", "https://slurm.example/"}, {"rest_token_file", token}});
  ASSERT_TRUE(slurm.ok()) << slurm.status();
  EXPECT_EQ(slurm->rest, "https://slurm.example") << "paths are added to it";
  for (const char* here : {"http://127.0.0.1:6820", "http://localhost", "http://[::1]:1"}) {
    EXPECT_TRUE(read({{"rest", here}, {"rest_token_file", token}}).ok()) << here;
  }
  for (const char* there : {"http://slurm:6820", "http://127.0.0.1.example", "slurm:6820",
                            "http://localhost:1@example", "unix:/run/slurmrestd"}) {
    EXPECT_THAT(refusal({{"rest", there}, {"rest_token_file", token}}), HasSubstr("must be https"))
        << there;
  }
  EXPECT_THAT(refusal({{"rest", "https://slurm"}}), HasSubstr("without backends.slurm.rest_token"));
  EXPECT_THAT(refusal({{"rest_user", "ijepa"}}), HasSubstr("backends.slurm.rest has no value"));
  EXPECT_THAT(refusal({{"rest", "https://slurm"}, {"rest_token_file", "slurm.token"}}),
              HasSubstr("must be an absolute path"));
}

}  // namespace
}  // namespace ijepa::coordinator
