// Reference tensors of a kind ("d_masks"), found by their JSON sidecars in the folder
// IJEPA_GOLDENS (default ../shared/goldens), so that another folder of the same kinds runs as it
// is. No LibTorch.
#ifndef IJEPA_TESTS_GOLDEN_GOLDEN_H_
#define IJEPA_TESTS_GOLDEN_GOLDEN_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/jepa/checkpoint/safetensors.h"

namespace jepa::testing {

// The folder of all kinds, whether it exists or not.
std::string GoldenRoot();

// One sidecar and the tensors beside it. Movable.
class Golden {
 public:
  // Reads `json_path` and, where it exists, the .safetensors of the same stem.
  static absl::StatusOr<Golden> Load(const std::string& json_path);

  const std::string& name() const { return name_; }      // "grid8_64"
  const std::string& folder() const { return folder_; }  // Folder of the sidecar.
  const nlohmann::json& json() const { return json_; }
  bool Has(const std::string& tensor) const;
  std::vector<std::string> TensorNames() const;
  // Empty for a tensor that is not there; scalars have an empty shape too.
  std::vector<int64_t> Shape(const std::string& tensor) const;
  // Values of a tensor of that very type. A missing tensor or another type throws
  // std::runtime_error: GoogleTest reports it as the failure of that test.
  std::vector<float> Floats(const std::string& tensor) const;
  std::vector<double> Doubles(const std::string& tensor) const;
  std::vector<int64_t> Ints(const std::string& tensor) const;
  std::vector<uint8_t> Bytes(const std::string& tensor) const;
  // 8 x fp64_max_abs_diff + 1e-6 x max_abs where the sidecar has both for `tensor`.
  std::optional<double> Tolerance(const std::string& tensor) const;

 private:
  template <typename T>
  std::vector<T> Values(const std::string& tensor, SafetensorsType type) const;

  std::string name_;
  std::string folder_;
  nlohmann::json json_;
  std::optional<SafetensorsFile> tensors_;
};

// What a test found for one golden file, printed as one line when it ends:
//   golden d_masks/grid8_64: exact
//   golden b_forward/tiny192: worst 0.31 of tolerance (grad.encoder.norm.weight)
// Prints only; the test's own expectations fail it.
class GoldenReport {
 public:
  explicit GoldenReport(const Golden& golden);
  ~GoldenReport();
  GoldenReport(const GoldenReport&) = delete;
  GoldenReport& operator=(const GoldenReport&) = delete;

  // Something compared within a tolerance used up `share` of it; 1 is the limit.
  void Add(absl::string_view what, double share);
  // Something that must be equal was, or was not.
  void AddExact(absl::string_view what, bool equal);

 private:
  std::string name_;
  bool inexact_ = false;
  double worst_ = 0;
  std::string worst_name_;
  std::string different_;
};

// All sidecars of GoldenRoot()/kind, by name. Returns NotFound if the folder is not there, DataLoss
// if it holds none.
absl::StatusOr<std::vector<Golden>> LoadGoldens(absl::string_view kind);

// Those for which `is` holds, in order. None fails the test, naming `what`: a kind that is there
// must be whole.
std::vector<const Golden*> GoldensThat(const std::vector<Golden>& goldens, absl::string_view what,
                                       const std::function<bool(const Golden&)>& is);
// The same by the sidecar's fields and by its tensors.
std::vector<const Golden*> GoldensWithField(const std::vector<Golden>& goldens,
                                            const std::string& field);
std::vector<const Golden*> GoldensWithTensor(const std::vector<Golden>& goldens,
                                             const std::string& tensor);

}  // namespace jepa::testing

// Declares `variable`, a std::vector<Golden> of `kind`; skips the test by name where there is none.
#define IJEPA_GOLDENS_OR_SKIP(variable, kind)                        \
  auto variable##_result = ::jepa::testing::LoadGoldens(kind);       \
  if (absl::IsNotFound(variable##_result.status())) {                \
    GTEST_SKIP() << variable##_result.status();                      \
  }                                                                  \
  ASSERT_TRUE(variable##_result.ok()) << variable##_result.status(); \
  const std::vector<::jepa::testing::Golden>& variable = *variable##_result

#endif  // IJEPA_TESTS_GOLDEN_GOLDEN_H_
