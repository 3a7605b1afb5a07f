// Reads the pickles of torch.save as data. A pickle is a program for a small stack machine; this
// one knows the opcodes that protocol 2 needs for dictionaries, lists, texts, numbers and tensors,
// and a closed list of names. Nothing is imported, called or executed; anything else is refused.
// Values refer to one another by pointer, so that equal parts cost nothing twice, and nothing here
// or in its callers recurses into them.
#ifndef IJEPA_WORKER_JEPA_EXCHANGE_PICKLE_READER_H_
#define IJEPA_WORKER_JEPA_EXCHANGE_PICKLE_READER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace jepa {

// Bounds of what is read. ViT-g with its optimizer is 0.5 MB of pickle, 100,000 values and 5 deep.
inline constexpr size_t kMaxPickleBytes = 16 << 20;
inline constexpr size_t kMaxPickleValues = 500'000;
inline constexpr int kMaxPickleDepth = 16;
inline constexpr size_t kMaxTensorDimensions = 16;

// The bytes of one or more tensors: an entry of the archive around the pickle.
struct PickledStorage {
  std::string key;    // Name of the entry: 1 to 20 digits.
  std::string type;   // "FloatStorage"
  int64_t count = 0;  // Elements, not negative.
};

// A view into a storage. Its elements lie inside, and are not more than the storage's.
struct PickledTensor {
  const PickledStorage* storage = nullptr;
  int64_t offset = 0;  // Elements.
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;  // Elements, not negative.
};

enum class PickleKind {
  kNone,
  kBool,     // number
  kInt,      // number
  kFloat,    // real
  kText,     // text
  kTuple,    // items
  kList,     // items
  kDict,     // by_text, by_number
  kGlobal,   // text: "collections OrderedDict"
  kStorage,  // storage
  kTensor,   // tensor
};

struct PickleValue {
  PickleKind kind = PickleKind::kNone;
  int depth = 0;  // Levels of containers below.
  int64_t number = 0;
  double real = 0;
  std::string text;
  std::vector<const PickleValue*> items;
  // Keys are texts or integers, each once.
  std::map<std::string, const PickleValue*> by_text;
  std::map<int64_t, const PickleValue*> by_number;
  std::unique_ptr<PickledStorage> storage;
  std::unique_ptr<PickledTensor> tensor;
};

// "a dictionary", for messages.
absl::string_view PickleKindName(PickleKind kind);

// All values of a pickle and the one it stands for. Movable; pointers stay valid.
struct PickleDocument {
  std::deque<PickleValue> values;
  const PickleValue* root = nullptr;
};

// Returns DataLoss naming the byte, the thing and the rule: an opcode or name that is not on the
// list, a bound, a broken stack, equal keys, a tensor outside its storage.
absl::StatusOr<PickleDocument> ParsePickle(absl::string_view bytes);

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_EXCHANGE_PICKLE_READER_H_
