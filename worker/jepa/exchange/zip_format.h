// Sizes and signatures of the records of a zip archive, for its reader and its writer. PKWARE
// APPNOTE 6.3, section 4.3.
#ifndef IJEPA_WORKER_JEPA_EXCHANGE_ZIP_FORMAT_H_
#define IJEPA_WORKER_JEPA_EXCHANGE_ZIP_FORMAT_H_

#include <cstddef>
#include <cstdint>

namespace jepa::zip {

inline constexpr uint32_t kLocalSignature = 0x04034b50;
inline constexpr uint32_t kCentralSignature = 0x02014b50;
inline constexpr uint32_t kEndSignature = 0x06054b50;
inline constexpr uint32_t kEnd64Signature = 0x06064b50;
inline constexpr uint32_t kLocator64Signature = 0x07064b50;

inline constexpr size_t kLocalBytes = 30;
inline constexpr size_t kCentralBytes = 46;
inline constexpr size_t kEndBytes = 22;
inline constexpr size_t kEnd64Bytes = 56;
inline constexpr size_t kLocator64Bytes = 20;

// Extra fields: 64-bit sizes, and padding, with the identifier that torch.save uses for it.
inline constexpr uint16_t kExtra64 = 0x0001;
inline constexpr uint16_t kExtraPadding = 0x4246;

// A 32-bit or 16-bit field with this value refers to the 64-bit one.
inline constexpr uint64_t kSee64 = 0xffffffff;
inline constexpr uint64_t kCountSee64 = 0xffff;

// Version 4.5 of the format brought the 64-bit fields.
inline constexpr uint16_t kVersion = 45;

}  // namespace jepa::zip

#endif  // IJEPA_WORKER_JEPA_EXCHANGE_ZIP_FORMAT_H_
