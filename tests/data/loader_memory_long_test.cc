// A hundred thousand images through the loader: the memory of the process stays where it was, and
// within the formula of docs/DATA.md.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <fstream>
#include <mutex>

#include "tests/data/test_data.h"
#include "tests/fakes/memory_host.h"
#include "worker/jepa/data/loader.h"

namespace jepa {
namespace {

int64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

// Tells when the loader has begun a number of images.
class CountedSource final : public ImageSource {
 public:
  explicit CountedSource(const ImageSource& source) : source_(source) {}
  int64_t size() const override { return source_.size(); }
  std::string name(int64_t index) const override { return source_.name(index); }
  absl::Status ReadInto(int64_t index, std::string& bytes) const override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ++reads_;
    }
    more_.notify_all();
    return source_.ReadInto(index, bytes);
  }
  // False if they have not come within a minute.
  bool WaitForReads(int64_t reads) const {
    std::unique_lock<std::mutex> lock(mutex_);
    return more_.wait_for(lock, std::chrono::minutes(1), [&] { return reads_ >= reads; });
  }

 private:
  const ImageSource& source_;
  mutable std::mutex mutex_;
  mutable std::condition_variable more_;
  mutable int64_t reads_ = 0;
};

TEST(LoaderMemoryTest, KeepsToItsFormulaOverAHundredThousandImages) {
  constexpr int64_t kImages = 100'000, kBatch = 100, kSteps = kImages / kBatch;
  constexpr int kSide = 128;
  constexpr int64_t kRing = 3 * 1, kBatches = (kRing + 1) * kBatch * 3 * kSide * kSide;
  constexpr int64_t kAllowed = int64_t{8} << 20;  // What an allocator and two decoders keep.
  std::vector<std::string> files;
  for (int i = 0; i < 40; ++i) files.push_back(testing::TestJpeg(24 + i, 30 + i % 7, i));
  files[3] = "broken";
  const testing::MemorySource images(files);
  const CountedSource source(images);
  MemoryRendezvous rendezvous;
  MemoryHost host(rendezvous);
  LoaderOptions options;
  options.data.batch_size = kBatch;
  options.data.crop_size = {kSide, kSide};
  options.data.num_workers = 2;
  options.data.max_bad_fraction = 1;
  options.local_shards = {0};
  options.steps_per_epoch = 10;
  options.last_step = kSteps;
  const int64_t before = ResidentBytes();
  const auto loader = NewLoader(options, source, host);
  int64_t settled = 0;
  for (int64_t step = 0; step < kSteps; ++step) {
    auto batch = loader->Next();
    ASSERT_TRUE(batch.ok()) << batch.status();
    // The first is kept until every batch behind it is begun (a broken image costs a second read):
    // from there on all the memory of batches exists, whichever side is the faster.
    ASSERT_TRUE(step > 0 || source.WaitForReads((kRing + 1) * kBatch));
    loader->Recycle(*std::move(batch));
    if (step == kSteps / 10) settled = ResidentBytes();
  }
  EXPECT_LE(ResidentBytes() - settled, int64_t{1} << 20);
  EXPECT_LE(ResidentBytes() - before, kBatches + kAllowed);
  RecordProperty("resident_bytes_at_a_tenth", std::to_string(settled));
  RecordProperty("resident_bytes_at_the_end", std::to_string(ResidentBytes()));
  std::printf("resident: %lld bytes before, %lld at a tenth, %lld at the end; batches %lld\n",
              static_cast<long long>(before), static_cast<long long>(settled),
              static_cast<long long>(ResidentBytes()), static_cast<long long>(kBatches));
}

}  // namespace
}  // namespace jepa
