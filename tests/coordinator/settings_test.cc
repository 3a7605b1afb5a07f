// Settings of the coordinator from its command line.
#include "coordinator/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ijepa::coordinator {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<Settings> Read(std::vector<std::string> flags) {
  flags.insert(flags.begin(), {"ijepa-coordinator", "--data-dir", "d", "--checkpoint-root", "c"});
  std::vector<char*> arguments;
  for (std::string& flag : flags) arguments.push_back(flag.data());
  return ReadSettings(static_cast<int>(arguments.size()), arguments.data());
}

TEST(SettingsTest, HistoryIsKeptForAsLongAsIsSaid) {
  EXPECT_EQ(Read({})->core.keep_history, absl::Hours(365 * 24));
  EXPECT_EQ(Read({"--keep-history-days", "1.5"})->core.keep_history, absl::Hours(36));
  for (const char* days : {"0", "-1", "36501", "long"}) {
    EXPECT_THAT(std::string(Read({"--keep-history-days", days}).status().message()),
                HasSubstr("keep_history_days is"))
        << days;
  }
}

std::string Refusal(const std::vector<std::string>& flags) {
  return std::string(Read(flags).status().message());
}

TEST(SettingsTest, ListensBeyondLoopbackOnlyWhereThatIsProtectedOrInsecure) {
  for (const char* flag : {"--listen", "--worker-listen", "--metrics-listen"}) {
    for (const char* address : {"0.0.0.0:1", "[::]:1", "10.1.2.3:1", "127.example.com:1"}) {
      EXPECT_THAT(Refusal({flag, address}), HasSubstr("beyond loopback")) << flag << " " << address;
    }
    EXPECT_EQ(Refusal({flag, "0.0.0.0:1", "--insecure"}), "") << flag;
    for (const char* address : {"127.0.0.1:1", "127.1.2.3:1", "localhost:1", "[::1]:1"}) {
      EXPECT_EQ(Refusal({flag, address}), "") << flag << " " << address;
    }
  }
}

TEST(SettingsTest, CertificatesProtectClientsWithTokensAndWorkersWithTheirs) {
  const std::vector<std::string> served = {"--tls-certificate", "c.pem", "--tls-key", "c.key"};
  const auto with = [&](std::vector<std::string> flags) {
    flags.insert(flags.end(), served.begin(), served.end());
    return Refusal(flags);
  };
  EXPECT_EQ(with({"--listen", "0.0.0.0:1"}), "");
  EXPECT_THAT(with({"--listen", "0.0.0.0:1", "--auth", "none"}), HasSubstr("beyond loopback"));
  EXPECT_THAT(with({"--worker-listen", "0.0.0.0:1"}), HasSubstr("beyond loopback"));
  EXPECT_EQ(with({"--worker-listen", "0.0.0.0:1", "--tls-authority", "a.pem"}), "");
  EXPECT_THAT(Refusal({"--tls-certificate", "c.pem"}), HasSubstr("go together"));
  EXPECT_THAT(Refusal({"--tls-authority", "a.pem"}), HasSubstr("only with them"));
}

TEST(SettingsTest, SilenceIsSeenBeforeItCostsANodeItsJobs) {
  EXPECT_THAT(Refusal({"--unreachable-after-seconds", "5"}), HasSubstr("heartbeat_interval"));
  EXPECT_THAT(Refusal({"--lost-after-seconds", "20"}), HasSubstr("unreachable_after_seconds"));
  EXPECT_EQ(Refusal({"--lost-after-seconds", "21"}), "");
}

}  // namespace
}  // namespace ijepa::coordinator
