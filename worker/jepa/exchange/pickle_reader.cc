// The stack machine. Every opcode is one case; what it makes is checked before it is pushed.
#include "worker/jepa/exchange/pickle_reader.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "worker/jepa/exchange/byte_source.h"
#include "worker/jepa/exchange/pickle_calls.h"

namespace jepa {
namespace {

constexpr size_t kMaxNameBytes = 128;
constexpr size_t kMaxKeyBytes = 256;

// Opcodes of protocol 2, by Python's names.
enum Opcode : unsigned char {
  kMark = '(',
  kStop = '.',
  kBinFloat = 'G',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersId = 'Q',
  kReduce = 'R',
  kBinUnicode = 'X',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kAppends = 'e',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kSetItems = 'u',
  kEmptyList = ']',
  kEmptyDict = '}',
  kEmptyTuple = ')',
  kProto = 0x80,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
};

class Machine {
 public:
  explicit Machine(absl::string_view bytes) : bytes_(bytes) {}

  absl::StatusOr<PickleDocument> Run();

 private:
  absl::Status Step(unsigned char opcode);
  absl::Status StepNumber(unsigned char opcode);
  absl::Status StepContainer(unsigned char opcode);
  absl::Status StepMemo(unsigned char opcode);

  absl::StatusOr<absl::string_view> Take(size_t count);
  absl::StatusOr<uint64_t> TakeNumber(int bytes);
  absl::StatusOr<absl::string_view> TakeLine();

  absl::StatusOr<PickleValue*> New(PickleKind kind);
  absl::Status Push(PickleKind kind, int64_t number);
  absl::StatusOr<PickleValue*> Pop();
  // The values above the last mark, which is taken away.
  absl::StatusOr<std::vector<PickleValue*>> PopMark();
  // The value on top, which stays; it must be of that kind.
  absl::StatusOr<PickleValue*> Top(PickleKind kind);

  absl::Status PushText();
  absl::Status PushFloat();
  absl::Status PushLong();
  absl::Status PushGlobal();
  absl::Status PushTuple(const std::vector<PickleValue*>& items);
  absl::Status PushShortTuple(size_t count);
  absl::Status Append(const std::vector<PickleValue*>& items);
  absl::Status SetItems(const std::vector<PickleValue*>& items);
  absl::Status Reduce();
  absl::Status Build();
  absl::Status PushStorage();

  static absl::Status Contain(PickleValue* container, const PickleValue* item);

  const absl::string_view bytes_;
  size_t position_ = 0;
  PickleDocument document_;
  std::vector<PickleValue*> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint64_t, PickleValue*> memo_;
};

absl::StatusOr<absl::string_view> Machine::Take(size_t count) {
  if (count > bytes_.size() - position_) return absl::DataLossError("the pickle is cut short");
  const absl::string_view taken = bytes_.substr(position_, count);
  position_ += count;
  return taken;
}

absl::StatusOr<uint64_t> Machine::TakeNumber(int bytes) {
  IJEPA_ASSIGN_OR_RETURN(const absl::string_view taken, Take(static_cast<size_t>(bytes)));
  return LittleEndian(taken.data(), bytes);
}

absl::StatusOr<absl::string_view> Machine::TakeLine() {
  const size_t end = bytes_.substr(position_, kMaxNameBytes).find('\n');
  if (end == absl::string_view::npos) {
    return absl::DataLossError(absl::StrCat("a name has more than ", kMaxNameBytes, " bytes"));
  }
  const absl::string_view line = bytes_.substr(position_, end);
  position_ += end + 1;
  return line;
}

absl::StatusOr<PickleValue*> Machine::New(PickleKind kind) {
  if (document_.values.size() >= kMaxPickleValues) {
    return absl::DataLossError(absl::StrCat("has more than ", kMaxPickleValues, " values"));
  }
  PickleValue& value = document_.values.emplace_back();
  value.kind = kind;
  stack_.push_back(&value);
  return &value;
}

absl::Status Machine::Push(PickleKind kind, int64_t number) {
  IJEPA_ASSIGN_OR_RETURN(PickleValue* const value, New(kind));
  value->number = number;
  return absl::OkStatus();
}

absl::StatusOr<PickleValue*> Machine::Pop() {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) {
    return absl::DataLossError("takes a value where there is none");
  }
  PickleValue* value = stack_.back();
  stack_.pop_back();
  return value;
}

absl::StatusOr<std::vector<PickleValue*>> Machine::PopMark() {
  if (marks_.empty()) return absl::DataLossError("takes a mark where there is none");
  const std::vector<PickleValue*> items(stack_.begin() + static_cast<int64_t>(marks_.back()),
                                        stack_.end());
  stack_.resize(marks_.back());
  marks_.pop_back();
  return items;
}

absl::StatusOr<PickleValue*> Machine::Top(PickleKind kind) {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back()) || stack_.back()->kind != kind) {
    return absl::DataLossError(absl::StrCat("needs ", PickleKindName(kind), " before it"));
  }
  return stack_.back();
}

