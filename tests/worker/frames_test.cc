// Frames, and sockets in folders of any length.
#include "worker/link/frames.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>

#include "ijepa/v1/rank_link.pb.h"
#include "worker/link/frame_socket.h"
#include "worker/link/unix_socket.h"

namespace ijepa::link {
namespace {

v1::ToRank Message(int64_t sequence, size_t bytes = 0) {
  v1::ToRank message;
  message.set_sequence(sequence);
  message.mutable_value()->set_value(std::string(bytes, 'x'));
  return message;
}

TEST(FrameReaderTest, CutsFramesWhereverTheBytesAreCut) {
  std::string bytes;
  for (int i = 1; i <= 3; ++i) ASSERT_TRUE(AppendFrame(Message(i, 100), bytes).ok());
  for (size_t step = 1; step < 120; step += 7) {
    FrameReader reader;
    int64_t next = 1;
    for (size_t at = 0; at < bytes.size(); at += step) {
      reader.Append(bytes.substr(at, step));
      while (true) {
        const auto frame = reader.Next();
        ASSERT_TRUE(frame.ok());
        if (!frame->has_value()) break;
        v1::ToRank message;
        ASSERT_TRUE(message.ParseFromString(**frame));
        EXPECT_EQ(message.sequence(), next++);
      }
    }
    EXPECT_EQ(next, 4) << "step " << step;
  }
}

TEST(FrameReaderTest, RefusesAFrameThatIsTooLong) {
  FrameReader reader;
  reader.Append(std::string("\x01\x00\x00\x01", 4));  // 16 MiB + 1
  EXPECT_EQ(reader.Next().status().code(), absl::StatusCode::kDataLoss);
}

TEST(FrameReaderTest, RefusesToWriteAFrameThatIsTooLong) {
  std::string out = "kept";
  EXPECT_EQ(AppendFrame(Message(1, kMaxFrameBytes), out).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(out, "kept");
}

TEST(FrameSocketTest, CarriesAFrameLargerThanTheSocketsBuffer) {
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
  FrameSocket a{UniqueFd(fds[0])};
  FrameSocket b{UniqueFd(fds[1])};
  ASSERT_TRUE(a.Send(Message(7, 8 << 20)).ok());
  EXPECT_TRUE(a.wants_write());
  while (true) {
    ASSERT_TRUE(b.Receive().ok());
    const auto frame = b.Next();
    ASSERT_TRUE(frame.ok());
    if (frame->has_value()) break;
    ASSERT_TRUE(a.Flush().ok());
  }
  EXPECT_FALSE(a.wants_write());
}

TEST(FrameSocketTest, TellsTheEndOfThePeerAfterItsLastFrame) {
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
  FrameSocket b{UniqueFd(fds[1])};
  {
    FrameSocket a{UniqueFd(fds[0])};
    ASSERT_TRUE(a.Send(Message(7)).ok());
  }
  EXPECT_EQ(b.Receive().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(b.Next()->has_value());
}

TEST(UnixSocketTest, WorksInAFolderWithALongPath) {
  const std::string root = ::testing::TempDir() + "unix_socket_test." + std::to_string(::getpid());
  const std::string folder = root + "/" + std::string(120, 'd') + "/" + std::string(90, 'e');
  std::filesystem::create_directories(folder);
  EXPECT_FALSE(ConnectUnix(folder, "link.sock").ok());
  const auto listener = ListenUnix(folder, "link.sock");
  ASSERT_TRUE(listener.ok()) << listener.status();
  const auto client = ConnectUnix(folder, "link.sock");
  ASSERT_TRUE(client.ok()) << client.status();
  // A process that was killed leaves its socket file; the next one takes the place.
  ASSERT_TRUE(ListenUnix(folder, "link.sock").ok());
  EXPECT_EQ(ConnectUnix(folder, "link.sock").status().code(), absl::StatusCode::kUnavailable);
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace ijepa::link
