// submit against a fake coordinator: what is sent, what is refused, what is printed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/client/program.h"
#include "tests/client/sample_job.h"
#include "tests/fakes/fake_coordinator.h"

namespace ijepa::client {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Le;
using testing::Not;
using testing::SizeIs;

namespace fs = std::filesystem;

constexpr char kJob[] =
    "ranks: 2\n"
    "data: {batch_size: 4, crop_size: 32}\n"
    "mask: {patch_size: 4, min_keep: 2}\n"
    "meta: {model_name: vit_custom, embed_dim: 32, depth: 2, num_heads: 2, pred_depth: 1, "
    "pred_emb_dim: 32}\n"
    "optimization: {epochs: 2}\n";

class SubmitTest : public testing::Test {
 protected:
  SubmitTest() {
    folder_ = fs::path(testing::TempDir()) / ("submit-" + std::to_string(getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "photos");
    for (int i = 0; i < 40; ++i) Write("photos/" + std::to_string(i) + ".jpg", "");
    Write("tiny.yaml", kJob);
  }
  ~SubmitTest() override { fs::remove_all(folder_); }

  std::string Path(const std::string& name) { return (folder_ / name).string(); }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
  }
  Output Run(std::vector<std::string> arguments, const std::string& input = "") {
    arguments.insert(arguments.begin(), "submit");
    return RunProgram(arguments, {.coordinator = fake_.address(), .input = input});
  }
  Output RunWithData(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--data", Path("photos")});
    return Run(arguments);
  }
  // Refused here with code 7, nothing on stdout, in at most three lines, nothing sent.
  void ExpectInvalid(const Output& output) {
    EXPECT_EQ(output.code, 7) << output.err;
    EXPECT_EQ(output.out, "");
    EXPECT_THAT(Lines(output.err), SizeIs(Le(3)));
    EXPECT_THAT(fake_.creates(), IsEmpty());
  }