absl::Status Machine::Contain(PickleValue* container, const PickleValue* item) {
  if (item == container) return absl::DataLossError("a container contains itself");
  container->depth = std::max(container->depth, item->depth + 1);
  if (container->depth <= kMaxPickleDepth) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("containers are nested deeper than ", kMaxPickleDepth));
}

absl::Status Machine::PushText() {
  IJEPA_ASSIGN_OR_RETURN(const uint64_t count, TakeNumber(4));
  IJEPA_ASSIGN_OR_RETURN(const absl::string_view text, Take(count));
  IJEPA_ASSIGN_OR_RETURN(PickleValue* const value, New(PickleKind::kText));
  value->text = std::string(text);
  return absl::OkStatus();
}

// Big-endian, unlike all other numbers.
absl::Status Machine::PushFloat() {
  IJEPA_ASSIGN_OR_RETURN(const absl::string_view taken, Take(8));
  const std::string reversed(taken.rbegin(), taken.rend());
  const uint64_t bits = LittleEndian(reversed.data(), 8);
  IJEPA_ASSIGN_OR_RETURN(PickleValue* const value, New(PickleKind::kFloat));
  std::memcpy(&value->real, &bits, sizeof(bits));
  return absl::OkStatus();
}

absl::Status Machine::PushLong() {
  IJEPA_ASSIGN_OR_RETURN(const uint64_t count, TakeNumber(1));
  if (count > 8) return absl::DataLossError("an integer has more than 64 bits");
  IJEPA_ASSIGN_OR_RETURN(uint64_t number, TakeNumber(static_cast<int>(count)));
  const bool negative = count > 0 && count < 8 && ((number >> (8 * count - 1)) & 1) != 0;
  if (negative) number |= ~uint64_t{0} << (8 * count);
  return Push(PickleKind::kInt, static_cast<int64_t>(number));
}

absl::Status Machine::PushGlobal() {
  IJEPA_ASSIGN_OR_RETURN(const absl::string_view module, TakeLine());
  IJEPA_ASSIGN_OR_RETURN(const absl::string_view name, TakeLine());
  const std::string global = absl::StrCat(module, " ", name);
  if (!IsKnownGlobal(global)) {
    return absl::DataLossError(absl::StrCat(
        "asks for ", absl::CEscape(module), ".", absl::CEscape(name),
        ", which is not one of the names that a checkpoint needs; nothing of it was run"));
  }
  IJEPA_ASSIGN_OR_RETURN(PickleValue* const value, New(PickleKind::kGlobal));
  value->text = global;
  return absl::OkStatus();
}

absl::Status Machine::PushTuple(const std::vector<PickleValue*>& items) {
  IJEPA_ASSIGN_OR_RETURN(PickleValue* const tuple, New(PickleKind::kTuple));
  for (const PickleValue* item : items) IJEPA_RETURN_IF_ERROR(Contain(tuple, item));
  tuple->items.assign(items.begin(), items.end());
  return absl::OkStatus();
}

absl::Status Machine::PushShortTuple(size_t count) {
  std::vector<PickleValue*> items(count);
  for (size_t i = count; i-- > 0;) {
    IJEPA_ASSIGN_OR_RETURN(items[i], Pop());
  }
  return PushTuple(items);
}

absl::Status Machine::Append(const std::vector<PickleValue*>& items) {
  IJEPA_ASSIGN_OR_RETURN(PickleValue* const list, Top(PickleKind::kList));
  for (const PickleValue* item : items) {
    IJEPA_RETURN_IF_ERROR(Contain(list, item));
    list->items.push_back(item);
  }
  return absl::OkStatus();
}

