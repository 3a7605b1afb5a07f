// Pickles: what checkpoints need is read as data, everything else is refused and nothing is run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "worker/jepa/exchange/byte_source.h"
#include "worker/jepa/exchange/pickle_reader.h"
#include "worker/jepa/exchange/pickle_writer.h"

namespace jepa {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Pickle(const std::string& body) { return "\x80\x02" + body + "."; }

std::string Text(const std::string& text) {
  std::string out = "X";
  AppendLittleEndian(text.size(), 4, &out);
  return out + text;
}

std::string Refusal(const std::string& body) {
  const auto document = ParsePickle(Pickle(body));
  EXPECT_FALSE(document.ok()) << body;
  EXPECT_THAT(std::string(document.status().message()), Not(HasSubstr("\n")));
  return std::string(document.status().message());
}

// A storage of `count` floats under key "0".
std::string Storage(const std::string& count) {
  return "(" + Text("storage") + "ctorch\nFloatStorage\n" + Text("0") + Text("cpu") + count + "tQ";
}

// A tensor over 8 floats.
std::string Tensor(const std::string& offset, const std::string& shape,
                   const std::string& strides) {
  return "ctorch._utils\n_rebuild_tensor_v2\n(" + Storage("K\x08") + offset + shape + strides +
         "\x89"
         "ccollections\nOrderedDict\n)RtR";
}

TEST(PickleTest, ReadsWhatTheWriterWrites) {
  PickleWriter writer;
  writer.BeginDict();
  writer.Text("none");
  writer.None();
  writer.Text("yes");
  writer.Bool(true);
  writer.Text("small");
  writer.Int(-7);
  writer.Text("large");
  writer.Int(-(int64_t{1} << 40));
  writer.Text("real");
  writer.Float(0.1);
  writer.Int(3);
  writer.BeginOrderedDict();
  writer.Text("w");
  writer.FloatTensor("12", {2, 3});
  writer.EndDict();
  writer.Text("list");
  writer.BeginList();
  writer.Floats(0.9, 0.999);
  writer.EndList();
  writer.EndDict();
  const auto document = ParsePickle(writer.Finish());
  ASSERT_TRUE(document.ok()) << document.status();
  const PickleValue& root = *document->root;
  EXPECT_EQ(root.by_text.at("none")->kind, PickleKind::kNone);
  EXPECT_EQ(root.by_text.at("yes")->number, 1);
  EXPECT_EQ(root.by_text.at("small")->number, -7);
  EXPECT_EQ(root.by_text.at("large")->number, -(int64_t{1} << 40));
  EXPECT_EQ(root.by_text.at("real")->real, 0.1);
  EXPECT_EQ(root.by_text.at("list")->items[0]->items[1]->real, 0.999);
  const PickledTensor& tensor = *root.by_number.at(3)->by_text.at("w")->tensor;
  EXPECT_EQ(tensor.storage->key, "12");
  EXPECT_EQ(tensor.storage->count, 6);
  EXPECT_EQ(tensor.shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(tensor.strides, (std::vector<int64_t>{3, 1}));
}

TEST(PickleTest, ReadsNumbersOfEveryWidth) {
  const auto number = [](const std::string& body) {
    const auto document = ParsePickle(Pickle(body));
    EXPECT_TRUE(document.ok()) << document.status();
    return document.ok() ? document->root->number : 0;
  };
  EXPECT_EQ(number("K\xff"), 255);
  EXPECT_EQ(number("M\xff\xff"), 65535);
  EXPECT_EQ(number("J\xff\xff\xff\xff"), -1);
  EXPECT_EQ(number(std::string("\x8a\x00", 2)), 0);
  EXPECT_EQ(number("\x8a\x01\x80"), -128);
  EXPECT_EQ(number(std::string("\x8a\x05\x00\x00\x00\x00\x01", 7)), int64_t{1} << 32);
  EXPECT_EQ(number("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"), INT64_MAX);
  EXPECT_THAT(Refusal("\x8a\x09"
                      "123456789"),
              HasSubstr("more than 64 bits"));
}

TEST(PickleTest, RefusesForeignNamesWithoutRunningThem) {
  const std::string attack = "cos\nsystem\n(" + Text("touch /tmp/pwned") + "tR";
  EXPECT_THAT(Refusal(attack), HasSubstr("asks for os.system, which is not one of the names"));
  EXPECT_THAT(Refusal("cbuiltins\neval\n(" + Text("1") + "tR"), HasSubstr("builtins.eval"));
  EXPECT_THAT(Refusal("ctorch\nload\n)R"), HasSubstr("torch.load"));
  EXPECT_THAT(Refusal("ctorch._utils\n_rebuild_tensor_v2 \n)R"), HasSubstr("not one of the names"));
  EXPECT_THAT(Refusal("ca\x01\nb\n"), HasSubstr("a\\001.b"));
  EXPECT_THAT(Refusal("c" + std::string(1000, 'a') + "\nb\n"), HasSubstr("more than 128 bytes"));
}

TEST(PickleTest, RefusesOpcodesThatCheckpointsDoNotNeed) {
  // INST, OBJ, NEWOBJ, STACK_GLOBAL, EXT1, PERSID, DUP, FRAME, BYTEARRAY8, INT, STRING.
  for (const char opcode : {'i', 'o', '\x81', '\x93', '\x82', 'P', '2', '\x95', '\x96', 'I', 'S'}) {
    EXPECT_THAT(Refusal(std::string("}") + opcode + "a\nb\n"), HasSubstr("not one of the opcodes"))
        << opcode;
  }
}

TEST(PickleTest, CallsNothingButTheListedFunctions) {
  EXPECT_THAT(Refusal("}"
                      ")R"),
              HasSubstr("calls a dictionary"));
  EXPECT_THAT(Refusal("ctorch\nFloatStorage\n)R"), HasSubstr("is a type, not a function"));
  EXPECT_THAT(Refusal("ccollections\nOrderedDict\n(K\x01tR"), HasSubstr("made empty"));
  EXPECT_THAT(Refusal("ccollections\nOrderedDict\nK\x01R"), HasSubstr("must be a tuple"));
  EXPECT_THAT(Refusal("ctorch._utils\n_rebuild_parameter\n(K\x01tR"), HasSubstr("a tensor"));
  EXPECT_TRUE(ParsePickle(Pickle("ctorch\nSize\n(K\x01K\x02t\x85R")).ok());
  EXPECT_TRUE(
      ParsePickle(Pickle("ctorch._utils\n_rebuild_parameter\n(" +
                         Tensor(std::string("K\0", 2), "K\x08\x85", "K\x01\x85") + "\x88}tR"))
          .ok());
}

TEST(PickleTest, RefusesATensorThatIsNotInItsStorage) {
  const std::string zero("K\0", 2);
  const auto parses = [](const std::string& body) { return ParsePickle(Pickle(body)).ok(); };
  EXPECT_TRUE(parses(Tensor(zero, "K\x02K\x04\x86", "K\x04K\x01\x86")));
  EXPECT_TRUE(parses(Tensor(zero, "K\x04K\x02\x86", "K\x01K\x04\x86")));
  EXPECT_TRUE(parses(Tensor("K\x07", ")", ")")));
  EXPECT_THAT(Refusal(Tensor("K\x08", ")", ")")), HasSubstr("begins outside"));
  EXPECT_THAT(Refusal(Tensor("K\x01", "K\x08\x85", "K\x01\x85")), HasSubstr("reaches outside"));
  EXPECT_THAT(Refusal(Tensor(zero, "K\x09\x85", zero + "\x85")), HasSubstr("more elements"));
  EXPECT_THAT(Refusal(Tensor(zero, "J\xff\xff\xff\xff\x85", "K\x01\x85")), HasSubstr("not a size"));
  EXPECT_THAT(Refusal(Tensor(zero, "K\x02\x85", "K\x01K\x01\x86")), HasSubstr("as many strides"));
  const std::string huge = "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f";
  EXPECT_THAT(Refusal(Tensor(zero, huge + huge + "\x86", "K\x01K\x01\x86")),
              HasSubstr("more elements"));
  EXPECT_THAT(Refusal(Tensor(zero, "K\x02K\x02\x86", huge + huge + "\x86")),
              HasSubstr("reaches outside"));
  EXPECT_THAT(Refusal(Tensor(zero, "(" + std::string(17, 'N') + "t", ")")),
              HasSubstr("at most 16"));
}

TEST(PickleTest, RefusesStoragesThatAreNoEntries) {
  const auto with_key = [](const std::string& key) {
    return "(" + Text("storage") + "ctorch\nFloatStorage\n" + Text(key) + Text("cpu") + "K\x01tQ";
  };
  EXPECT_TRUE(ParsePickle(Pickle(with_key("7"))).ok());
  for (const char* key : {"", "../7", "7/8", "a", "123456789012345678901"}) {
    EXPECT_THAT(Refusal(with_key(key)), HasSubstr("1 to 20 digits")) << key;
  }
  EXPECT_THAT(Refusal(Storage("J\xff\xff\xff\xff")), HasSubstr("COUNT"));
  EXPECT_THAT(Refusal("K\x01Q"), HasSubstr("a storage must be"));
}

TEST(PickleTest, RefusesEqualKeysAndKeysOfOtherKinds) {
  EXPECT_THAT(Refusal("}(" + Text("a") + "N" + Text("a") + "Nu"),
              HasSubstr("\"a\" is there twice"));
  EXPECT_THAT(Refusal("}(K\x01NK\x01Nu"), HasSubstr("\"1\" is there twice"));
  EXPECT_THAT(Refusal("}(NNu"), HasSubstr("must be a text or an integer"));
  EXPECT_THAT(Refusal("}(" + Text("a") + "u"), HasSubstr("a key has no value"));
  EXPECT_THAT(Refusal("}(" + Text(std::string(300, 'k')) + "Nu"), HasSubstr("more than 256"));
}

TEST(PickleTest, RefusesBrokenStacksAndCutTexts) {
  EXPECT_THAT(Refusal(""), HasSubstr("left over"));
  EXPECT_THAT(Refusal("NN"), HasSubstr("left over"));
  EXPECT_THAT(Refusal("(N"), HasSubstr("left over"));
  EXPECT_THAT(Refusal("t"), HasSubstr("a mark where there is none"));
  EXPECT_THAT(Refusal("\x85"), HasSubstr("a value where there is none"));
  EXPECT_THAT(Refusal("N(\x85"), HasSubstr("a value where there is none"));
  EXPECT_THAT(Refusal("a"), HasSubstr("a value where there is none"));
  EXPECT_THAT(Refusal("NNa"), HasSubstr("needs a list"));
  EXPECT_THAT(Refusal("h\x05"), HasSubstr("refers to value 5"));
  EXPECT_THAT(Refusal("X\xff\xff\xff\xff"
                      "abc"),
              HasSubstr("cut short"));
  EXPECT_THAT(Refusal("]Nb"), HasSubstr("needs a dictionary"));
  EXPECT_THAT(Refusal("}Nb"), HasSubstr("must be a dictionary"));
  EXPECT_FALSE(ParsePickle("").ok());
  EXPECT_FALSE(ParsePickle("\x80\x04N.").ok());
  EXPECT_FALSE(ParsePickle("\x80\x02N").ok());
  EXPECT_FALSE(ParsePickle("\x80\x02N.N").ok());
}

TEST(PickleTest, BoundsDepthSizeAndTheNumberOfValues) {
  EXPECT_THAT(Refusal("]" + std::string(20, '\x85')), HasSubstr("nested deeper than 16"));
  EXPECT_THAT(Refusal("]q" + std::string(1, '\0') + "h" + std::string(1, '\0') + "a"),
              HasSubstr("contains itself"));
  EXPECT_THAT(Refusal("]" + std::string("(") + std::string(kMaxPickleValues, 'N') + "e"),
              HasSubstr("more than 500000 values"));
  EXPECT_THAT(std::string(ParsePickle(std::string(kMaxPickleBytes + 1, 'N')).status().message()),
              HasSubstr("at most 16777216"));
}

// Nine levels of ten references would be a billion values if they were copied.
TEST(PickleTest, HoldsSharedPartsOnce) {
  std::string body = "]q" + std::string(1, '\0');
  for (char level = 1; level < 10; ++level) {
    std::string list = "](";
    for (int i = 0; i < 10; ++i) list += std::string("h") + static_cast<char>(level - 1);
    body += list + "eq" + level;
  }
  // All lists stay on the stack; the last one keeps them in a tuple.
  const auto document = ParsePickle("\x80\x02(" + body + "t.");
  ASSERT_TRUE(document.ok()) << document.status();
  EXPECT_LT(document->values.size(), 20u);
}

// A short text that is asked for again and again must not be copied again and again.
TEST(PickleTest, DoesNotMultiplyWhatItCopies) {
  const std::string text = Text(std::string(1 << 20, 'k')) + "q" + std::string(1, '\0');
  EXPECT_THAT(Refusal(text + "}h" + std::string(1, '\0') + "Ns"), HasSubstr("more than 256"));
  EXPECT_THAT(Refusal("ctorch\nSize\n(" + std::string(1000, 'N') + "t\x85R"),
              HasSubstr("at most 16"));
}

}  // namespace
}  // namespace jepa
