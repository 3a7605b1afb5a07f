// Any bytes from a rank or a worker on their socket: frames are taken whole or the peer is broken;
// what is taken parses or does not.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "ijepa/v1/rank_link.pb.h"
#include "worker/link/frames.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ijepa::link::FrameReader reader;
  // In two pieces: a frame may be cut anywhere.
  const size_t cut = size == 0 ? 0 : data[0] % size;
  size_t taken = 0;
  for (const absl::string_view piece :
       {absl::string_view(reinterpret_cast<const char*>(data), cut),
        absl::string_view(reinterpret_cast<const char*>(data) + cut, size - cut)}) {
    reader.Append(piece);
    while (true) {
      const auto frame = reader.Next();
      if (!frame.ok() || !frame->has_value()) break;
      taken += 4 + (*frame)->size();
      ijepa::v1::FromRank from_rank;
      ijepa::v1::ToRank to_rank;
      static_cast<void>(from_rank.ParseFromString(**frame));
      static_cast<void>(to_rank.ParseFromString(**frame));
    }
  }
  if (taken > size) std::abort();
  return 0;
}
