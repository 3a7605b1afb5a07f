// Files of torch.save with something wrong in them: one line that names file, thing and rule.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/exchange/sample_state.h"
#include "worker/jepa/exchange/import.h"
#include "worker/jepa/exchange/pickle_writer.h"
#include "worker/jepa/exchange/torch_writer.h"
#include "worker/jepa/exchange/zip_reader.h"
#include "worker/jepa/exchange/zip_writer.h"

namespace jepa::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class HostileFileTest : public ExchangeTest {
 protected:
  // The message of opening `bytes` as x.pth.tar, which must be one line with the path.
  std::string Refusal(const std::string& bytes) {
    WriteBytes(Path("x.pth.tar"), bytes);
    return RefusalOfFile();
  }

  std::string RefusalOfFile() {
    const auto state = OpenState(Path("x.pth.tar"));
    EXPECT_FALSE(state.ok());
    const std::string message(state.status().message());
    EXPECT_THAT(message, AllOf(HasSubstr(Path("x.pth.tar")), Not(HasSubstr("\n"))));
    return message;
  }

  // An archive with this pickle and storages of `bytes` bytes under keys 0 to 9.
  std::string RefusalOfPickle(const std::string& pickle, size_t bytes = 4) {
    auto writer = ZipWriter::Create(Path("x.pth.tar"));
    EXPECT_TRUE(writer->Add("x/data.pkl", pickle).ok());
    for (int key = 0; key < 10; ++key) {
      EXPECT_TRUE(writer->Add(absl::StrCat("x/data/", key), std::string(bytes, '\0')).ok());
    }
    EXPECT_TRUE(writer->Finish().ok());
    return RefusalOfFile();
  }
};

TEST_F(HostileFileTest, RefusesEveryCutOfASoundFile) {
  ASSERT_TRUE(WriteTorchState(Path("whole.pth.tar"), SampleState()).ok());
  const std::string whole = ReadBytes(Path("whole.pth.tar"));
  WriteBytes(Path("x.pth.tar"), whole);
  ASSERT_TRUE(OpenState(Path("x.pth.tar")).ok());
  for (size_t length = 0; length < whole.size(); length += 997) Refusal(whole.substr(0, length));
}

// A flipped bit is refused, or it is in a byte that means nothing: then all values are the same.
TEST_F(HostileFileTest, NoFlippedBitChangesAValue) {
  const SampleState sample;
  ASSERT_TRUE(WriteTorchState(Path("whole.pth.tar"), sample).ok());
  const std::string whole = ReadBytes(Path("whole.pth.tar"));
  int refused = 0;
  int harmless = 0;
  for (size_t at = 0; at < whole.size(); at += 211) {
    std::string flipped = whole;
    flipped[at] ^= static_cast<char>(1 << (at % 8));
    WriteBytes(Path("x.pth.tar"), flipped);
    const auto state = OpenState(Path("x.pth.tar"));
    bool sound = state.ok();
    if (sound) {
      for (const auto& [name, shape] : (*state)->tensors()) {
        std::vector<float> values(static_cast<size_t>(CountOf(shape)));
        if (!(*state)->Read(name, values.data()).ok()) {
          sound = false;
          break;
        }
        ASSERT_EQ(values, ValuesOf(sample, name)) << name << " after a flip at " << at;
      }
    }
    ++(sound ? harmless : refused);
  }
  EXPECT_GT(refused, 100);
  EXPECT_GT(harmless, 0);  // Padding.
}

TEST_F(HostileFileTest, RefusesWhatIsNoArchive) {
  EXPECT_THAT(Refusal("short"), HasSubstr("too few"));
  EXPECT_THAT(Refusal(std::string(100, 'x')), HasSubstr("not a zip archive"));
  EXPECT_THAT(Refusal(std::string("\x80\x02\x8a\nl\xfc\x9c\x46\xf9 j\xa8P\x19.", 16)),
              HasSubstr("torch before 1.6"));
  EXPECT_TRUE(absl::IsNotFound(OpenState(Path("absent")).status()));
}

TEST_F(HostileFileTest, RefusesArchivesThatAreNotOfTorch) {
  const auto with = [&](const std::vector<std::string>& names) {
    auto writer = ZipWriter::Create(Path("x.pth.tar"));
    for (const std::string& name : names) EXPECT_TRUE(writer->Add(name, "\x80\x02}.").ok());
    EXPECT_TRUE(writer->Finish().ok());
    return RefusalOfFile();
  };
  EXPECT_THAT(with({"x/other"}), HasSubstr("no NAME/data.pkl"));
  EXPECT_THAT(with({"a/b/data.pkl"}), HasSubstr("no NAME/data.pkl"));
  EXPECT_THAT(with({"a/data.pkl", "b/data.pkl"}), HasSubstr("more than one"));
  EXPECT_THAT(with({"a/data.pkl", "a/byteorder"}), HasSubstr("byteorder is not little"));
}

