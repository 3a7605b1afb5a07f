// Portable: slicing by 8 (Kounavis and Berry, 2008). SSE4.2: three independent streams hide the
// instruction's latency of three cycles; their CRCs are joined by multiplication with x^(8 *
// block).
#include "worker/jepa/checkpoint/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace jepa {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // Reflected.

using Table = std::array<uint32_t, 256>;

constexpr std::array<Table, 8> MakeTables() {
  std::array<Table, 8> tables{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    tables[0][i] = crc;
  }
  for (uint32_t i = 0; i < 256; ++i) {
    for (size_t k = 1; k < 8; ++k) {
      const uint32_t previous = tables[k - 1][i];
      tables[k][i] = (previous >> 8) ^ tables[0][previous & 0xff];
    }
  }
  return tables;
}

constexpr std::array<Table, 8> kTables = MakeTables();

uint64_t Load64(const unsigned char* data) {
  uint64_t value;
  std::memcpy(&value, data, sizeof(value));
  return value;
}

// Works on the raw register, without the inversions at both ends.
uint32_t Portable(uint32_t crc, const unsigned char* data, size_t size) {
  for (; size >= 8; data += 8, size -= 8) {
    const uint64_t value = Load64(data) ^ crc;  // Little-endian machines only, as the format is.
    crc = 0;
    for (size_t k = 0; k < 8; ++k) crc ^= kTables[7 - k][(value >> (8 * k)) & 0xff];
  }
  for (; size > 0; ++data, --size) crc = (crc >> 8) ^ kTables[0][(crc ^ *data) & 0xff];
  return crc;
}

#if defined(__x86_64__)

constexpr size_t kBlock = 4096;  // Bytes per stream; three of them stay in the first cache.

// Tables of the linear map "append kBlock zero bytes", one per byte of the register.
class Shift {
 public:
  Shift() {
    const std::array<unsigned char, kBlock> zeros{};
    for (size_t byte = 0; byte < 4; ++byte) {
      std::array<uint32_t, 8> bits{};
      for (size_t bit = 0; bit < 8; ++bit) {
        bits[bit] = Portable(uint32_t{1} << (8 * byte + bit), zeros.data(), kBlock);
      }
      for (uint32_t value = 0; value < 256; ++value) {
        uint32_t crc = 0;
        for (size_t bit = 0; bit < 8; ++bit) crc ^= ((value >> bit) & 1) != 0 ? bits[bit] : 0;
        tables_[byte][value] = crc;
      }
    }
  }
  uint32_t operator()(uint32_t crc) const {
    return tables_[0][crc & 0xff] ^ tables_[1][(crc >> 8) & 0xff] ^ tables_[2][(crc >> 16) & 0xff] ^
           tables_[3][crc >> 24];
  }

 private:
  std::array<Table, 4> tables_{};
};

__attribute__((target("sse4.2"))) uint32_t Hardware(uint32_t crc, const unsigned char* data,
                                                    size_t size) {
  static const Shift shift;
  for (; size >= 3 * kBlock; data += 3 * kBlock, size -= 3 * kBlock) {
    uint64_t first = crc;
    uint64_t second = 0;
    uint64_t third = 0;
    for (size_t i = 0; i < kBlock; i += 8) {
      first = _mm_crc32_u64(first, Load64(data + i));
      second = _mm_crc32_u64(second, Load64(data + kBlock + i));
      third = _mm_crc32_u64(third, Load64(data + 2 * kBlock + i));
    }
    const uint32_t both = shift(static_cast<uint32_t>(first)) ^ static_cast<uint32_t>(second);
    crc = shift(both) ^ static_cast<uint32_t>(third);
  }
  uint64_t wide = crc;
  for (; size >= 8; data += 8, size -= 8) wide = _mm_crc32_u64(wide, Load64(data));
  crc = static_cast<uint32_t>(wide);
  for (; size > 0; ++data, --size) crc = _mm_crc32_u8(crc, *data);
  return crc;
}

#endif

}  // namespace

uint32_t ExtendCrc32cPortable(uint32_t crc, const void* data, size_t size) {
  return ~Portable(~crc, static_cast<const unsigned char*>(data), size);
}

uint32_t ExtendCrc32c(uint32_t crc, const void* data, size_t size) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) {
    return ~Hardware(~crc, static_cast<const unsigned char*>(data), size);
  }
#endif
  return ExtendCrc32cPortable(crc, data, size);
}

}  // namespace jepa
