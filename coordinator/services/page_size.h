// How long a page of a list is.
#ifndef IJEPA_COORDINATOR_SERVICES_PAGE_SIZE_H_
#define IJEPA_COORDINATOR_SERVICES_PAGE_SIZE_H_

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace ijepa::coordinator {

inline constexpr int kDefaultPage = 50;
inline constexpr int kLargestPage = 1000;

// Of a request's page_size: 0 means kDefaultPage. InvalidArgument below 0 and above kLargestPage.
inline absl::StatusOr<int> PageSize(int asked) {
  if (asked < 0 || asked > kLargestPage) {
    return absl::InvalidArgumentError(
        absl::StrCat("page_size is ", asked, "; must be in [0, ", kLargestPage, "]"));
  }
  return asked == 0 ? kDefaultPage : asked;
}

}  // namespace ijepa::coordinator

#endif  // IJEPA_COORDINATOR_SERVICES_PAGE_SIZE_H_
