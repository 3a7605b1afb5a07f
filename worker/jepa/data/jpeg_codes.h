// Huffman codes of baseline JPEG as tables that are looked up several bits at a time: one of DC
// coefficients, and one of AC coefficients that gives up to two of them, numbers included.
#ifndef IJEPA_WORKER_JEPA_DATA_JPEG_CODES_H_
#define IJEPA_WORKER_JEPA_DATA_JPEG_CODES_H_

#include <cstdint>
#include <cstdio>
// libjpeg needs FILE declared first.
#include <jpeglib.h>

namespace jepa {

inline constexpr int kJpegBlock = 64;  // Coefficients of a block.

// A Huffman code (ITU-T T.81, annex C), which libjpeg has checked.
class HuffmanCode {
 public:
  struct Match {
    int length = 0;  // Bits of the code; 0: there is no such code.
    int symbol = 0;
  };

  // False where `code` is the one it has.
  bool Set(const JHUFF_TBL& code);
  // The code that the highest of `bits` begin with, found by its length.
  Match Find(uint64_t bits) const;
  // Calls visit(match, first code, on the left of 16 bits) for each code, in their order.
  template <typename Visit>
  void ForEach(const Visit& visit) const {
    uint32_t next = 0;
    int place = 0;
    for (int length = 1; length <= 16; ++length) {
      for (int i = 0; i < code_.bits[length]; ++i, next += 1u << (16 - length)) {
        visit(Match{length, code_.huffval[place++]}, next);
      }
    }
  }

 private:
  JHUFF_TBL code_{};
  // Of the codes of each length, moved to the left of 16 bits: one past the last, and the place in
  // code_.huffval of the first less its code.
  uint32_t ends_[17] = {};
  int32_t places_[17] = {};
};

// How a stream goes on with a DC coefficient: bits 0 to 7, how many it takes in all, 0 for no code;
// 8 to 15, how many are of the code. The others are its number.
using DcStep = uint32_t;

class DcLookup {
 public:
  void Make(const JHUFF_TBL& code);
  // The step of a stream whose next bits are the highest of `bits`.
  DcStep Next(uint64_t bits) const {
    const DcStep step = steps_[bits >> (64 - kLookBits)];
    return step != 0 ? step : LongStep(bits);
  }

 private:
  static constexpr int kLookBits = 9;
  DcStep LongStep(uint64_t bits) const;

  HuffmanCode code_;
  DcStep steps_[1 << kLookBits] = {};  // 0: the code is longer.
};

// How a stream goes on with AC coefficients. From bit 0 on, 8 bits each: how many bits it takes in
// all; places from the last coefficient to the first one here (64: the block is at its end); places
// from there to the second (0: there is none; kOpen: see below); how many bits the first takes.
// Then 16 bits each: the first number, the second. Open: there is one coefficient, its number is
// not here but in the stream, and the fourth field tells how many bits its code takes; of no bits
// at all: no code.
using AcStep = uint64_t;

// The same where the numbers are of no use: bits 0 to 7, how many bits some coefficients take in
// all; the others, places to the last of them; kEnds more where the block is at its end after them;
// kNoSkip: look for a step.
using AcSkip = uint16_t;

class AcLookup {
 public:
  static constexpr int kLookBits = 10;
  static constexpr unsigned kOpen = 255;
  static constexpr int kEnds = 128;
  static constexpr AcSkip kNoSkip = 255 << 8;
  static constexpr int kMostSkipBits =
      kLookBits + 15;  // A number may lie beyond what is looked at.

  AcLookup();
  void Make(const JHUFF_TBL& code);
  // The step of a stream whose next bits are the highest of `bits`; open, of no bits, for a code
  // that is too long to look up.
  AcStep Next(uint64_t bits) const { return steps_[bits >> (64 - kLookBits)]; }
  AcSkip Skip(uint64_t bits) const { return skips_[bits >> (64 - kLookBits)]; }
  // The open step of any code.
  AcStep Find(uint64_t bits) const;

 private:
  static constexpr int kSteps = 1 << kLookBits;
  // One coefficient, or the end of the block.
  struct Single {
    uint8_t code_bits = 0;  // 0: the code is longer, or none.
    uint8_t bits = 0;       // Of code and number.
    uint8_t places = 0;
    bool open = true;  // The number is not here.
    int16_t number = 0;
  };
  using Singles = Single[kSteps];

  void MakeSingles(Singles& singles) const;
  void MakeSteps(const Singles& singles);
  void MakeSkips(const Singles& singles);

  HuffmanCode code_;
  AcStep steps_[kSteps];
  AcSkip skips_[kSteps];
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_JPEG_CODES_H_
