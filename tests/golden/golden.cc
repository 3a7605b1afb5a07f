// Sidecars are trusted test data; a broken one fails the test that loads it.
#include "tests/golden/golden.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace jepa::testing {

std::string GoldenRoot() {
  const char* folder = std::getenv("IJEPA_GOLDENS");
  return folder != nullptr && *folder != '\0' ? folder : "../shared/goldens";
}

absl::StatusOr<Golden> Golden::Load(const std::string& json_path) {
  Golden golden;
  std::filesystem::path path(json_path);
  golden.name_ = path.stem().string();
  golden.folder_ = path.parent_path().string();
  IJEPA_ASSIGN_OR_RETURN(const std::string text, ijepa::ReadFile(json_path));
  golden.json_ = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (golden.json_.is_discarded()) {
    return absl::DataLossError(absl::StrCat(json_path, " is not JSON"));
  }
  path.replace_extension(".safetensors");
  std::error_code error;
  if (std::filesystem::exists(path, error)) {
    IJEPA_ASSIGN_OR_RETURN(golden.tensors_, SafetensorsFile::Open(path.string()));
  }
  return golden;
}

bool Golden::Has(const std::string& tensor) const {
  return tensors_.has_value() && tensors_->Find(tensor) != nullptr;
}

std::vector<std::string> Golden::TensorNames() const {
  std::vector<std::string> names;
  if (!tensors_.has_value()) return names;
  for (const SafetensorsEntry& entry : tensors_->tensors()) names.push_back(entry.name);
  return names;
}

std::vector<int64_t> Golden::Shape(const std::string& tensor) const {
  return Has(tensor) ? tensors_->Find(tensor)->shape : std::vector<int64_t>();
}

template <typename T>
std::vector<T> Golden::Values(const std::string& tensor, SafetensorsType type) const {
  if (!Has(tensor)) throw std::runtime_error(absl::StrCat(name_, " has no tensor ", tensor));
  const SafetensorsEntry& entry = *tensors_->Find(tensor);
  if (entry.type != type) {
    throw std::runtime_error(absl::StrCat(name_, ": tensor ", tensor, " has another type"));
  }
  std::vector<T> values(entry.bytes / sizeof(T));
  const absl::Status status = tensors_->Read(entry, values.data());
  if (!status.ok()) throw std::runtime_error(status.ToString());
  return values;
}

std::vector<float> Golden::Floats(const std::string& tensor) const {
  return Values<float>(tensor, SafetensorsType::kFloat32);
}

std::vector<double> Golden::Doubles(const std::string& tensor) const {
  return Values<double>(tensor, SafetensorsType::kFloat64);
}

std::vector<int64_t> Golden::Ints(const std::string& tensor) const {
  return Values<int64_t>(tensor, SafetensorsType::kInt64);
}

std::vector<uint8_t> Golden::Bytes(const std::string& tensor) const {
  return Values<uint8_t>(tensor, SafetensorsType::kUint8);
}

std::optional<double> Golden::Tolerance(const std::string& tensor) const {
  const auto tensors = json_.find("tensors");
  if (tensors == json_.end()) return std::nullopt;
  const auto found = tensors->find(tensor);
  if (found == tensors->end() || !found->contains("fp64_max_abs_diff") ||
      !found->contains("max_abs")) {
    return std::nullopt;
  }
  return 8 * (*found)["fp64_max_abs_diff"].get<double>() + 1e-6 * (*found)["max_abs"].get<double>();
}

GoldenReport::GoldenReport(const Golden& golden)
    : name_(absl::StrCat(std::filesystem::path(golden.folder()).filename().string(), "/",
                         golden.name())) {}

GoldenReport::~GoldenReport() {
  if (!different_.empty()) {
    std::printf("golden %s: DIFFERS (%s)\n", name_.c_str(), different_.c_str());
  } else if (inexact_) {
    std::printf("golden %s: worst %.2f of tolerance (%s)\n", name_.c_str(), worst_,
                worst_name_.c_str());
  } else {
    std::printf("golden %s: exact\n", name_.c_str());
  }
  std::fflush(stdout);
}

void GoldenReport::Add(absl::string_view what, double share) {
  inexact_ = true;
  // Written so that a NaN is the worst.
  if (!worst_name_.empty() && share <= worst_) return;
  worst_ = share;
  worst_name_ = std::string(what);
  if (!(share <= 1)) different_ = worst_name_;
}

void GoldenReport::AddExact(absl::string_view what, bool equal) {
  if (!equal) different_ = std::string(what);
}

absl::StatusOr<std::vector<Golden>> LoadGoldens(absl::string_view kind) {
  const std::string folder = absl::StrCat(GoldenRoot(), "/", kind);
  std::vector<std::string> paths;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".json") paths.push_back(entry.path().string());
  }
  if (error) {
    return absl::NotFoundError(
        absl::StrCat("no golden set ", folder, "; IJEPA_GOLDENS names another folder"));
  }
  if (paths.empty()) {
    return absl::DataLossError(absl::StrCat("golden set ", folder, " holds no sidecar (.json)"));
  }
  std::sort(paths.begin(), paths.end());
  std::vector<Golden> goldens;
  for (const std::string& path : paths) {
    IJEPA_ASSIGN_OR_RETURN(Golden golden, Golden::Load(path));
    goldens.push_back(std::move(golden));
  }
  return goldens;
}

std::vector<const Golden*> GoldensThat(const std::vector<Golden>& goldens, absl::string_view what,
                                       const std::function<bool(const Golden&)>& is) {
  std::vector<const Golden*> found;
  for (const Golden& golden : goldens) {
    if (is(golden)) found.push_back(&golden);
  }
  if (found.empty()) {
    ADD_FAILURE() << goldens.at(0).folder() << " has no golden with " << what;
  }
  return found;
}

std::vector<const Golden*> GoldensWithField(const std::vector<Golden>& goldens,
                                            const std::string& field) {
  return GoldensThat(goldens, absl::StrCat("the field ", field),
                     [&](const Golden& golden) { return golden.json().contains(field); });
}

std::vector<const Golden*> GoldensWithTensor(const std::vector<Golden>& goldens,
                                             const std::string& tensor) {
  return GoldensThat(goldens, absl::StrCat("the tensor ", tensor),
                     [&](const Golden& golden) { return golden.Has(tensor); });
}

}  // namespace jepa::testing
