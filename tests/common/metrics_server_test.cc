// The metrics endpoint: real port, real scrape, one clear status when the port is taken.
#include "common/metrics_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <prometheus/counter.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

#include "common/file.h"

namespace ijepa {
namespace {

std::string Scrape(const std::string& address) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(std::atoi(address.c_str() + address.rfind(':') + 1)));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)) != 0) return "";
  EXPECT_TRUE(WriteAll(fd.get(), "GET /metrics HTTP/1.0\r\n\r\n", "socket").ok());
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = read(fd.get(), buffer, sizeof(buffer))) > 0;) text.append(buffer, n);
  return text;
}

TEST(MetricsServerTest, ServesCountersOnAFreePort) {
  auto server = MetricsServer::Start("127.0.0.1:0");
  ASSERT_TRUE(server.ok()) << server.status();
  prometheus::BuildCounter()
      .Name("ijepa_test_total")
      .Register((*server)->registry())
      .Add({})
      .Increment(3);
  EXPECT_NE(Scrape((*server)->address()).find("ijepa_test_total 3"), std::string::npos);
}

TEST(MetricsServerTest, SaysThatThePortIsTaken) {
  auto first = MetricsServer::Start("127.0.0.1:0");
  ASSERT_TRUE(first.ok());
  auto second = MetricsServer::Start((*first)->address());
  ASSERT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(second.status().message().find((*first)->address()), absl::string_view::npos);
}

TEST(MetricsServerTest, RefusesAnAddressWithoutPort) {
  EXPECT_EQ(MetricsServer::Start("localhost").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ijepa
