// The worker's end of the link, over a real socket.
#include "worker/daemon/rank_link.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/fakes/temporary_folder.h"
#include "worker/link/unix_socket.h"

namespace ijepa::worker {
namespace {

constexpr char kOdd[] = "caf\xe9";

v1::FromRank Note(const std::string& text) {
  v1::FromRank message;
  message.mutable_note()->set_message(text);
  return message;
}

TEST(RankLinkTest, AFrameThatCannotBeReadIsPassedOver) {
  TemporaryFolder folder;
  const absl::StatusOr<UniqueFd> listening = link::ListenUnix(folder.path(), "link.sock");
  ASSERT_TRUE(listening.ok()) << listening.status();
  RankLink link(folder.path());
  EXPECT_TRUE(link.Service(absl::ZeroDuration()).empty());
  ASSERT_TRUE(link.connected());
  UniqueFd accepted(::accept4(listening->get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  ASSERT_TRUE(accepted.valid());
  link::FrameSocket rank(std::move(accepted));

  for (const std::string text : {"before", kOdd, "after"}) ASSERT_TRUE(rank.Send(Note(text)).ok());
  std::vector<std::string> told;
  while (told.size() < 2) {
    pollfd readable = {link.fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&readable, 1, 60000), 1);
    for (const v1::FromRank& message : link.Service(absl::ZeroDuration())) {
      told.push_back(message.note().message());
    }
    ASSERT_TRUE(link.connected());
  }
  EXPECT_EQ(told, (std::vector<std::string>{"before", "after"}));
  EXPECT_EQ(link.connections(), 1);
}

}  // namespace
}  // namespace ijepa::worker
