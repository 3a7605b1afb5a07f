// Batches: same bytes for any threads, ranks and restarts; bad images; bounds and deadlines.
#include "worker/jepa/data/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/data/slow_source.h"
#include "tests/data/test_data.h"
#include "tests/fakes/memory_host.h"
#include "worker/jepa/data/sample_view.h"

namespace jepa {
namespace {

using testing::FastClock;
using ::testing::HasSubstr;
using testing::MemorySource;
using testing::SlowSource;
using BatchKey = std::pair<int64_t, int>;  // Step, shard.
using Batches = std::map<BatchKey, std::vector<uint8_t>>;

std::vector<std::string> Jpegs(int count) {
  std::vector<std::string> files;
  for (int i = 0; i < count; ++i) files.push_back(testing::TestJpeg(20 + i % 5, 24 + i % 7, i));
  return files;
}

// In both orders.
class LoaderTest : public ::testing::TestWithParam<OrderMode> {
 protected:
  LoaderTest() {
    options_.data.order = GetParam();
    options_.retry_delay = absl::ZeroDuration();
    options_.data.batch_size = 3;
    options_.data.crop_size = {16, 16};
    options_.data.horizontal_flip = true;
    options_.data.max_bad_fraction = 1;
    options_.seed = 5;
    options_.shards = 4;
    options_.local_shards = {0, 1, 2, 3};
    options_.last_step = 7;
    options_.steps_per_epoch = 3;  // Of 37 images: ten per shard, the last one left over.
  }

  // Takes what is left, checking the order; gives every second batch back.
  static void Drain(Loader& loader, const LoaderOptions& options, Batches& all) {
    for (int64_t step = options.first_step; step < options.last_step; ++step) {
      for (int shard : options.local_shards) {
        auto batch = loader.Next();
        ASSERT_TRUE(batch.ok()) << batch.status();
        EXPECT_EQ(batch->step, step);
        EXPECT_EQ(batch->shard, shard);
        EXPECT_EQ(batch->images, options.data.batch_size);
        all[{step, shard}] = batch->pixels;
        if (shard % 2 == 0) loader.Recycle(*std::move(batch));
      }
    }
    EXPECT_TRUE(absl::IsOutOfRange(loader.Next().status()));
  }

  Batches Run(LoaderOptions options, int threads, const ImageSource& source) {
    options.data.num_workers = threads;
    Batches all;
    const auto loader = NewLoader(options, source, host_);
    Drain(*loader, options, all);
    return all;
  }

  LoaderOptions options_;
  MemoryRendezvous rendezvous_;
  MemoryHost host_{rendezvous_};
};

TEST_P(LoaderTest, GivesTheSameBytesForAnyNumberOfThreads) {
  std::vector<std::string> files = Jpegs(37);
  for (size_t i = 0; i < files.size(); i += 5) files[i].resize(i * 10);
  const MemorySource source(files);
  const Batches expected = Run(options_, 0, source);
  EXPECT_EQ(expected.size(), 28u);
  const std::vector<RecordedNote> notes = host_.notes();
  for (int threads : {1, 2, 8}) EXPECT_EQ(Run(options_, threads, source), expected) << threads;
  // Notes come in the order of the batches too.
  const std::vector<RecordedNote> all = host_.notes();
  ASSERT_EQ(all.size(), 4 * notes.size());
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].message, notes[i % notes.size()].message);
  }
}

TEST_P(LoaderTest, GivesTheSameBytesWithEveryDistortion) {
  const MemorySource source(Jpegs(9));
  options_.data.color_distortion = true;
  options_.data.color_jitter_strength = 1;
  options_.data.gaussian_blur = true;
  EXPECT_EQ(Run(options_, 3, source), Run(options_, 0, source));
}

TEST_P(LoaderTest, GivesTheSameBytesForAnyNumberOfRanks) {
  std::vector<std::string> files = Jpegs(37);
  files[11] = "broken";
  const MemorySource source(files);
  const Batches expected = Run(options_, 2, source);
  for (int ranks : {2, 4}) {
    Batches all;
    for (int rank = 0; rank < ranks; ++rank) {
      LoaderOptions part = options_;
      part.local_shards.clear();
      for (int i = 0; i < 4 / ranks; ++i) part.local_shards.push_back(rank * 4 / ranks + i);
      all.merge(Run(part, 1, source));
    }
    EXPECT_EQ(all, expected) << ranks;
  }
}