  FakeCoordinator fake_;
  fs::path folder_;
};

TEST_F(SubmitTest, PrintsTheJobIdAloneOnStdout) {
  Output output = RunWithData({Path("tiny.yaml")});
  EXPECT_EQ(output.code, 0) << output.err;
  EXPECT_EQ(output.out, "tiny-1\n");
  EXPECT_EQ(output.err, "");
  ASSERT_THAT(fake_.creates(), SizeIs(1));
  const v1::CreateJobRequest request = fake_.creates()[0];
  EXPECT_EQ(request.spec().name(), "tiny");
  EXPECT_EQ(request.spec().data().path(), Path("photos"));
  EXPECT_EQ(request.spec().ranks().max(), 2);
  EXPECT_FALSE(request.queue_anyway());
}

TEST_F(SubmitTest, OptionsGoOverTheFile) {
  Output output =
      RunWithData({Path("tiny.yaml"), "--ranks", "4", "--name", "other", "--set",
                   "optimization.lr=5e-4", "--set", "data.batch_size=2", "--queue-anyway", "--eval",
                   Path("photos"), "--eval-fit", Path("photos")});
  EXPECT_EQ(output.code, 0) << output.err;
  ASSERT_THAT(fake_.creates(), SizeIs(1));
  const v1::CreateJobRequest request = fake_.creates()[0];
  EXPECT_EQ(request.spec().ranks().min(), 4);
  EXPECT_EQ(request.spec().name(), "other");
  EXPECT_DOUBLE_EQ(request.spec().optimization().lr(), 5e-4);
  EXPECT_EQ(request.spec().data().batch_size(), 2);
  EXPECT_EQ(request.spec().eval().path(), Path("photos"));
  EXPECT_EQ(request.spec().eval().fit_path(), Path("photos"));
  EXPECT_TRUE(request.queue_anyway());
}

TEST_F(SubmitTest, MakesPathsAbsolute) {
  std::string relative = fs::relative(folder_ / "photos").string();
  Write("here.yaml", std::string(kJob) + "eval: {path: " + relative + "}\n");
  Output output = Run({Path("here.yaml"), "--data", relative + "/."});
  EXPECT_EQ(output.code, 0) << output.err;
  ASSERT_THAT(fake_.creates(), SizeIs(1));
  EXPECT_EQ(fs::path(fake_.creates()[0].spec().data().path()), folder_ / "photos" / "");
  EXPECT_EQ(fake_.creates()[0].spec().eval().path(), Path("photos"));
}

TEST_F(SubmitTest, ReadsStdin) {
  Output output = Run({"-", "--name", "piped", "--data", Path("photos")}, kJob);
  EXPECT_EQ(output.code, 0) << output.err;
  EXPECT_EQ(output.out, "piped-1\n");
}

TEST_F(SubmitTest, RepeatsASubmitUnderOneRequestId) {
  fake_.PushFailure({grpc::StatusCode::UNAVAILABLE, "restarting"});
  fake_.PushFailure({grpc::StatusCode::UNAVAILABLE, "restarting"});
  EXPECT_EQ(RunWithData({Path("tiny.yaml")}).out, "tiny-1\n");
  std::vector<v1::CreateJobRequest> creates = fake_.creates();
  ASSERT_THAT(creates, SizeIs(3));
  EXPECT_NE(creates[0].request_id(), "");
  EXPECT_EQ(creates[0].request_id(), creates[2].request_id());
  EXPECT_EQ(RunWithData({Path("tiny.yaml"), "--request-id", creates[0].request_id()}).out,
            "tiny-1\n");
}

TEST_F(SubmitTest, AnUnknownKeyIsNamedWithItsPlaceAndTheNearestKey) {
  Write("typo.yaml", "ranks: 2\nmask:\n  patch_sise: 4\n");
  Output output = RunWithData({Path("typo.yaml")});
  ExpectInvalid(output);
  EXPECT_THAT(output.err, AllOf(HasSubstr("typo.yaml:3:3"), HasSubstr("mask.patch_sise"),
                                HasSubstr("mask.patch_size")));
}

TEST_F(SubmitTest, AValueOutOfRangeIsNamedWithTheRule) {
  Write("negative.yaml", "data: {batch_size: -8}\n" + std::string(kJob).substr(47));
  Output output = RunWithData({Path("tiny.yaml"), "--set", "data.batch_size=-8"});
  ExpectInvalid(output);
  EXPECT_THAT(output.err, AllOf(HasSubstr("data.batch_size is -8"), HasSubstr("[1, 65536]")));
}

TEST_F(SubmitTest, ManyProblemsStayThreeLines) {
  Output output = RunWithData({Path("tiny.yaml"), "--set", "data.batch_size=-8", "--set",
                               "mask.min_keep=-1", "--set", "optimization.epochs=-1", "--set",
                               "checkpoint.keep_last=0", "--set", "max_restarts=-1"});
  ExpectInvalid(output);
  EXPECT_THAT(Lines(output.err), SizeIs(3));
  EXPECT_THAT(output.err, HasSubstr("more)"));
}

TEST_F(SubmitTest, AMissingFileOrFolderOrAnEmptyOneIsInvalid) {
  ExpectInvalid(RunWithData({Path("nothing.yaml")}));
  Output missing = Run({Path("tiny.yaml"), "--data", Path("nothing")});
  ExpectInvalid(missing);
  EXPECT_THAT(missing.err, AllOf(HasSubstr(Path("nothing")), HasSubstr("--data")));
  fs::create_directories(folder_ / "empty");
  Output empty = Run({Path("tiny.yaml"), "--data", Path("empty")});
  ExpectInvalid(empty);
  EXPECT_THAT(empty.err, HasSubstr(Path("empty")));
  ExpectInvalid(RunWithData({Path("tiny.yaml"), "--eval", Path("empty")}));
}

TEST_F(SubmitTest, DataThatIsLessThanOneBatchIsInvalid) {
  Output output = RunWithData({Path("tiny.yaml"), "--set", "data.batch_size=40"});
  ExpectInvalid(output);
  EXPECT_THAT(output.err, AllOf(HasSubstr("40 images"), HasSubstr("80")));
}

TEST_F(SubmitTest, DataThatOnlyWorkersSeeIsTakenOnTheirWord) {
  Output output = Run({Path("tiny.yaml"), "--data", "/on/the/workers", "--no-data-check"});
  EXPECT_EQ(output.code, 0) << output.err;
}

TEST_F(SubmitTest, MoreRanksThanSlotsIsAConflictThatNamesQueueAnyway) {
  fake_.PushFailure({grpc::StatusCode::FAILED_PRECONDITION, "needs 3 slots, all nodes have 2"});
  Output output = RunWithData({Path("tiny.yaml")});
  EXPECT_EQ(output.code, 5);
  EXPECT_EQ(output.out, "");
  EXPECT_THAT(output.err,
              AllOf(HasSubstr("needs 3 slots, all nodes have 2"), HasSubstr("--queue-anyway")));
}

TEST_F(SubmitTest, ASpecThatTheCoordinatorRefusesIsCode7) {
  fake_.PushFailure({grpc::StatusCode::INVALID_ARGUMENT, "mask.min_keep is 60"});
  EXPECT_EQ(RunWithData({Path("tiny.yaml")}).code, 7);
}

TEST_F(SubmitTest, AnUnreachableCoordinatorIsCode6) {
  Output output = RunProgram({"submit", Path("tiny.yaml"), "--data", Path("photos")},
                             {.coordinator = "127.0.0.1:1"});
  EXPECT_EQ(output.code, 6);
  EXPECT_EQ(output.out, "");
}

TEST_F(SubmitTest, WatchFollowsOnStderrAndEndsWithTheCodeOfTheJob) {
  fake_.PushWatch({{SampleJob("tiny-1", v1::JOB_STATE_RUNNING, 500),
                    SampleJob("tiny-1", v1::JOB_STATE_FAILED, 500)},
                   grpc::Status::OK});
  Output output = RunWithData({Path("tiny.yaml"), "--watch"});
  EXPECT_EQ(output.code, 8);
  EXPECT_EQ(output.out, "tiny-1\n");
  EXPECT_THAT(output.err, AllOf(HasSubstr("step 500/1,000"), HasSubstr("FAILED")));
}

TEST_F(SubmitTest, CtrlCDuringWatchLetsGo) {
  fake_.PushWatch({{SampleJob("tiny-1", v1::JOB_STATE_RUNNING, 500)}, grpc::Status::OK, true});
  Program program({"submit", Path("tiny.yaml"), "--data", Path("photos"), "--watch"},
                  {.coordinator = fake_.address()});
  ASSERT_TRUE(fake_.WaitForHeldStream());
  program.Signal(SIGINT);
  Output output = program.Wait();
  EXPECT_EQ(output.code, 130);
  EXPECT_EQ(output.out, "tiny-1\n");
  EXPECT_THAT(output.err, HasSubstr("the job goes on"));
}

TEST_F(SubmitTest, DryRunShowsTheResolvedJobAndItsCostWithoutACoordinator) {
  Output output = RunProgram({"submit", Path("tiny.yaml"), "--data", Path("photos"), "--dry-run"},
                             {.coordinator = "127.0.0.1:1"});
  EXPECT_EQ(output.code, 0) << output.err;
  for (const char* part : {"mask.patch_size", "encoder parameters", "GFLOP per image",
                           "memory per rank", "images                40"}) {
    EXPECT_THAT(output.out, HasSubstr(part));
  }
  // 40 images, 8 per step, 2 epochs.
  EXPECT_THAT(output.out, testing::ContainsRegex("\nsteps +10\n"));
}

TEST_F(SubmitTest, AFolderWhoseNameIsNotUtf8IsRefusedByItsPath) {
  const Output output = Run({Path("tiny.yaml"), "--no-data-check", "--data", "/caf\xe9"});
  ExpectInvalid(output);
  EXPECT_THAT(output.err, HasSubstr("data.path is not UTF-8: /caf\xef\xbf\xbd"));
}

TEST_F(SubmitTest, DryRunWithoutTheDataSaysThatStepsAreUnknown) {
  Output output = Run({Path("tiny.yaml"), "--set", "data.path=/not/here", "--dry-run"});
  EXPECT_EQ(output.code, 0) << output.err;
  EXPECT_THAT(output.out, testing::ContainsRegex("\nsteps +unknown\n"));
  EXPECT_THAT(output.err, HasSubstr("/not/here"));
}

TEST_F(SubmitTest, DryRunAsYamlIsAJobFileThatSubmits) {
  Output yaml = RunWithData({Path("tiny.yaml"), "--dry-run", "-o", "yaml"});
  EXPECT_EQ(yaml.code, 0) << yaml.err;
  Output output = Run({"-"}, yaml.out);
  EXPECT_EQ(output.code, 0) << output.err;
  EXPECT_EQ(output.out, "tiny-1\n");
}

TEST_F(SubmitTest, EveryShippedJobFilePassesADryRun) {
  int files = 0;
  for (const char* folder : {"configs/published", "configs/jobs"}) {
    if (!fs::exists(folder)) continue;
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.path().extension() != ".yaml") continue;
      std::vector<std::string> arguments = {entry.path().string(), "--dry-run"};
      if (std::string(folder) == "configs/published") {
        arguments.insert(arguments.end(), {"--ranks", "16"});
      }
      Output output = Run(arguments);
      EXPECT_EQ(output.code, 0) << entry.path() << "\n" << output.err;
      EXPECT_THAT(output.out, HasSubstr("encoder parameters"));
      ++files;
    }
  }
  if (files == 0) GTEST_SKIP() << "configs/published and configs/jobs are missing";
}

