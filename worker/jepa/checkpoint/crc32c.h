// CRC-32C (Castagnoli, RFC 3720 B.4), as storage systems use it. Debian's Abseil does not export
// its own.
#ifndef IJEPA_WORKER_JEPA_CHECKPOINT_CRC32C_H_
#define IJEPA_WORKER_JEPA_CHECKPOINT_CRC32C_H_

#include <cstddef>
#include <cstdint>

namespace jepa {

// CRC of the bytes before, whose CRC is `crc`, followed by `data`. Start with 0. Uses the SSE4.2
// instruction where the processor has it, which is about six times as fast.
uint32_t ExtendCrc32c(uint32_t crc, const void* data, size_t size);

// The same without special instructions, for tests.
uint32_t ExtendCrc32cPortable(uint32_t crc, const void* data, size_t size);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_CHECKPOINT_CRC32C_H_
