// Writes pickles of protocol 2 that Python's torch.load(weights_only=True) reads as plain
// dictionaries, lists, numbers and tensors.
#ifndef IJEPA_WORKER_JEPA_EXCHANGE_PICKLE_WRITER_H_
#define IJEPA_WORKER_JEPA_EXCHANGE_PICKLE_WRITER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace jepa {

// Values in the order in which they are nested: a dictionary is BeginDict, then a key and a value
// in turn, then End. The caller keeps that order; nothing is checked. Owned by one thread.
class PickleWriter {
 public:
  PickleWriter();

  void BeginDict();
  // collections.OrderedDict, as state dictionaries are.
  void BeginOrderedDict();
  void EndDict();
  void BeginList();
  void EndList();

  void None();
  void Bool(bool value);
  void Int(int64_t value);
  void Float(double value);
  void Text(absl::string_view value);
  // A tuple of two numbers, as betas are.
  void Floats(double first, double second);
  // A contiguous float32 tensor that is the whole storage `key`, on the CPU.
  void FloatTensor(absl::string_view key, const std::vector<int64_t>& shape);

  // The whole pickle; the writer is used up.
  std::string Finish();

 private:
  void Global(absl::string_view module, absl::string_view name);
  void Tuple(const std::vector<int64_t>& values);

  std::string bytes_;
};

}  // namespace jepa

#endif  // IJEPA_WORKER_JEPA_EXCHANGE_PICKLE_WRITER_H_
