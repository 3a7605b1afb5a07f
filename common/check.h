// Invariants of our own code; never used on input.
#ifndef IJEPA_COMMON_CHECK_H_
#define IJEPA_COMMON_CHECK_H_

namespace ijepa {

// Writes the broken invariant to stderr and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);

}  // namespace ijepa

// Aborts when `condition` is false: a bug of ours, not an error of a user.
#define IJEPA_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::ijepa::CheckFailed(__FILE__, __LINE__, #condition))

#endif  // IJEPA_COMMON_CHECK_H_
