// Digests of requests: equal for the same request on every machine. Not secret.
#ifndef IJEPA_COORDINATOR_SERVICES_DIGEST_H_
#define IJEPA_COORDINATOR_SERVICES_DIGEST_H_

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message_lite.h>

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace ijepa::coordinator {

// FNV-1a, 64 bits.
inline uint64_t Fnv1a(absl::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

// Of a request without its request_id; `name` tells methods apart that take the same message.
template <typename Request>
uint64_t DigestOf(const Request& request, absl::string_view name = "") {
  Request body = request;
  body.clear_request_id();
  std::string bytes(name);
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    body.SerializeToCodedStream(&coded);
  }
  return Fnv1a(bytes);
}

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SERVICES_DIGEST_H_