TEST_F(HostileFileTest, RefusesStoragesThatAreMissingOrOfAnotherSize) {
  const auto tensor = [](const std::string& key, int64_t count) {
    PickleWriter pickle;
    pickle.BeginDict();
    pickle.Text("w");
    pickle.FloatTensor(key, {count});
    pickle.EndDict();
    return pickle.Finish();
  };
  EXPECT_THAT(RefusalOfPickle(tensor("10", 1)), HasSubstr("has no entry x/data/10"));
  EXPECT_THAT(RefusalOfPickle(tensor("3", 2)),
              HasSubstr("x/data/3 has 4 bytes; its pickle says 2"));
  EXPECT_THAT(RefusalOfPickle(tensor("3", int64_t{1} << 62)), HasSubstr("x/data/3 has 4 bytes"));
}

TEST_F(HostileFileTest, RefusesAForeignNameAndRunsNothing) {
  const std::string attack = absl::StrCat(
      "\x80\x02"
      "cos\nsystem\n(X",
      std::string("\x40\0\0\0", 4), "touch ", std::string(58, 'x'), "tR.");
  EXPECT_THAT(RefusalOfPickle(attack), AllOf(HasSubstr("os.system"), HasSubstr("byte 2")));
}

TEST_F(HostileFileTest, NamesTheTensorThatIsMissingWrongOrTooMany) {
  SampleState sample;
  PickleWriter pickle;
  pickle.BeginDict();
  for (const char* network : {"encoder", "target_encoder", "predictor"}) {
    pickle.Text(network);
    pickle.BeginOrderedDict();
    pickle.Text("module.w");
    pickle.FloatTensor("0", {1});
    pickle.EndDict();
  }
  pickle.EndDict();
  EXPECT_THAT(RefusalOfPickle(pickle.Finish()),
              HasSubstr("tensor target_encoder/patch_embed.proj.weight is missing"));
  const auto single = [](const std::string& key) {
    PickleWriter out;
    out.BeginDict();
    out.Text("encoder");
    out.Text(key);
    out.EndDict();
    return out.Finish();
  };
  EXPECT_THAT(RefusalOfPickle(single("x")), HasSubstr("\"encoder\" is missing or no dictionary"));
  EXPECT_THAT(RefusalOfPickle("\x80\x02K\x01."), HasSubstr("holds no dictionary"));
  EXPECT_THAT(RefusalOfPickle("\x80\x02}."), HasSubstr("has no tensors"));
}

TEST_F(HostileFileTest, RefusesPrefixesThatAreMixed) {
  PickleWriter pickle;
  pickle.BeginDict();
  pickle.Text("module.a");
  pickle.FloatTensor("0", {1});
  pickle.Text("b");
  pickle.FloatTensor("1", {1});
  pickle.EndDict();
  EXPECT_THAT(RefusalOfPickle(pickle.Finish()), HasSubstr("differs from the others in its prefix"));
}

// The beginning of a state, and then `last` with one number.
std::string SmallState(const std::string& last) {
  PickleWriter pickle;
  pickle.BeginDict();
  pickle.Text("patch_embed.proj.weight");
  pickle.FloatTensor("0", {1, 1, 1, 1});
  pickle.Text("pos_embed");
  pickle.FloatTensor("1", {1, 1, 1});
  pickle.Text("blocks.0.mlp.fc1.weight");
  pickle.FloatTensor("2", {1, 1});
  pickle.Text(last);
  pickle.FloatTensor("3", {1});
  pickle.EndDict();
  return pickle.Finish();
}

// Two sizes as PickleWriter writes them in a tuple.
std::string ShapePickle(char rows, char columns) {
  const std::string high(3, '\0');
  return std::string("(J") + rows + high + "J" + columns + high + "t";
}

// Shapes that disagree with one another; the writer takes them from the tables, so the model lies.
TEST_F(HostileFileTest, RefusesShapesThatDisagree) {
  EXPECT_THAT(RefusalOfPickle(SmallState("blocks.0.mlp.fc2.weight")), HasSubstr("is missing"));
  EXPECT_THAT(RefusalOfPickle(SmallState("blocks.2000000000.norm1.weight")),
              HasSubstr("is of no block in [0, 256)"));
}

