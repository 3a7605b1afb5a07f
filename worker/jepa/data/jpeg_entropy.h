// Entropy decoding of plain JPEGs, in the place of libjpeg's: the same coefficients in less time.
#ifndef IJEPA_WORKER_JEPA_DATA_JPEG_ENTROPY_H_
#define IJEPA_WORKER_JEPA_DATA_JPEG_ENTROPY_H_

#include <cstdint>

#include "worker/jepa/data/jpeg_error.h"

namespace jepa {

// How a stream goes on: bits 0 to 7, how many are taken, 0 for no code; 8 to 15, places from the
// last coefficient to this one (64: the block is at its end; DC: 0); 16 to 23, how many are of the
// code; 24 to 31, how many are of the number that follows it.
using JpegStep = uint32_t;

// A Huffman code of baseline JPEG (ITU-T T.81, annex C), for looking up kLookBits at a time.
class HuffmanLookup {
 public:
  static constexpr int kLookBits = 10;

  // Of the AC coefficients' symbols (run and size), else of the DC's (size). Does nothing where the
  // code is the one it has.
  void Make(const JHUFF_TBL& code, bool ac);

  // As Next, 0 for a code of more than kLookBits.
  JpegStep NextShort(uint64_t bits) const { return steps_[bits >> (64 - kLookBits)]; }
  // The step of a stream whose next bits are the highest of `bits`.
  JpegStep Next(uint64_t bits) const {
    const JpegStep step = NextShort(bits);
    return step != 0 ? step : LongStep(bits);
  }

 private:
  JpegStep Step(int length, int symbol) const;
  JpegStep LongStep(uint64_t bits) const;

  JHUFF_TBL code_{};
  bool ac_ = false;
  JpegStep steps_[1 << kLookBits] = {};  // 0: the code is longer.
  // Of the codes of each length, moved to the left of 16 bits: one past the last, and the place in
  // code_.huffval of the first less its code.
  uint32_t ends_[17] = {};
  int32_t places_[17] = {};
};

// One per decoder of libjpeg. Takes only what is as it must be: anything odd in the stream (no such
// code, a marker or an end where none belongs) is left to libjpeg, whose mercies have to be its
// own.
class JpegEntropy {
 public:
  // Decodes the image that `info` has started in libjpeg's place, if it is of one baseline scan.
  // Uses info.client_data and the rest of the source's buffer, which holds all of the file.
  void TakeOver(jpeg_decompress_struct& info);
  // Whether something odd came: the decoding was ended by a jump to JpegError::jump. What was given
  // out before is right; the image has to be read anew, without this.
  bool met_odd() const { return met_odd_; }

 private:
  // Bits that wait, from the highest on, and the bytes after them.
  struct Bits {
    uint64_t waiting = 0;
    int count = 0;  // At most 63; below 0: more were taken than there were, behind a marker.
    const uint8_t* at = nullptr;
    const uint8_t* end = nullptr;
    bool at_marker = false;

    void Fill();
    // Takes the step's bits; returns its number, 0 for one of no bits.
    int Take(JpegStep step);
  };
  // By value, so that the bits stay in registers where this is not called.
  static Bits FilledByBytes(Bits bits);
  // Of a block of an MCU.
  struct Block {
    const HuffmanLookup* dc;
    const HuffmanLookup* ac;
    int* last_dc;
  };

  static boolean DecodeMcu(j_decompress_ptr info, JBLOCKROW* blocks);
  template <bool kStore>
  void Decode(j_decompress_ptr info, JBLOCKROW* blocks);
  void Restart(j_decompress_ptr info);
  [[noreturn]] void LeaveToLibjpeg(j_decompress_ptr info);

  HuffmanLookup dc_[NUM_HUFF_TBLS];
  HuffmanLookup ac_[NUM_HUFF_TBLS];
  Block blocks_[D_MAX_BLOCKS_IN_MCU] = {};
  int block_count_ = 0;
  int last_dc_[MAX_COMPS_IN_SCAN] = {};
  Bits bits_;
  unsigned to_restart_ = 0;
  int next_restart_ = 0;
  bool met_odd_ = false;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_JPEG_ENTROPY_H_
