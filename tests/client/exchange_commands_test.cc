// ijepactl import and export as people run them: data, talk, exit codes, names of checkpoints.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/client/program.h"
#include "tests/client/sample_job.h"
#include "tests/exchange/sample_state.h"
#include "tests/fakes/fake_coordinator.h"
#include "worker/jepa/exchange/torch_writer.h"

namespace ijepa::client {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::SizeIs;

class ExchangeCommandsTest : public jepa::testing::ExchangeTest {
 protected:
  void SetUp() override {
    file_ = Path("sample.pth.tar");
    ASSERT_TRUE(jepa::WriteTorchState(file_, jepa::testing::SampleState()).ok());
  }
  Output Run(const std::vector<std::string>& arguments) {
    return RunProgram(arguments, {.coordinator = fake_.address()});
  }

  FakeCoordinator fake_;
  std::string file_;
};

TEST_F(ExchangeCommandsTest, ImportPrintsTheFolderAndSaysWhatItHolds) {
  const Output output = Run({"import", file_, Path("in"), "--heads", "2"});
  EXPECT_EQ(output.code, 0) << output.err;
  EXPECT_EQ(output.out, Path("in") + "\n");
  EXPECT_THAT(output.err,
              AllOf(HasSubstr("encoder 16x2 heads 2"), HasSubstr("10 optimizer steps")));
  EXPECT_EQ(Run({"import", file_, Path("in"), "--heads", "2"}).code, 5);
  EXPECT_EQ(Run({"import", file_, Path("in"), "--heads", "2", "--force"}).code, 0);
}

TEST_F(ExchangeCommandsTest, ImportTakesASquareOrARectangleAsCropSize) {
  const auto made_for = [&](const std::string& size) {
    return Run({"import", file_, Path("in"), "--heads", "2", "--force", "--crop-size", size});
  };
  EXPECT_THAT(made_for("24").err, HasSubstr("grid 6x6"));
  EXPECT_THAT(made_for("8x32").err, HasSubstr("grid 2x8"));
  EXPECT_THAT(made_for("12,20").err, HasSubstr("grid 3x5"));
  for (const std::string bad : {"", "x", "8x", "8x8x8", "-8", "0", "8x16385", "8 8"}) {
    EXPECT_EQ(made_for(bad).code, 2) << bad;
  }
}

TEST_F(ExchangeCommandsTest, ExportFindsCheckpointsByPathJobAndStep) {
  ASSERT_EQ(Run({"import", file_, Path("in"), "--heads", "2"}).code, 0);
  fake_.AddJob(SampleJob("demo-1", v1::JOB_STATE_SUCCEEDED, 1000));
  v1::Checkpoint checkpoint = SampleCheckpoint(500);
  checkpoint.set_path(Path("in"));
  fake_.AddCheckpoint(checkpoint);
  for (const std::string& name : {Path("in"), std::string("demo-1"), std::string("demo-1@500")}) {
    const Output output = Run({"export", name, "--format", "hf", Path("hf"), "--force"});
    EXPECT_EQ(output.code, 0) << output.err;
    EXPECT_EQ(output.out, Path("hf") + "\n");
    EXPECT_THAT(output.err, HasSubstr("exported " + Path("in")));
  }
  const Output absent = Run({"export", "demo-1@7", "--format", "hf", Path("x")});
  EXPECT_EQ(absent.code, 3);
  EXPECT_THAT(absent.err, HasSubstr("demo-1 has no checkpoint of step 7"));
  EXPECT_EQ(Run({"export", "demo-1@x", "--format", "hf", Path("x")}).code, 7);
  EXPECT_EQ(Run({"export", "demo-9", "--format", "hf", Path("x")}).code, 3);
}

TEST_F(ExchangeCommandsTest, WrongWordsAreUsage) {
  EXPECT_THAT(Run({"export", file_, "--format", "onnx", Path("x")}).err,
              HasSubstr("must be one of hf, timm, pth, safetensors"));
  EXPECT_EQ(Run({"export", file_, "--format", "onnx", Path("x")}).code, 2);
  EXPECT_EQ(Run({"export", file_, "--format", "hf", "--encoder", "both", Path("x")}).code, 2);
  EXPECT_EQ(Run({"export", file_, Path("x")}).code, 2);
}

TEST_F(ExchangeCommandsTest, ABrokenFileIsOneLineOnStderr) {
  std::string bytes = jepa::testing::ReadBytes(file_);
  jepa::testing::WriteBytes(file_, bytes.substr(0, bytes.size() / 2));
  const Output output = Run({"import", file_, Path("in"), "--heads", "2"});
  EXPECT_EQ(output.code, 1);
  EXPECT_EQ(output.out, "");
  EXPECT_THAT(Lines(output.err), SizeIs(1));
  EXPECT_THAT(output.err, AllOf(HasSubstr("sample.pth.tar"), HasSubstr("cut short")));
  EXPECT_EQ(Run({"import", Path("absent"), Path("in")}).code, 3);
}

}  // namespace
}  // namespace ijepa::client
