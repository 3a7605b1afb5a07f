// Early return on error. Abseil of Debian 12 has no status macros.
#ifndef IJEPA_COMMON_STATUS_MACROS_H_
#define IJEPA_COMMON_STATUS_MACROS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define IJEPA_CONCAT_INNER_(a, b) a##b
#define IJEPA_CONCAT_(a, b) IJEPA_CONCAT_INNER_(a, b)

// Returns the status of `expression` from the calling function unless it is OK.
#define IJEPA_RETURN_IF_ERROR(expression)                                                  \
  do {                                                                                     \
    if (absl::Status ijepa_status = (expression); !ijepa_status.ok()) return ijepa_status; \
  } while (false)

// Assigns the value of a StatusOr to `declaration`, or returns its status. Several statements:
// needs braces in an if.
#define IJEPA_ASSIGN_OR_RETURN(declaration, expression) \
  IJEPA_ASSIGN_OR_RETURN_IMPL_(IJEPA_CONCAT_(ijepa_result_, __LINE__), declaration, expression)
#define IJEPA_ASSIGN_OR_RETURN_IMPL_(result, declaration, expression) \
  auto result = (expression);                                         \
  if (!result.ok()) return std::move(result).status();                \
  declaration = *std::move(result)

#endif  // IJEPA_COMMON_STATUS_MACROS_H_
