// Sorting and thinning of a list of files.
#include "worker/jepa/data/file_list.h"

#include <algorithm>

#include "absl/strings/match.h"

namespace jepa {

bool IsImageName(absl::string_view name) {
  const size_t slash = name.rfind('/');
  const absl::string_view base = slash == absl::string_view::npos ? name : name.substr(slash + 1);
  if (absl::StartsWith(base, "._")) return false;
  for (absl::string_view ending : {".jpg", ".jpeg", ".png", ".webp"}) {
    if (absl::EndsWithIgnoreCase(base, ending)) return true;
  }
  return false;
}

void FileList::Add(absl::string_view name, Place place) {
  entries_.push_back({names_.size(), name.size(), place});
  names_.append(name.data(), name.size());
}

void FileList::SortAndKeepLast() {
  std::stable_sort(entries_.begin(), entries_.end(),
                   [this](const Entry& a, const Entry& b) { return NameOf(a) < NameOf(b); });
  size_t kept = 0;
  for (size_t i = 0; i < entries_.size(); ++i) {
    const bool replaced = i + 1 < entries_.size() && NameOf(entries_[i]) == NameOf(entries_[i + 1]);
    if (!replaced) entries_[kept++] = entries_[i];
  }
  entries_.resize(kept);
}

}  // namespace jepa
