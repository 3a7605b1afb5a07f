// The list of names, and one function for each that makes something.
#include "worker/jepa/exchange/pickle_calls.h"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace jepa {
namespace {

constexpr absl::string_view kOrderedDict = "collections OrderedDict";
constexpr absl::string_view kSize = "torch Size";
constexpr absl::string_view kTensor = "torch._utils _rebuild_tensor_v2";
constexpr absl::string_view kParameter = "torch._utils _rebuild_parameter";

constexpr std::array<absl::string_view, 14> kGlobals = {kOrderedDict,
                                                        kSize,
                                                        kTensor,
                                                        kParameter,
                                                        "torch FloatStorage",
                                                        "torch DoubleStorage",
                                                        "torch HalfStorage",
                                                        "torch BFloat16Storage",
                                                        "torch LongStorage",
                                                        "torch IntStorage",
                                                        "torch ShortStorage",
                                                        "torch CharStorage",
                                                        "torch ByteStorage",
                                                        "torch BoolStorage"};

constexpr size_t kMaxKeyDigits = 20;

absl::Status Refuse(absl::string_view rule) { return absl::DataLossError(rule); }

bool IsInt(const PickleValue& value) { return value.kind == PickleKind::kInt; }

// A tuple of integers that are not negative.
absl::Status ReadSizes(const PickleValue& value, absl::string_view what,
                       std::vector<int64_t>& sizes) {
  if (value.kind != PickleKind::kTuple || value.items.size() > kMaxTensorDimensions) {
    return Refuse(absl::StrCat("the ", what, " of a tensor must be a tuple of at most ",
                               kMaxTensorDimensions, " numbers"));
  }
  for (const PickleValue* item : value.items) {
    if (!IsInt(*item) || item->number < 0) {
      return Refuse(absl::StrCat("the ", what, " of a tensor has an entry that is not a size"));
    }
    sizes.push_back(item->number);
  }
  return absl::OkStatus();
}

// Every element lies in the storage, and there are not more of them than it has.
absl::Status CheckExtent(const PickledTensor& tensor) {
  const int64_t room = tensor.storage->count;
  int64_t count = 1;
  for (const int64_t size : tensor.shape) {
    if (size == 0) return absl::OkStatus();
  }
  if (tensor.offset >= room) return Refuse("a tensor begins outside its storage");
  int64_t last = tensor.offset;
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    if (tensor.shape[i] > room / count) {
      return Refuse("a tensor has more elements than its storage");
    }
    count *= tensor.shape[i];
    if (tensor.shape[i] == 1) continue;
    if (tensor.strides[i] > (room - 1 - last) / (tensor.shape[i] - 1)) {
      return Refuse("a tensor reaches outside its storage");
    }
    last += (tensor.shape[i] - 1) * tensor.strides[i];
  }
  return absl::OkStatus();
}

// (storage, offset, size, stride, requires_grad, backward_hooks[, metadata])
absl::Status MakeTensor(const std::vector<const PickleValue*>& arguments, PickleValue& result) {
  if (arguments.size() < 6 || arguments.size() > 7 || arguments[0]->kind != PickleKind::kStorage ||
      !IsInt(*arguments[1]) || arguments[1]->number < 0) {
    return Refuse("_rebuild_tensor_v2 must get a storage, an offset, a size and strides");
  }
  auto tensor = std::make_unique<PickledTensor>();
  tensor->storage = arguments[0]->storage.get();
  tensor->offset = arguments[1]->number;
  IJEPA_RETURN_IF_ERROR(ReadSizes(*arguments[2], "size", tensor->shape));
  IJEPA_RETURN_IF_ERROR(ReadSizes(*arguments[3], "stride", tensor->strides));
  if (tensor->shape.size() != tensor->strides.size()) {
    return Refuse("a tensor has not as many strides as sizes");
  }
  IJEPA_RETURN_IF_ERROR(CheckExtent(*tensor));
  result.kind = PickleKind::kTensor;
  result.tensor = std::move(tensor);
  return absl::OkStatus();
}

}  // namespace

bool IsKnownGlobal(absl::string_view name) {
  return std::find(kGlobals.begin(), kGlobals.end(), name) != kGlobals.end();
}

absl::Status CallGlobal(const std::string& name, const PickleValue& arguments,
                        PickleValue& result) {
  if (arguments.kind != PickleKind::kTuple) return Refuse("arguments must be a tuple");
  const std::vector<const PickleValue*>& items = arguments.items;
  if (name == kOrderedDict) {
    if (!items.empty()) return Refuse("OrderedDict must be made empty");
    result.kind = PickleKind::kDict;
    return absl::OkStatus();
  }
  if (name == kSize) {
    // A bound, because the items are copied: a few bytes could ask for it again and again.
    if (items.size() != 1 || items[0]->kind != PickleKind::kTuple ||
        items[0]->items.size() > kMaxTensorDimensions) {
      return Refuse("torch.Size must get a tuple of at most 16 numbers");
    }
    result.kind = PickleKind::kTuple;
    result.items = items[0]->items;
    result.depth = items[0]->depth;
    return absl::OkStatus();
  }
  if (name == kTensor) return MakeTensor(items, result);
  if (name == kParameter) {
    if (items.size() != 3 || items[0]->kind != PickleKind::kTensor) {
      return Refuse("_rebuild_parameter must get a tensor");
    }
    result.kind = PickleKind::kTensor;
    result.tensor = std::make_unique<PickledTensor>(*items[0]->tensor);
    return absl::OkStatus();
  }
  return Refuse(absl::StrCat(name, " is a type, not a function"));
}

absl::Status MakeStorage(const PickleValue& identity, PickleValue& result) {
  const std::vector<const PickleValue*>& items = identity.items;
  if (identity.kind != PickleKind::kTuple || items.size() != 5 ||
      items[0]->kind != PickleKind::kText || items[0]->text != "storage" ||
      items[1]->kind != PickleKind::kGlobal || !absl::EndsWith(items[1]->text, "Storage") ||
      items[2]->kind != PickleKind::kText || items[3]->kind != PickleKind::kText ||
      !IsInt(*items[4]) || items[4]->number < 0) {
    return Refuse("a storage must be ('storage', TYPE, KEY, LOCATION, COUNT)");
  }
  const std::string& key = items[2]->text;
  if (key.empty() || key.size() > kMaxKeyDigits ||
      key.find_first_not_of("0123456789") != std::string::npos) {
    return Refuse("the key of a storage must be 1 to 20 digits");
  }
  result.kind = PickleKind::kStorage;
  result.storage = std::make_unique<PickledStorage>();
  result.storage->key = key;
  result.storage->type = items[1]->text.substr(items[1]->text.find(' ') + 1);
  result.storage->count = items[4]->number;
  return absl::OkStatus();
}

}  // namespace jepa
