#include "worker/daemon/log_shipper.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace ijepa::worker {
namespace {

class LogShipperTest : public ::testing::Test {
 protected:
  LogShipperTest() { ::unlink(path_.c_str()); }
  void Append(const std::string& text) { std::ofstream(path_, std::ios::app) << text; }
  // Everything that can be sent now.
  std::string Drain(LogShipper& log) {
    std::string all;
    while (auto chunk = log.Next()) {
      EXPECT_LE(chunk->data.size(), static_cast<size_t>(LogShipper::kChunkBytes));
      all += chunk->data;
      log.Sent(*chunk);
    }
    return all;
  }

  const std::string path_ = ::testing::TempDir() + "log_shipper_test." + std::to_string(::getpid());
};

TEST_F(LogShipperTest, ShipsWhatWasAppended) {
  LogShipper log(path_);
  EXPECT_FALSE(log.Next().has_value());
  EXPECT_TRUE(log.Complete());
  Append("one");
  EXPECT_EQ(Drain(log), "one");
  Append("two");
  EXPECT_EQ(Drain(log), "two");
  EXPECT_FALSE(log.Complete());
  log.Acknowledged(6);
  EXPECT_TRUE(log.Complete());
}

TEST_F(LogShipperTest, AChunkThatWasNotSentIsGivenAgain) {
  LogShipper log(path_);
  Append("one");
  EXPECT_EQ(log.Next()->offset, 0);
  EXPECT_EQ(log.Next()->offset, 0);
}

TEST_F(LogShipperTest, BeginsAgainAtTheAcknowledgedOffset) {
  LogShipper log(path_);
  Append("0123456789");
  Drain(log);
  log.Acknowledged(4);
  EXPECT_FALSE(log.Next().has_value());
  log.Rewind();
  EXPECT_EQ(log.Next()->offset, 4);
  EXPECT_EQ(log.Next()->data, "456789");
}

TEST_F(LogShipperTest, JumpsToWhatAnEarlierWorkerHadShipped) {
  LogShipper log(path_);
  Append(std::string(3 * LogShipper::kWindowBytes, 'x'));
  log.Sent(*log.Next());
  log.Acknowledged(2 * LogShipper::kWindowBytes);
  EXPECT_EQ(log.Next()->offset, 2 * LogShipper::kWindowBytes);
}

TEST_F(LogShipperTest, GoesBackWhenTheOtherSideLostSome) {
  LogShipper log(path_);
  Append("0123456789");
  Drain(log);
  log.Acknowledged(10);
  log.Acknowledged(3);
  EXPECT_EQ(log.Next()->offset, 3);
}

TEST_F(LogShipperTest, KeepsAtMostOneWindowUnacknowledged) {
  LogShipper log(path_);
  Append(std::string(LogShipper::kWindowBytes + 1000, 'x'));
  EXPECT_EQ(Drain(log).size(), static_cast<size_t>(LogShipper::kWindowBytes));
  log.Acknowledged(LogShipper::kWindowBytes);
  EXPECT_EQ(Drain(log).size(), 1000u);
}

}  // namespace
}  // namespace ijepa::worker
