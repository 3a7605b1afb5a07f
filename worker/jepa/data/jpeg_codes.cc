#include "worker/jepa/data/jpeg_codes.h"

#include <algorithm>
#include <cstring>

namespace jepa {
namespace {

// T.81, F.2.2.1: numbers that begin with a 0 are negative.
int NumberOf(int bits, int size) { return bits < 1 << (size - 1) ? bits - (1 << size) + 1 : bits; }

// Places to go for a symbol of run and size (T.81, F.2.2.2). As in libjpeg, whatever has no number
// and is not 16 zeros ends the block.
int PlacesOf(int symbol) {
  const int run = symbol >> 4;
  return (symbol & 15) == 0 && run < 15 ? kJpegBlock : run + 1;
}

constexpr AcStep StepOf(int bits, int places, int second_places, int first_bits) {
  return static_cast<AcStep>(bits) | static_cast<AcStep>(places) << 8 |
         static_cast<AcStep>(second_places) << 16 | static_cast<AcStep>(first_bits) << 24;
}

AcStep NumberField(int16_t number, int shift) {
  return static_cast<AcStep>(static_cast<uint16_t>(number)) << shift;
}

constexpr int kFirst = 32, kSecond = 48;
constexpr AcStep kNoStep = StepOf(0, 0, AcLookup::kOpen, 0);

}  // namespace

bool HuffmanCode::Set(const JHUFF_TBL& code) {
  if (std::memcmp(code.bits, code_.bits, sizeof(code.bits)) == 0 &&
      std::memcmp(code.huffval, code_.huffval, sizeof(code.huffval)) == 0) {
    return false;
  }
  code_ = code;
  uint32_t next = 0;  // The next code, on the left of 16 bits.
  int place = 0;
  for (int length = 1; length <= 16; ++length) {
    places_[length] = place - static_cast<int32_t>(next >> (16 - length));
    place += code.bits[length];
    next += static_cast<uint32_t>(code.bits[length]) << (16 - length);
    ends_[length] = next;
  }
  return true;
}

HuffmanCode::Match HuffmanCode::Find(uint64_t bits) const {
  const auto front = static_cast<uint32_t>(bits >> 48);
  for (int length = 1; length <= 16; ++length) {
    if (front >= ends_[length]) continue;
    return {length, code_.huffval[places_[length] + static_cast<int>(front >> (16 - length))]};
  }
  return {};
}

void DcLookup::Make(const JHUFF_TBL& code) {
  if (!code_.Set(code)) return;
  std::memset(steps_, 0, sizeof(steps_));
  code_.ForEach([&](const HuffmanCode::Match& match, uint32_t first) {
    if (match.length > kLookBits) return;
    const auto step =
        static_cast<DcStep>(match.length + match.symbol) | static_cast<DcStep>(match.length) << 8;
    std::fill_n(steps_ + (first >> (16 - kLookBits)), 1u << (kLookBits - match.length), step);
  });
}

DcStep DcLookup::LongStep(uint64_t bits) const {
  const HuffmanCode::Match match = code_.Find(bits);
  return static_cast<DcStep>(match.length + match.symbol) | static_cast<DcStep>(match.length) << 8;
}

// Of no code at all, as Make takes it of a file that gives an empty one.
AcLookup::AcLookup() {
  std::fill_n(steps_, kSteps, kNoStep);
  std::fill_n(skips_, kSteps, kNoSkip);
}

void AcLookup::Make(const JHUFF_TBL& code) {
  if (!code_.Set(code)) return;
  Singles singles;
  MakeSingles(singles);
  MakeSteps(singles);
  MakeSkips(singles);
}

AcStep AcLookup::Find(uint64_t bits) const {
  const HuffmanCode::Match match = code_.Find(bits);
  if (match.length == 0) return kNoStep;
  return StepOf(match.length + (match.symbol & 15), PlacesOf(match.symbol), kOpen, match.length);
}

void AcLookup::MakeSingles(Singles& singles) const {
  Single* out = singles;
  code_.ForEach([&](const HuffmanCode::Match& match, uint32_t) {
    const int size = match.symbol & 15;
    const int rest = kLookBits - match.length;
    if (rest < 0) return;
    Single single{.code_bits = static_cast<uint8_t>(match.length),
                  .bits = static_cast<uint8_t>(match.length + size),
                  .places = static_cast<uint8_t>(PlacesOf(match.symbol)),
                  .open = size > rest};
    if (size == 0 || single.open) {
      out = std::fill_n(out, 1 << rest, single);
      return;
    }
    for (int bits = 0; bits < 1 << size; ++bits) {
      single.number = static_cast<int16_t>(NumberOf(bits, size));
      out = std::fill_n(out, 1 << (rest - size), single);
    }
  });
  std::fill(out, singles + kSteps, Single());
}

// What follows a first coefficient depends on how many bits that took, and on nothing else of it.
void AcLookup::MakeSteps(const Singles& singles) {
  AcStep seconds[kSteps];  // After n = 2^(kLookBits - taken): from n on, n of them.
  bool made[kLookBits + 1] = {};
  for (int at = 0; at < kSteps;) {
    const Single& first = singles[at];
    if (first.open) {
      const bool known = first.code_bits > 0;
      steps_[at++] = known ? StepOf(first.bits, first.places, kOpen, first.code_bits) : kNoStep;
      continue;
    }
    const int taken = first.bits;
    const int count = 1 << (kLookBits - taken);
    const AcStep step = StepOf(taken, first.places, 0, taken) | NumberField(first.number, kFirst);
    if (first.places == kJpegBlock) {
      std::fill_n(steps_ + at, count, step);
      at += count;
      continue;
    }
    for (int i = 0; i < count && !made[taken]; ++i) {
      const Single& second = singles[i << taken];
      const bool fits = !second.open && second.bits + taken <= kLookBits;
      seconds[count + i] =
          fits ? StepOf(second.bits, 0, second.places, 0) | NumberField(second.number, kSecond) : 0;
    }
    made[taken] = true;
    for (int i = 0; i < count; ++i) steps_[at + i] = step + seconds[count + i];
    at += count;
  }
}

// Of 1 bit to look at, then of 2, and so on, each by those before.
void AcLookup::MakeSkips(const Singles& singles) {
  AcSkip skips[2 * kSteps];  // Of n = 2^bits: from n on, n of them.
  for (int bits = 1; bits <= kLookBits; ++bits) {
    for (int i = 0; i < 1 << bits; ++i) {
      const Single& first = singles[i << (kLookBits - bits)];
      AcSkip skip = kNoSkip;
      if (first.code_bits > 0 && first.code_bits <= bits) {
        const bool ends = first.places == kJpegBlock;
        skip = static_cast<AcSkip>(first.bits | (ends ? kEnds : first.places) << 8);
        const int rest = bits - first.bits;
        const AcSkip more = ends || rest <= 0 ? kNoSkip : skips[(1 << rest) + i % (1 << rest)];
        // Not so far that a block could seem to be at its end.
        const int places = first.places + (more >> 8) % kEnds;
        if (more != kNoSkip && places < kJpegBlock) skip = static_cast<AcSkip>(skip + more);
      }
      skips[(1 << bits) + i] = skip;
    }
  }
  std::copy_n(skips + kSteps, kSteps, skips_);
}

}  // namespace jepa