TEST_P(LoaderTest, ContinuesAfterARestartWhereItStopped) {
  const MemorySource source(Jpegs(37));
  const Batches expected = Run(options_, 2, source);
  for (int64_t first : {1, 3, 5}) {
    LoaderOptions rest = options_;
    rest.first_step = first;
    for (const auto& [key, pixels] : Run(rest, 2, source)) EXPECT_EQ(pixels, expected.at(key));
  }
}

TEST_P(LoaderTest, DealsEveryImageOnceAndPadsFromTheHead) {
  // One flat colour per image tells which image a sample is.
  std::vector<std::string> files;
  for (uint8_t i = 0; i < 10; ++i) {
    files.push_back(testing::TestPng({8, 8, 8, 0, false, {}, {8, std::vector<uint8_t>(8, i)}}));
  }
  const MemorySource source(files);
  options_.data.batch_size = 1;
  options_.steps_per_epoch = 3;  // Twelve samples of ten images.
  options_.last_step = 6;
  const Batches all = Run(options_, 2, source);
  for (int64_t epoch = 0; epoch < 2; ++epoch) {
    for (int64_t k = 0; k < 12; ++k) {
      const auto& pixels = all.at({epoch * 3 + k / 4, static_cast<int>(k % 4)});
      EXPECT_EQ(pixels[0], SampleOrder(GetParam(), options_.seed, 10).At(epoch, k));
    }
  }
}

TEST_P(LoaderTest, ReplacesCountsAndNamesBadImages) {
  std::vector<std::string> files = Jpegs(37);
  files[4] = "broken";
  const MemorySource source(files);
  const auto loader = NewLoader(options_, source, host_);
  Batches all;
  Drain(*loader, options_, all);
  EXPECT_GE(loader->stats().bad_images, 2);
  ASSERT_EQ(host_.notes().size(), static_cast<size_t>(loader->stats().bad_images));
  EXPECT_EQ(host_.notes()[0].code, "BAD_IMAGE");
  EXPECT_THAT(host_.notes()[0].message,
              HasSubstr("image4: corrupt: neither a JPEG, a PNG nor a WebP"));
}

TEST_P(LoaderTest, CountsEachReasonAndKeepsTheGoodOnes) {
  // A PNG of 60000 x 60000 pixels by its header.
  std::string bomb = testing::TestPng({1, 1, 8, 2, false, {}, {{1, 2, 3}}});
  const std::string side("\0\0\xea\x60", 4);
  bomb.replace(16, 8, side + side);
  const std::string crc = testing::Crc32Bytes(bomb.substr(12, 17));
  bomb.replace(29, 4, crc);
  const std::string good = testing::TestJpeg(20, 24, 3);
  std::vector<std::string> files(30, good);
  files[1] = "";
  files[2] = good.substr(0, good.size() - 50);
  files[3] = "neither";
  files[4] = bomb;
  const MemorySource source(files, {{5, absl::NotFoundError("gone")}});
  options_.data.batch_size = 30;
  options_.shards = 1;
  options_.local_shards = {0};
  options_.steps_per_epoch = 1;
  options_.last_step = 4;
  options_.data.num_workers = 2;
  const auto loader = NewLoader(options_, source, host_);
  Batches all;
  Drain(*loader, options_, all);
  const LoaderStats stats = loader->stats();
  int64_t sum = 0;
  for (const BadReason reason : {BadReason::kEmpty, BadReason::kTruncated, BadReason::kCorrupt,
                                 BadReason::kTooLarge, BadReason::kVanished}) {
    EXPECT_GE(stats.bad_reasons[static_cast<size_t>(reason)], 4) << BadReasonName(reason);
    sum += stats.bad_reasons[static_cast<size_t>(reason)];
  }
  EXPECT_EQ(stats.bad_images, sum);
  EXPECT_EQ(stats.images, 120);
  EXPECT_EQ(stats.max_batches, 3);
}

// Fails `failures` times, then answers.
class ShakySource final : public ImageSource {
 public:
  ShakySource(std::string file, int failures) : file_(std::move(file)), failures_(failures) {}
  int64_t size() const override { return 1; }
  std::string name(int64_t) const override { return "shaky"; }
  absl::Status ReadInto(int64_t, std::string& bytes) const override {
    if (failures_-- > 0) return absl::UnavailableError("reading shaky: Input/output error");
    bytes = file_;
    return absl::OkStatus();
  }

