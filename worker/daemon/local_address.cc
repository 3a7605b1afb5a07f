// See local_address.h.
#include "worker/daemon/local_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/file.h"

namespace ijepa::worker {

absl::StatusOr<std::string> LocalAddressTowards(const std::string& peer) {
  const size_t colon = peer.rfind(':');
  const std::string host = peer.substr(0, colon);
  const std::string port = colon == std::string::npos ? "0" : peer.substr(colon + 1);
  addrinfo hints = {};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0) {
    return absl::UnavailableError(
        absl::StrCat("no address of ", host, ": ", ::gai_strerror(error)));
  }
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const int connected =
      socket.valid() ? ::connect(socket.get(), found->ai_addr, found->ai_addrlen) : -1;
  ::freeaddrinfo(found);
  sockaddr_in local = {};
  socklen_t size = sizeof(local);
  if (connected != 0 ||
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&local), &size) != 0) {
    return absl::UnavailableError(absl::StrCat("no route to ", peer, ": ", std::strerror(errno)));
  }
  char text[INET_ADDRSTRLEN] = {};
  ::inet_ntop(AF_INET, &local.sin_addr, text, sizeof(text));
  return std::string(text);
}

}  // namespace ijepa::worker
