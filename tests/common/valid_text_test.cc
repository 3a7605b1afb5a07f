// What is not UTF-8 does not keep a message from being read.
#include "common/valid_text.h"

#include <gtest/gtest.h>

#include "ijepa/v1/job.pb.h"
#include "ijepa/v1/rank_link.pb.h"

namespace ijepa {
namespace {

constexpr char kOdd[] = "caf\xe9";
constexpr char kMended[] = "caf\xef\xbf\xbd";

TEST(ValidTextTest, MakesTextsOfEveryDepthValidAndLeavesBytesAlone) {
  v1::RankExit exit;
  exit.set_message(kOdd);
  exit.add_log_tail("plain");
  exit.add_log_tail(kOdd);
  MakeTextValid(exit);
  EXPECT_EQ(exit.message(), kMended);
  EXPECT_EQ(exit.log_tail(0), "plain");
  EXPECT_EQ(exit.log_tail(1), kMended);

  v1::FromRank nested;
  nested.mutable_note()->set_message(kOdd);
  MakeTextValid(nested);
  EXPECT_EQ(nested.note().message(), kMended);

  v1::FromRank bytes;
  bytes.mutable_put()->set_value(kOdd);
  MakeTextValid(bytes);
  EXPECT_EQ(bytes.put().value(), kOdd);
}

TEST(ValidTextTest, MakesTextsInRepeatedMessagesValid) {
  v1::JobSpec spec;
  spec.mutable_network()->add_env()->set_value(kOdd);
  spec.mutable_network()->add_env()->set_value("plain");
  MakeTextValid(spec);
  EXPECT_EQ(spec.network().env(0).value(), kMended);
  EXPECT_EQ(spec.network().env(1).value(), "plain");
}

}  // namespace
}  // namespace ijepa