 private:
  const std::string file_;
  mutable int failures_;
};

TEST_P(LoaderTest, ReadsAgainWhereStorageAnswersWithAnError) {
  options_.data.batch_size = 1;
  options_.data.num_workers = 0;
  const ShakySource twice(testing::TestJpeg(20, 24, 3), 2);
  auto loader = NewLoader(options_, twice, host_);
  ASSERT_TRUE(loader->Next().ok());
  EXPECT_EQ(loader->stats().bad_images, 0);
  const ShakySource thrice(testing::TestJpeg(20, 24, 3), 3);
  loader = NewLoader(options_, thrice, host_);
  ASSERT_TRUE(loader->Next().ok());
  EXPECT_EQ(loader->stats().bad_reasons[static_cast<size_t>(BadReason::kUnreadable)], 1);
  EXPECT_THAT(host_.notes().back().message, HasSubstr("Input/output error; tried 3 times"));
}

TEST_P(LoaderTest, StopsWhenTooManyImagesAreBadAndNamesTwentyAtMost) {
  std::vector<std::string> files = Jpegs(4);
  for (int i = 0; i < 60; ++i) files.push_back("broken");
  const MemorySource source(files);
  options_.data.max_bad_fraction = 0.5;
  options_.data.batch_size = 8;
  for (int threads : {0, 2}) {
    options_.data.num_workers = threads;
    const auto loader = NewLoader(options_, source, host_);
    absl::Status status;
    while (status.ok()) status = loader->Next().status();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("data.max_bad_fraction is 0.5"));
    EXPECT_TRUE(absl::IsDataLoss(loader->Next().status()));
  }
  EXPECT_LE(host_.notes().size(), 40u);
}

TEST_P(LoaderTest, GivesUpWhenNothingIsReadable) {
  const MemorySource source({"broken", "too"});
  const auto loader = NewLoader(options_, source, host_);
  const auto batch = loader->Next();
  EXPECT_TRUE(absl::IsDataLoss(batch.status())) << batch.status();
}

TEST_P(LoaderTest, ReadsThreeStepsAheadAtMost) {
  SlowSource source(testing::TestJpeg(16, 16, 1));
  options_.local_shards = {0, 1};
  options_.data.num_workers = 3;
  options_.last_step = 40;
  const auto loader = NewLoader(options_, source, host_);
  for (int delivered = 1; delivered <= 80; ++delivered) {
    ASSERT_TRUE(loader->Next().ok());
    EXPECT_LE(source.reads, (delivered + 6) * options_.data.batch_size);
  }
}

TEST_P(LoaderTest, NamesTheFileWhenStorageHangs) {
  SlowSource source(testing::TestJpeg(16, 16, 1));
  FastClock clock;
  options_.clock = &clock;
  options_.data.num_workers = 1;
  source.Block(true);
  const auto loader = NewLoader(options_, source, host_);
  const auto batch = loader->Next();
  source.Block(false);  // Before anything can end the test: the loader waits for its threads.
  EXPECT_TRUE(absl::IsDeadlineExceeded(batch.status())) << batch.status();
  const int64_t first = SampleOrder(GetParam(), options_.seed, 1000).At(0, 0);
  EXPECT_THAT(std::string(batch.status().message()), HasSubstr("slow" + std::to_string(first)));
  EXPECT_GT(loader->stats().wait, absl::Seconds(120));
  ASSERT_EQ(host_.CountNotes("DATA_STALLED"), 1);
  EXPECT_THAT(host_.notes()[0].message, HasSubstr("slow" + std::to_string(first)));
}

TEST_P(LoaderTest, EndsWhileThreadsAreAhead) {
  const MemorySource source(Jpegs(5));
  options_.data.num_workers = 4;
  for (int taken = 0; taken < 4; ++taken) {
    const auto loader = NewLoader(options_, source, host_);
    for (int i = 0; i < taken; ++i) ASSERT_TRUE(loader->Next().ok());
  }
}

INSTANTIATE_TEST_SUITE_P(Orders, LoaderTest,
                         ::testing::Values(OrderMode::kKeyed, OrderMode::kReference),
                         [](const auto& info) {
                           return info.param == OrderMode::kKeyed ? "Keyed" : "Reference";
                         });

}  // namespace
}  // namespace jepa