absl::Status Machine::SetItems(const std::vector<PickleValue*>& items) {
  IJEPA_ASSIGN_OR_RETURN(PickleValue* const dict, Top(PickleKind::kDict));
  if (items.size() % 2 != 0) return absl::DataLossError("a key has no value");
  for (size_t i = 0; i < items.size(); i += 2) {
    const PickleValue& key = *items[i];
    IJEPA_RETURN_IF_ERROR(Contain(dict, items[i + 1]));
    bool added = false;
    if (key.kind == PickleKind::kText) {
      // A bound, because the key is copied: a few bytes could ask for it again and again.
      if (key.text.size() > kMaxKeyBytes) {
        return absl::DataLossError(absl::StrCat("a key has more than ", kMaxKeyBytes, " bytes"));
      }
      added = dict->by_text.emplace(key.text, items[i + 1]).second;
    } else if (key.kind == PickleKind::kInt) {
      added = dict->by_number.emplace(key.number, items[i + 1]).second;
    } else {
      return absl::DataLossError(
          absl::StrCat("a key is ", PickleKindName(key.kind), "; must be a text or an integer"));
    }
    if (!added) {
      const std::string text =
          key.kind == PickleKind::kText ? absl::CEscape(key.text) : absl::StrCat(key.number);
      return absl::DataLossError(absl::StrCat("key \"", text, "\" is there twice"));
    }
  }
  return absl::OkStatus();
}

absl::Status Machine::Reduce() {
  IJEPA_ASSIGN_OR_RETURN(const PickleValue* const arguments, Pop());
  IJEPA_ASSIGN_OR_RETURN(const PickleValue* const callable, Pop());
  if (callable->kind != PickleKind::kGlobal) {
    return absl::DataLossError(absl::StrCat("calls ", PickleKindName(callable->kind)));
  }
  IJEPA_ASSIGN_OR_RETURN(PickleValue* const result, New(PickleKind::kNone));
  return CallGlobal(callable->text, *arguments, *result);
}

// state_dict() hangs version numbers of modules on its dictionary as an attribute; they mean
// nothing here.
absl::Status Machine::Build() {
  IJEPA_ASSIGN_OR_RETURN(const PickleValue* const state, Pop());
  IJEPA_RETURN_IF_ERROR(Top(PickleKind::kDict).status());
  if (state->kind == PickleKind::kDict) return absl::OkStatus();
  return absl::DataLossError("the attributes of a dictionary must be a dictionary");
}

absl::Status Machine::PushStorage() {
  IJEPA_ASSIGN_OR_RETURN(const PickleValue* const identity, Pop());
  IJEPA_ASSIGN_OR_RETURN(PickleValue* const storage, New(PickleKind::kStorage));
  return MakeStorage(*identity, *storage);
}

absl::Status Machine::StepMemo(unsigned char opcode) {
  const int width = opcode == kBinGet || opcode == kBinPut ? 1 : 4;
  IJEPA_ASSIGN_OR_RETURN(const uint64_t index, TakeNumber(width));
  if (opcode == kBinPut || opcode == kLongBinPut) {
    IJEPA_ASSIGN_OR_RETURN(PickleValue* const value, Pop());
    stack_.push_back(value);
    memo_[index] = value;
    return absl::OkStatus();
  }
  const auto found = memo_.find(index);
  if (found == memo_.end()) {
    return absl::DataLossError(absl::StrCat("refers to value ", index, ", which is not there"));
  }
  stack_.push_back(found->second);
  return absl::OkStatus();
}

absl::Status Machine::StepNumber(unsigned char opcode) {
  switch (opcode) {
    case kNone:
      return Push(PickleKind::kNone, 0);
    case kNewTrue:
      return Push(PickleKind::kBool, 1);
    case kNewFalse:
      return Push(PickleKind::kBool, 0);
    case kBinFloat:
      return PushFloat();
    case kLong1:
      return PushLong();
    default:
      break;
  }
  const int width = opcode == kBinInt ? 4 : opcode == kBinInt2 ? 2 : 1;
  IJEPA_ASSIGN_OR_RETURN(const uint64_t number, TakeNumber(width));
  return Push(PickleKind::kInt, opcode == kBinInt
                                    ? static_cast<int64_t>(static_cast<int32_t>(number))
                                    : static_cast<int64_t>(number));
}

