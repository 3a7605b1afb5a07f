// libjpeg calls its entropy decoder through a pointer for each MCU; here that pointer is replaced.
// Coefficients go where libjpeg puts them, also those that a wrong stream counts beyond the block.
#include "worker/jepa/data/jpeg_entropy.h"

#include <jpegint.h>

#include <algorithm>
#include <cstring>

namespace jepa {
namespace {

// Places of the coefficients in the order of the stream (T.81, figure 5), then, as in libjpeg, the
// last one for all that lies beyond: a step goes from below 63 by two symbols.
struct Order {
  uint8_t place[3 * kJpegBlock];
  constexpr Order() : place() {
    int row = 0, column = 0;
    for (int k = 0; k < kJpegBlock; ++k) {
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
    for (int k = kJpegBlock; k < 3 * kJpegBlock; ++k) place[k] = kJpegBlock - 1;
  }
};
constexpr Order kOrder;
constexpr int kLast = kJpegBlock - 1;

// Zeros after an interval, for MCUs that take more bits than there are: a coefficient takes 31.
constexpr size_t kPadding = D_MAX_BLOCKS_IN_MCU * kJpegBlock * 4 + 8;
// libjpeg looks ahead, and takes note of the end of the file before it needs a bit from there.
constexpr int64_t kLibjpegLooksAhead = 32 * 8;

uint64_t EightBytes(const uint8_t* at) {
  uint64_t word;
  std::memcpy(&word, at, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  word = __builtin_bswap64(word);
#endif
  return word;
}

}  // namespace

// The byte that fits in part is read again by the next call, and gives the same bits.
inline void JpegEntropy::Bits::Fill() {
  waiting |= EightBytes(at) >> count;
  at += (63 - count) >> 3;
  count |= 56;
}

inline void JpegEntropy::Bits::Drop(int taken) {
  waiting <<= taken;
  count -= taken;
}

// T.81, F.2.2.1: numbers that begin with a 0 are negative. Without branches, which nothing
// foretells.
inline int JpegEntropy::Bits::Number(int code, int size) const {
  const uint64_t number = waiting << code;
  const auto read = static_cast<int32_t>(number >> 1 >> (63 - size));
  const auto negative = ~static_cast<int32_t>(static_cast<int64_t>(number) >> 63);
  return read + (negative & (1 - (1 << size)));
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
    dc_[of.dc_tbl_no].Make(*info.dc_huff_tbl_ptrs[of.dc_tbl_no]);
    ac_[of.ac_tbl_no].Make(*info.ac_huff_tbl_ptrs[of.ac_tbl_no]);
    blocks_[i] = {&dc_[of.dc_tbl_no], &ac_[of.ac_tbl_no], &last_dc_[component]};
  }
  file_end_ = info.src->next_input_byte + info.src->bytes_in_buffer;
  BeginInterval(info.src->next_input_byte);
  column_ = 0;
  to_restart_ = info.restart_interval;
  next_restart_ = 0;
  info.client_data = this;
  info.entropy->decode_mcu = DecodeMcu;
}

void JpegEntropy::LeaveToLibjpeg(j_decompress_ptr info) {
  met_odd_ = true;
  longjmp(reinterpret_cast<JpegError*>(info->err)->jump, 1);
}

void JpegEntropy::BeginInterval(const uint8_t* at) {
  const auto most = static_cast<size_t>(file_end_ - at) + kPadding;
  if (interval_.size() < most) interval_.resize(most);
  uint8_t* out = interval_.data();
  for (marker_ = at;; at = marker_ += 2) {
    const auto* ones = static_cast<const uint8_t*>(
        std::memchr(marker_, 0xff, static_cast<size_t>(file_end_ - marker_)));
    marker_ = ones != nullptr ? ones : file_end_;
    const bool stuffed = file_end_ - marker_ >= 2 && marker_[1] == 0;
    const auto bytes = static_cast<size_t>(marker_ - at) + (stuffed ? 1 : 0);
    std::memcpy(out, at, bytes);
    out += bytes;
    if (!stuffed) break;
  }
  std::memset(out, 0, kPadding);
  end_ = out;
  bits_ = Bits();
  bits_.at = interval_.data();
  bits_kept_ = file_end_ - marker_ >= 2 ? 0 : kLibjpegLooksAhead;
  std::memset(last_dc_, 0, sizeof(last_dc_));
}

// The interval ends within a byte; the next marker follows at once.
void JpegEntropy::Restart(j_decompress_ptr info) {
  const bool follows = BitsLeft() < 8 && bits_kept_ == 0 && marker_[1] == JPEG_RST0 + next_restart_;
  if (!follows) LeaveToLibjpeg(info);
  BeginInterval(marker_ + 2);
  next_restart_ = (next_restart_ + 1) % 8;
  to_restart_ = info->restart_interval;
}

boolean JpegEntropy::DecodeMcu(j_decompress_ptr info, JBLOCKROW* blocks) {
  auto* self = static_cast<JpegEntropy*>(info->client_data);
  if (info->restart_interval > 0) {
    if (self->to_restart_ == 0) self->Restart(info);
    --self->to_restart_;
  }
  // Of columns beside the window libjpeg takes nothing.
  const jpeg_decomp_master& window = *info->master;
  const bool stored = blocks != nullptr && self->column_ >= window.first_iMCU_col &&
                      self->column_ <= window.last_iMCU_col;
  if (++self->column_ == info->MCUs_per_row) self->column_ = 0;
  const bool known = stored ? self->Decode<true>(blocks) : self->Decode<false>(nullptr);
  if (!known || self->BitsLeft() < self->bits_kept_) self->LeaveToLibjpeg(info);
  return TRUE;
}

// The blocks of an MCU; libjpeg has set them to zero.
template <bool kStore>
bool JpegEntropy::Decode(JBLOCKROW* blocks) {
  Bits bits = bits_;
  bool known = true;
  for (int i = 0; i < block_count_ && known; ++i) {
    const Block& block = blocks_[i];
    bits.Fill();
    const DcStep step = block.dc->Next(bits.waiting);
    const int taken = static_cast<int>(step & 0xff);
    const int code = static_cast<int>(step >> 8);
    const int difference = bits.Number(code, taken - code);
    bits.Drop(taken);
    known = step != 0 && !__builtin_add_overflow(*block.last_dc, difference, block.last_dc);
    if (!known) break;
    if (kStore) {
      JCOEF* const numbers = *blocks[i];
      numbers[0] = static_cast<JCOEF>(*block.last_dc);
      known = DecodeAc(*block.ac, /*k=*/0, bits, numbers);
    } else {
      known = SkipAc(*block.ac, bits);
    }
  }
  bits_ = bits;
  return known;
}

inline bool JpegEntropy::DecodeAc(const AcLookup& ac, int k, Bits& bits, JCOEF* numbers) {
  constexpr int kTurns = 56 / AcLookup::kLookBits;
  while (k < kLast) {
    bits.Fill();
    for (int turn = 0; turn < kTurns; ++turn) {
      AcStep step = ac.Next(bits.waiting);
      const int first = k + static_cast<int>(step >> 8 & 0xff);
      const int second = first + static_cast<int>(step >> 16 & 0xff);
      // Of a single one, the first number takes the place again.
      const auto store = [&] {
        numbers[kOrder.place[second]] = static_cast<JCOEF>(step >> 48);
        numbers[kOrder.place[first]] = static_cast<JCOEF>(step >> 32);
      };
      if (second < kLast) {
        store();
        bits.Drop(static_cast<int>(step & 0xff));
        k = second;
        continue;
      }
      if ((step >> 16 & 0xff) != AcLookup::kOpen) {
        store();  // An end is a 0 for a place that is 0 still.
        bits.Drop(static_cast<int>((first < kLast ? step : step >> 24) & 0xff));
        return true;
      }
      bits.Fill();
      if ((step & 0xff) == 0) step = ac.Find(bits.waiting);
      const int taken = static_cast<int>(step & 0xff);
      const int code = static_cast<int>(step >> 24 & 0xff);
      if (taken == 0) return false;
      k += static_cast<int>(step >> 8 & 0xff);
      numbers[kOrder.place[k]] = static_cast<JCOEF>(bits.Number(code, taken - code));
      bits.Drop(taken);
      break;
    }
  }
  return true;
}

inline bool JpegEntropy::SkipAc(const AcLookup& ac, Bits& bits) {
  constexpr int kTurns = 56 / AcLookup::kMostSkipBits;
  for (int k = 0;;) {
    bits.Fill();
    for (int turn = 0; turn < kTurns; ++turn) {
      const AcSkip skip = ac.Skip(bits.waiting);
      const int next = k + (skip >> 8);
      if (next < kLast) {
        bits.Drop(skip & 0xff);
        k = next;
        continue;
      }
      if (next >= AcLookup::kEnds && next < AcLookup::kEnds + kLast) {
        bits.Drop(skip & 0xff);
        return true;
      }
      // The block is full before the skip's end, or the code is not to be looked up.
      JCOEF unwanted[kJpegBlock];
      return DecodeAc(ac, k, bits, unwanted);
    }
  }
}

}  // namespace jepa
