// libjpeg calls its entropy decoder through a pointer for each MCU; here that pointer is replaced.
// Coefficients go where libjpeg puts them, also those that a wrong stream counts beyond the block.
#include "worker/jepa/data/jpeg_entropy.h"

#include <jpegint.h>

#include <algorithm>
#include <cstring>

namespace jepa {
namespace {

constexpr int kBlock = 64;
// Places of the coefficients in the order of the stream (T.81, figure 5), then, as in libjpeg, the
// last one for all that lies beyond.
struct Order {
  uint8_t place[2 * kBlock];
  constexpr Order() : place() {
    int row = 0, column = 0;
    for (int k = 0; k < kBlock; ++k) {
      place[k] = static_cast<uint8_t>(8 * row + column);
      const bool up = (row + column) % 2 == 0;
      if (up && column == 7) {
        ++row;
      } else if (up && row == 0) {
        ++column;
      } else if (up) {
        --row, ++column;
      } else if (row == 7) {
        ++column;
      } else if (column == 0) {
        ++row;
      } else {
        ++row, --column;
      }
    }
    for (int k = kBlock; k < 2 * kBlock; ++k) place[k] = kBlock - 1;
  }
};
constexpr Order kOrder;

uint64_t EightBytes(const uint8_t* at) {
  uint64_t word;
  std::memcpy(&word, at, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  word = __builtin_bswap64(word);
#endif
  return word;
}

bool HoldsMarkerByte(uint64_t word) {
  return ((~word - 0x0101010101010101u) & word & 0x8080808080808080u) != 0;
}

}  // namespace

// What `symbol`, whose code has `length` bits, means.
JpegStep HuffmanLookup::Step(int length, int symbol) const {
  const int size = ac_ ? symbol & 15 : symbol;
  const int run = ac_ ? symbol >> 4 : 0;
  int places = ac_ ? run + 1 : 0;
  if (ac_ && size == 0 && run < 15) places = kBlock;  // The end of the block.
  return static_cast<JpegStep>(length + size) | static_cast<JpegStep>(places) << 8 |
         static_cast<JpegStep>(length) << 16 | static_cast<JpegStep>(size) << 24;
}

void HuffmanLookup::Make(const JHUFF_TBL& code, bool ac) {
  if (ac == ac_ && std::memcmp(code.bits, code_.bits, sizeof(code.bits)) == 0 &&
      std::memcmp(code.huffval, code_.huffval, sizeof(code.huffval)) == 0) {
    return;
  }
  code_ = code;
  ac_ = ac;
  std::memset(steps_, 0, sizeof(steps_));
  uint32_t next = 0;  // The next code, on the left of 16 bits.
  int place = 0;
  for (int length = 1; length <= 16; ++length) {
    places_[length] = place - static_cast<int32_t>(next >> (16 - length));
    for (int i = 0; i < code.bits[length]; ++i, ++place, next += 1u << (16 - length)) {
      if (length > kLookBits) continue;
      const JpegStep step = Step(length, code.huffval[place]);
      const uint32_t first = next >> (16 - kLookBits);
      std::fill_n(steps_ + first, 1u << (kLookBits - length), step);
    }
    ends_[length] = next;
  }
}

JpegStep HuffmanLookup::LongStep(uint64_t bits) const {
  const auto front = static_cast<uint32_t>(bits >> 48);
  for (int length = 1; length <= 16; ++length) {
    if (front >= ends_[length]) continue;
    const int place = places_[length] + static_cast<int>(front >> (16 - length));
    return Step(length, code_.huffval[place]);
  }
  return 0;
}

// At least 56 bits wait afterwards, or all before a marker or the end of the file.
inline void JpegEntropy::Bits::Fill() {
  if (end - at >= 8) {
    const uint64_t word = EightBytes(at);
    if (!HoldsMarkerByte(word)) {
      // The byte that fits in part is read again by the next call, and gives the same bits.
      waiting |= word >> count;
      at += (63 - count) >> 3;
      count |= 56;
      return;
    }
  }
  *this = FilledByBytes(*this);
}

// T.81, F.2.2.1: numbers that begin with a 0 are negative. Without branches, which nothing
// foretells.
inline int JpegEntropy::Bits::Take(JpegStep step) {
  const uint64_t number = waiting << (step >> 16 & 0xff);
  const uint32_t size = step >> 24;
  const auto read = static_cast<int32_t>(number >> 1 >> (63 - size));
  const auto negative = ~static_cast<int32_t>(static_cast<int64_t>(number) >> 63);
  waiting <<= step & 0xff;
  count -= static_cast<int>(step & 0xff);
  return read + (negative & (1 - (1 << size)));
}

JpegEntropy::Bits JpegEntropy::FilledByBytes(Bits bits) {
  while (bits.count < 56 && !bits.at_marker && bits.end - bits.at >= 2) {
    const uint8_t byte = *bits.at;
    bits.at_marker = byte == 0xff && bits.at[1] != 0;
    if (bits.at_marker) break;
    bits.at += byte == 0xff ? 2 : 1;
    bits.waiting |= static_cast<uint64_t>(byte) << (56 - bits.count);
    bits.count += 8;
  }
  return bits;
}

void JpegEntropy::TakeOver(jpeg_decompress_struct& info) {
  met_odd_ = false;
  if (info.progressive_mode != FALSE || info.arith_code != FALSE || info.data_precision != 8 ||
      jpeg_has_multiple_scans(&info) != FALSE) {
    return;
  }
  block_count_ = info.blocks_in_MCU;
  for (int i = 0; i < block_count_; ++i) {
    const int component = info.MCU_membership[i];
    const jpeg_component_info& of = *info.cur_comp_info[component];
    dc_[of.dc_tbl_no].Make(*info.dc_huff_tbl_ptrs[of.dc_tbl_no], /*ac=*/false);
    ac_[of.ac_tbl_no].Make(*info.ac_huff_tbl_ptrs[of.ac_tbl_no], /*ac=*/true);
    blocks_[i] = {&dc_[of.dc_tbl_no], &ac_[of.ac_tbl_no], &last_dc_[component]};
  }
  std::memset(last_dc_, 0, sizeof(last_dc_));
  bits_ = Bits();
  bits_.at = info.src->next_input_byte;
  bits_.end = bits_.at + info.src->bytes_in_buffer;
  to_restart_ = info.restart_interval;
  next_restart_ = 0;
  info.client_data = this;
  info.entropy->decode_mcu = DecodeMcu;
}

void JpegEntropy::LeaveToLibjpeg(j_decompress_ptr info) {
  met_odd_ = true;
  longjmp(reinterpret_cast<JpegError*>(info->err)->jump, 1);
}

// The interval ends within a byte; the next marker follows at once.
void JpegEntropy::Restart(j_decompress_ptr info) {
  const bool follows = bits_.count < 8 && bits_.end - bits_.at >= 2 && bits_.at[0] == 0xff &&
                       bits_.at[1] == JPEG_RST0 + next_restart_;
  if (!follows) LeaveToLibjpeg(info);
  const uint8_t* const after = bits_.at + 2;
  const uint8_t* const end = bits_.end;
  bits_ = Bits();
  bits_.at = after;
  bits_.end = end;
  std::memset(last_dc_, 0, sizeof(last_dc_));
  next_restart_ = (next_restart_ + 1) % 8;
  to_restart_ = info->restart_interval;
}

boolean JpegEntropy::DecodeMcu(j_decompress_ptr info, JBLOCKROW* blocks) {
  auto* self = static_cast<JpegEntropy*>(info->client_data);
  if (info->restart_interval > 0) {
    if (self->to_restart_ == 0) self->Restart(info);
    --self->to_restart_;
  }
  if (blocks != nullptr) {
    self->Decode<true>(info, blocks);
  } else {
    self->Decode<false>(info, nullptr);
  }
  return TRUE;
}

// The blocks of an MCU; libjpeg has set them to zero. Without storing for rows that are passed
// over.
template <bool kStore>
void JpegEntropy::Decode(j_decompress_ptr info, JBLOCKROW* blocks) {
  Bits bits = bits_;
  bool known = true;
  for (int i = 0; i < block_count_ && known; ++i) {
    const Block& block = blocks_[i];
    JCOEF* const numbers = kStore ? *blocks[i] : nullptr;
    bits.Fill();
    JpegStep step = block.dc->Next(bits.waiting);
    const int difference = bits.Take(step);
    known = step != 0 && !__builtin_add_overflow(*block.last_dc, difference, block.last_dc);
    if (kStore) numbers[0] = static_cast<JCOEF>(*block.last_dc);
    for (int k = 0; k < kBlock - 1 && known;) {
      bits.Fill();
      // Two steps to a filling, which has 56 bits: a step has at most 31, one of a short code 25.
      for (int turn = 0; turn < 2 && k < kBlock - 1; ++turn) {
        step = block.ac->NextShort(bits.waiting);
        if (step == 0) {
          bits.Fill();
          step = block.ac->Next(bits.waiting);
          known = step != 0;
        }
        const int number = bits.Take(step);
        k += static_cast<int>(step >> 8 & 0xff);
        // 0 for the end of the block and for 16 zeros, to a place that is 0 still.
        if (kStore) numbers[kOrder.place[k]] = static_cast<JCOEF>(number);
        if (!known) break;
      }
    }
  }
  bits_ = bits;
  const bool ended = !bits.at_marker && bits.end - bits.at < 2;
  if (!known || bits.count < 0 || ended) LeaveToLibjpeg(info);
}

}  // namespace jepa