// Weights and moments whose every other tensor is sound.
TEST_F(HostileFileTest, NamesTheTensorOfAnotherShapeAndBothShapes) {
  const std::string name = "encoder/blocks.0.attn.qkv.weight";
  const std::string rule = " has shape [16, 48]; expected [48, 16]";
  // The first tensor of that shape after the name becomes its transpose.
  const auto refusal = [&](const std::string& after) {
    EXPECT_TRUE(WriteTorchState(Path("whole.pth.tar"), SampleState()).ok());
    const auto bytes = OpenBytes(Path("whole.pth.tar"));
    const auto archive = ZipReader::Open(**bytes);
    auto writer = ZipWriter::Create(Path("x.pth.tar"));
    for (const ZipEntry& entry : archive->entries()) {
      std::string data(entry.bytes, '\0');
      EXPECT_TRUE(archive->Read(entry, data.data()).ok());
      if (entry.name == "archive/data.pkl") {
        const size_t at = data.find(ShapePickle(48, 16), data.find(after));
        EXPECT_NE(at, std::string::npos);
        data.replace(at, ShapePickle(48, 16).size(), ShapePickle(16, 48));
      }
      EXPECT_TRUE(writer->Add(entry.name, data).ok());
    }
    EXPECT_TRUE(writer->Finish().ok());
    return RefusalOfFile();
  };
  EXPECT_THAT(refusal("encoder"), HasSubstr("tensor " + name + rule));
  EXPECT_THAT(refusal("target_encoder"), HasSubstr("tensor target_" + name + rule));
  EXPECT_THAT(refusal("exp_avg"), HasSubstr("tensor exp_avg/" + name + rule));
}

TEST_F(HostileFileTest, NamesTheTensorOfAnotherShapeInAFolder) {
  for (const std::string name : {"predictor/predictor_norm.bias", "exp_avg/encoder/norm.bias",
                                 "exp_avg_sq/encoder/norm.bias"}) {
    SampleState sample;
    sample.shapes_[name] = {5};
    ASSERT_TRUE(ImportState(sample, {.folder = Path("in"), .replace = true}).ok());
    EXPECT_THAT(std::string(OpenState(Path("in")).status().message()),
                HasSubstr("tensor " + name + " has shape [5]; expected ["));
  }
}

TEST_F(HostileFileTest, RefusesALearntTableOfNoSquareGrid) {
  ModelConfig model = SampleModel();
  model.grid_width = 3;
  SampleState sample(model);
  sample.LearnTables();
  ASSERT_TRUE(WriteTorchState(Path("x.pth.tar"), sample).ok());
  EXPECT_THAT(RefusalOfFile(), AllOf(HasSubstr("has 12 patches, which is no square grid"),
                                     HasSubstr("--crop-size HEIGHTxWIDTH")));
  const auto named = OpenState(Path("x.pth.tar"), {16, 12});
  ASSERT_TRUE(named.ok()) << named.status();
  EXPECT_EQ((*named)->info().model.grid_height, 4);
  EXPECT_EQ((*named)->info().model.grid_width, 3);
}

TEST_F(HostileFileTest, RefusesValuesThatAreNotFinite) {
  for (const std::string name : {"predictor/predictor_norm.bias", "exp_avg_sq/encoder/norm.bias",
                                 "target_encoder/pos_embed"}) {
    SampleState sample;
    std::vector<float> values = ValuesOf(sample, name);
    values.front() = std::numeric_limits<float>::quiet_NaN();
    values.back() = -std::numeric_limits<float>::infinity();
    sample.replaced_[name] = values;
    ASSERT_TRUE(WriteTorchState(Path("x.pth.tar"), sample).ok());
    ImportOptions options;
    options.heads = 2;
    options.folder = Path("out");
    const auto state = OpenForUse(Path("x.pth.tar"), options);
    const absl::Status status = state.ok() ? ImportState(**state, options) : state.status();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr(Path("x.pth.tar") + ": tensor " + name),
                      HasSubstr(absl::StrCat("has 2 of ", values.size(), " values that are NaN"))));
    EXPECT_TRUE(absl::IsNotFound(OpenState(Path("out")).status()));
  }
}

TEST_F(HostileFileTest, LeavesNothingBehindWhenAnImportFails) {
  ASSERT_TRUE(WriteTorchState(Path("x.pth.tar"), SampleState()).ok());
  std::string bytes = ReadBytes(Path("x.pth.tar"));
  // The last tensor's data: everything before it is written by then.
  const size_t at = bytes.rfind("PK\x03\x04") - 8;
  bytes[at] ^= 1;
  WriteBytes(Path("x.pth.tar"), bytes);
  ImportOptions options;
  options.heads = 2;
  options.folder = Path("out");
  const auto state = OpenForUse(Path("x.pth.tar"), options);
  ASSERT_TRUE(state.ok()) << state.status();
  const absl::Status status = ImportState(**state, options);
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("x.pth.tar: tensor "), HasSubstr("is altered")));
  EXPECT_TRUE(absl::IsNotFound(OpenState(Path("out")).status()));
  EXPECT_TRUE(absl::IsNotFound(OpenState(Path("out.new")).status()));
}

}  // namespace
}  // namespace jepa::testing
