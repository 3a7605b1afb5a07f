// A hundred thousand images through the loader: the memory of the process stays where it was, and
// within the formula of docs/DATA.md.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

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

TEST(LoaderMemoryTest, KeepsToItsFormulaOverAHundredThousandImages) {
  constexpr int64_t kImages = 100'000, kBatch = 100, kSteps = kImages / kBatch;
  constexpr int kSide = 128;
  constexpr int64_t kBatches = (3 * 1 + 1) * kBatch * 3 * kSide * kSide;  // One shard.
  constexpr int64_t kAllowed = int64_t{8} << 20;  // What an allocator and two decoders keep.
  std::vector<std::string> files;
  for (int i = 0; i < 40; ++i) files.push_back(testing::TestJpeg(24 + i, 30 + i % 7, i));
  files[3] = "broken";
  const testing::MemorySource source(files);
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
    loader->Recycle(*std::move(batch));
    if (step == kSteps / 10) settled = ResidentBytes();
  }
  EXPECT_LE(ResidentBytes() - settled, kAllowed);
  EXPECT_LE(ResidentBytes() - before, kBatches + kAllowed);
  RecordProperty("resident_bytes_at_a_tenth", std::to_string(settled));
  RecordProperty("resident_bytes_at_the_end", std::to_string(ResidentBytes()));
  std::printf("resident: %lld bytes before, %lld at a tenth, %lld at the end; batches %lld\n",
              static_cast<long long>(before), static_cast<long long>(settled),
              static_cast<long long>(ResidentBytes()), static_cast<long long>(kBatches));
}

}  // namespace
}  // namespace jepa