absl::Status Machine::StepContainer(unsigned char opcode) {
  std::vector<PickleValue*> items;
  if (opcode == kTuple || opcode == kAppends || opcode == kSetItems) {
    IJEPA_ASSIGN_OR_RETURN(items, PopMark());
  } else {
    items.resize(opcode == kSetItem ? 2 : 1);
    for (size_t i = items.size(); i-- > 0;) {
      IJEPA_ASSIGN_OR_RETURN(items[i], Pop());
    }
  }
  if (opcode == kTuple) return PushTuple(items);
  if (opcode == kAppend || opcode == kAppends) return Append(items);
  return SetItems(items);
}

absl::Status Machine::Step(unsigned char opcode) {
  switch (opcode) {
    case kMark:
      marks_.push_back(stack_.size());
      return absl::OkStatus();
    case kEmptyDict:
      return Push(PickleKind::kDict, 0);
    case kEmptyList:
      return Push(PickleKind::kList, 0);
    case kEmptyTuple:
      return Push(PickleKind::kTuple, 0);
    case kTuple1:
    case kTuple2:
    case kTuple3:
      return PushShortTuple(opcode - kTuple1 + 1);
    case kTuple:
    case kAppend:
    case kAppends:
    case kSetItem:
    case kSetItems:
      return StepContainer(opcode);
    case kNone:
    case kNewTrue:
    case kNewFalse:
    case kBinInt:
    case kBinInt1:
    case kBinInt2:
    case kLong1:
    case kBinFloat:
      return StepNumber(opcode);
    case kBinUnicode:
      return PushText();
    case kBinGet:
    case kLongBinGet:
    case kBinPut:
    case kLongBinPut:
      return StepMemo(opcode);
    case kGlobal:
      return PushGlobal();
    case kReduce:
      return Reduce();
    case kBuild:
      return Build();
    case kBinPersId:
      return PushStorage();
    default:
      return absl::DataLossError("is not one of the opcodes that a checkpoint needs");
  }
}

absl::StatusOr<PickleDocument> Machine::Run() {
  if (bytes_.size() > kMaxPickleBytes) {
    return absl::DataLossError(absl::StrCat("pickle has ", bytes_.size(), " bytes; at most ",
                                            kMaxPickleBytes, " are read"));
  }
  if (bytes_.size() < 2 || static_cast<unsigned char>(bytes_[0]) != kProto || bytes_[1] != 2) {
    return absl::DataLossError("pickle is not of protocol 2, which torch.save writes");
  }
  position_ = 2;
  while (position_ < bytes_.size()) {
    const size_t at = position_;
    const auto opcode = static_cast<unsigned char>(bytes_[position_++]);
    if (opcode == kStop) {
      if (stack_.size() != 1 || !marks_.empty() || position_ != bytes_.size()) {
        return absl::DataLossError(
            absl::StrCat("pickle, byte ", at, ": stops with values or bytes left over"));
      }
      document_.root = stack_.back();
      return std::move(document_);
    }
    const absl::Status status = Step(opcode);
    if (!status.ok()) {
      return absl::DataLossError(
          absl::StrFormat("pickle, byte %d, opcode 0x%02x: %s", at, opcode, status.message()));
    }
  }
  return absl::DataLossError("pickle: is cut short");
}

}  // namespace

absl::string_view PickleKindName(PickleKind kind) {
  switch (kind) {
    case PickleKind::kNone:
      return "None";
    case PickleKind::kBool:
      return "a truth value";
    case PickleKind::kInt:
      return "an integer";
    case PickleKind::kFloat:
      return "a number";
    case PickleKind::kText:
      return "a text";
    case PickleKind::kTuple:
      return "a tuple";
    case PickleKind::kList:
      return "a list";
    case PickleKind::kDict:
      return "a dictionary";
    case PickleKind::kGlobal:
      return "a name";
    case PickleKind::kStorage:
      return "a storage";
    case PickleKind::kTensor:
      return "a tensor";
  }
  return "a value";
}

absl::StatusOr<PickleDocument> ParsePickle(absl::string_view bytes) { return Machine(bytes).Run(); }

}  // namespace jepa
