// Calls over HTTP to a listener of this process that says what it is told.
#include "coordinator/backends/http_call.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"

namespace ijepa::coordinator {
namespace {

using ::testing::HasSubstr;

// On a free port. Takes one connection, when it is told to.
class Listener {
 public:
  Listener() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* any = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof(address);
    EXPECT_EQ(::bind(socket_.get(), any, size), 0);
    EXPECT_EQ(::listen(socket_.get(), 1), 0);
    EXPECT_EQ(::getsockname(socket_.get(), any, &size), 0);
    url = absl::StrCat("http://127.0.0.1:", ntohs(address.sin_port), "/jobs");
  }

  // What comes until `last` is in it; then `answer` is given, or nothing more is done.
  std::string Take(const std::string& last, const std::string& answer) {
    connection_ = UniqueFd(::accept(socket_.get(), nullptr, nullptr));
    std::string text;
    char buffer[4096];
    while (!absl::StrContains(text, last)) {
      const ssize_t count = ::read(connection_.get(), buffer, sizeof(buffer));
      if (count <= 0) break;
      text.append(buffer, static_cast<size_t>(count));
    }
    if (answer.empty()) return text;
    EXPECT_GT(::write(connection_.get(), answer.data(), answer.size()), 0);
    return text;
  }

  std::string url;

 private:
  UniqueFd socket_;
  UniqueFd connection_;
};

TEST(HttpCallTest, HeadersAndBodyGoOutAndARefusalIsAnAnswer) {
  Listener listener;
  std::string sent;
  std::thread server([&] {
    sent = listener.Take("{\"a\":1}", "HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\nwhy?");
  });
  HttpClient client;
  const auto answer =
      client.Call({"POST", listener.url, {"X-TOKEN: t"}, "{\"a\":1}"}, absl::Seconds(20));
  server.join();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->code, 500);
  EXPECT_EQ(answer->body, "why?");
  EXPECT_THAT(sent, HasSubstr("POST /jobs HTTP/1.1\r\n"));
  EXPECT_THAT(sent, HasSubstr("X-TOKEN: t\r\n"));
}

TEST(HttpCallTest, NobodyThereIsUnavailableAndNamed) {
  std::string url;
  {
    const Listener gone;
    url = gone.url;
  }
  HttpClient client;
  const auto answer = client.Call({"GET", url}, absl::Seconds(20));
  EXPECT_TRUE(absl::IsUnavailable(answer.status())) << answer.status();
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr(url));
}

TEST(HttpCallTest, AServerThatSaysNothingIsLeftAfterTheTime) {
  Listener listener;
  HttpClient client;
  const auto answer = client.Call({"GET", listener.url}, absl::Milliseconds(30));
  EXPECT_TRUE(absl::IsDeadlineExceeded(answer.status())) << answer.status();
}

TEST(HttpCallTest, AnInterruptEndsTheCallUnderWayAndAllAfterIt) {
  Listener listener;
  HttpClient client;
  std::thread server([&] {
    listener.Take("\r\n\r\n", "");
    client.Interrupt();
  });
  EXPECT_TRUE(absl::IsCancelled(client.Call({"GET", listener.url}, absl::Hours(1)).status()));
  server.join();
  EXPECT_TRUE(absl::IsCancelled(client.Call({"GET", listener.url}, absl::Hours(1)).status()));
}

}  // namespace
}  // namespace ijepa::coordinator
