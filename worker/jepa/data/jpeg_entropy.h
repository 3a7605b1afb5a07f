// Entropy decoding of plain JPEGs, in the place of libjpeg's: the same coefficients in less time.
#ifndef IJEPA_WORKER_JEPA_DATA_JPEG_ENTROPY_H_
#define IJEPA_WORKER_JEPA_DATA_JPEG_ENTROPY_H_

#include <cstdint>
#include <vector>

#include "worker/jepa/data/jpeg_codes.h"
#include "worker/jepa/data/jpeg_error.h"

namespace jepa {

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
    int count = 0;
    const uint8_t* at = nullptr;

    // At least 56 bits wait afterwards.
    void Fill();
    void Drop(int taken);
    // The number that comes after `code` bits, of `size` bits; 0 for one of no bits.
    int Number(int code, int size) const;
  };
  // Of a block of an MCU.
  struct Block {
    const DcLookup* dc;
    const AcLookup* ac;
    int* last_dc;
  };

  static boolean DecodeMcu(j_decompress_ptr info, JBLOCKROW* blocks);
  // Makes the bytes up to the next marker the ones to decode.
  void BeginInterval(const uint8_t* at);
  void Restart(j_decompress_ptr info);
  // Bits not taken yet of the interval; below 0 where more were taken.
  int64_t BitsLeft() const { return (end_ - bits_.at) * 8 + bits_.count; }
  // Each false if there is no such code.
  template <bool kStore>
  bool Decode(JBLOCKROW* blocks);
  // The rest of a block after coefficient k, to `numbers`.
  static bool DecodeAc(const AcLookup& ac, int k, Bits& bits, JCOEF* numbers);
  static bool SkipAc(const AcLookup& ac, Bits& bits);
  [[noreturn]] void LeaveToLibjpeg(j_decompress_ptr info);

  DcLookup dc_[NUM_HUFF_TBLS];
  AcLookup ac_[NUM_HUFF_TBLS];
  Block blocks_[D_MAX_BLOCKS_IN_MCU] = {};
  int block_count_ = 0;
  int last_dc_[MAX_COMPS_IN_SCAN] = {};
  // The interval without the zeros that are stuffed after bytes of ones; zeros come after it.
  std::vector<uint8_t> interval_;
  Bits bits_;                        // Within interval_.
  const uint8_t* end_ = nullptr;     // Of the bytes in interval_.
  const uint8_t* marker_ = nullptr;  // In the file, after the interval; or the file's end.
  const uint8_t* file_end_ = nullptr;
  int64_t bits_kept_ = 0;  // How near the interval's end things are left to libjpeg.
  JDIMENSION column_ = 0;  // Of the next MCU.
  unsigned to_restart_ = 0;
  int next_restart_ = 0;
  bool met_odd_ = false;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_DATA_JPEG_ENTROPY_H_
