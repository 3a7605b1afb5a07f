// The state is kept as words, not as std::mt19937, whose textual form differs between libraries.
#include "worker/jepa/plan/torch_generator.h"

#include "absl/strings/str_cat.h"
#include "common/check.h"

namespace jepa {
namespace {

void AppendWord(std::string& out, uint32_t word) {
  for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<char>(word >> shift));
}

uint32_t WordAt(absl::string_view bytes, size_t index) {
  uint32_t word = 0;
  for (size_t i = 0; i < 4; ++i) {
    word |= static_cast<uint32_t>(static_cast<unsigned char>(bytes[4 * index + i])) << (8 * i);
  }
  return word;
}

}  // namespace

TorchGenerator::TorchGenerator(uint64_t seed) {
  words_[0] = static_cast<uint32_t>(seed);
  for (uint32_t i = 1; i < kWords; ++i) {
    words_[i] = 1812433253u * (words_[i - 1] ^ (words_[i - 1] >> 30)) + i;
  }
}

void TorchGenerator::Twist() {
  constexpr uint32_t kShift = 397;
  for (uint32_t i = 0; i < kWords; ++i) {
    const uint32_t next = words_[(i + 1) % kWords];
    const uint32_t mixed = (words_[i] & 0x80000000u) | (next & 0x7fffffffu);
    words_[i] =
        words_[(i + kShift) % kWords] ^ (mixed >> 1) ^ ((next & 1u) != 0 ? 0x9908b0dfu : 0u);
  }
  used_ = 0;
}

uint32_t TorchGenerator::Next() {
  if (used_ == kWords) Twist();
  uint32_t word = words_[used_++];
  word ^= word >> 11;
  word ^= (word << 7) & 0x9d2c5680u;
  word ^= (word << 15) & 0xefc60000u;
  return word ^ (word >> 18);
}

float TorchGenerator::Rand() { return static_cast<float>(Next() & ((1u << 24) - 1)) * 0x1p-24f; }

uint64_t TorchGenerator::RandInt(uint64_t bound) {
  IJEPA_CHECK(bound >= 1);
  // torch takes 64 bits once the bias of the modulo would exceed about 5 %.
  if (bound < (uint64_t{1} << 28)) return Next() % bound;
  const uint64_t high = Next();
  return ((high << 32) | Next()) % bound;
}

std::string TorchGenerator::State() const {
  std::string state;
  state.reserve(4 * (kWords + 1));
  AppendWord(state, used_);
  for (const uint32_t word : words_) AppendWord(state, word);
  return state;
}

absl::StatusOr<TorchGenerator> TorchGenerator::FromState(absl::string_view state) {
  if (state.size() != 4 * (kWords + 1) || WordAt(state, 0) > kWords) {
    return absl::DataLossError(
        absl::StrCat("state of ", state.size(), " bytes is not one of the mask generator"));
  }
  TorchGenerator generator(0);
  generator.used_ = WordAt(state, 0);
  for (uint32_t i = 0; i < kWords; ++i) generator.words_[i] = WordAt(state, i + 1);
  return generator;
}

}  // namespace jepa
