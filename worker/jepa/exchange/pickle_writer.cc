// No memo: nothing is referred to twice but short names.
#include "worker/jepa/exchange/pickle_writer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/jepa/exchange/byte_source.h"

namespace jepa {

PickleWriter::PickleWriter() : bytes_("\x80\x02") {}

void PickleWriter::BeginDict() { bytes_ += "}("; }

void PickleWriter::BeginOrderedDict() {
  Global("collections", "OrderedDict");
  bytes_ += ")R(";
}

void PickleWriter::EndDict() { bytes_ += 'u'; }

void PickleWriter::BeginList() { bytes_ += "]("; }

void PickleWriter::EndList() { bytes_ += 'e'; }

void PickleWriter::None() { bytes_ += 'N'; }

void PickleWriter::Bool(bool value) { bytes_ += value ? '\x88' : '\x89'; }

void PickleWriter::Int(int64_t value) {
  if (value >= INT32_MIN && value <= INT32_MAX) {
    bytes_ += 'J';
    AppendLittleEndian(static_cast<uint64_t>(value), 4, &bytes_);
    return;
  }
  bytes_ += "\x8a\x08";
  AppendLittleEndian(static_cast<uint64_t>(value), 8, &bytes_);
}

void PickleWriter::Float(double value) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  std::string little;
  AppendLittleEndian(bits, 8, &little);
  bytes_ += 'G';
  bytes_.append(little.rbegin(), little.rend());
}

void PickleWriter::Text(absl::string_view value) {
  bytes_ += 'X';
  AppendLittleEndian(value.size(), 4, &bytes_);
  absl::StrAppend(&bytes_, value);
}

void PickleWriter::Floats(double first, double second) {
  Float(first);
  Float(second);
  bytes_ += '\x86';
}

void PickleWriter::Tuple(const std::vector<int64_t>& values) {
  bytes_ += '(';
  for (const int64_t value : values) Int(value);
  bytes_ += 't';
}

void PickleWriter::FloatTensor(absl::string_view key, const std::vector<int64_t>& shape) {
  int64_t count = 1;
  std::vector<int64_t> strides(shape.size());
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = count;
    count *= shape[i];
  }
  Global("torch._utils", "_rebuild_tensor_v2");
  bytes_ += "((";
  Text("storage");
  Global("torch", "FloatStorage");
  Text(key);
  Text("cpu");
  Int(count);
  bytes_ += "tQ";
  Int(0);
  Tuple(shape);
  Tuple(strides);
  Bool(false);
  Global("collections", "OrderedDict");
  bytes_ += ")RtR";
}

std::string PickleWriter::Finish() {
  bytes_ += '.';
  return std::move(bytes_);
}

void PickleWriter::Global(absl::string_view module, absl::string_view name) {
  absl::StrAppend(&bytes_, "c", module, "\n", name, "\n");
}

}  // namespace jepa