TEST_F(SubmitTest, InspectShowsWhereMasksLook) {
  Output output = RunProgram({"inspect", "masks", Path("tiny.yaml"), "--steps", "5"}, {});
  EXPECT_EQ(output.code, 0) << output.err;
  EXPECT_THAT(output.out, AllOf(HasSubstr("grid 8 x 8"), HasSubstr("context patches kept"),
                                HasSubstr("target patches kept")));
  // Eight rows of two maps, each with its number.
  EXPECT_THAT(output.out, HasSubstr("\n  7  "));
  EXPECT_THAT(output.out, ::testing::ContainsRegex("kept  [0-9.]+ mean, [0-9]+ p5, [0-9]+ p95, "));
  Output wrong =
      RunProgram({"inspect", "masks", Path("tiny.yaml"), "--set", "mask.patch_size=5"}, {});
  EXPECT_EQ(wrong.code, 7);
  EXPECT_THAT(wrong.err, Not(IsEmpty()));
}

TEST_F(SubmitTest, InspectGivesMasksToPrograms) {
  Output output = RunProgram({"inspect", "masks", Path("tiny.yaml"), "--steps", "3", "--batch", "7",
                              "--set", "mask.mode=fixed", "-o", "json"},
                             {});
  EXPECT_EQ(output.code, 0) << output.err;
  for (const char* field : {"contextShare", "targetShare", "contextPatches", "p95", "fixed"}) {
    EXPECT_THAT(output.out, HasSubstr(field));
  }
  EXPECT_THAT(output.out, ::testing::ContainsRegex("\"batch\": *7"));
}

}  // namespace
}  // namespace ijepa::client
