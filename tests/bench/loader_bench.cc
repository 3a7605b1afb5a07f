// Images a second of the data pipeline, beside its peers, interleaved in one run: each repetition
// runs every contender once over the same files, and medians are printed. Wall time and CPU time:
// on a machine that others use only the second is steady.
//
// usage: loader_bench [--json] [--data TAR] [--size N] [--bench NAME] [--repetitions N] [--images
// N]
//                     [--no-peers]
#include <turbojpeg.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/bench/median.h"
#include "tests/bench/python_peer.h"
#include "tests/fakes/memory_host.h"
#include "worker/jepa/data/image.h"
#include "worker/jepa/data/loader.h"

namespace jepa {
namespace {

constexpr int kBatch = 50;

struct Options {
  std::string data = "../shared/data/imagenet-sample-300.tar";
  std::string bench = "rrc224";
  int size = 224;
  int repetitions = 7;
  int64_t images = 300;  // At most.
  bool json = false;
  bool peers = true;
};

struct Contender {
  std::string impl;
  std::string stage;  // What it ends with: pixels (whole images), uint8 or fp32 (batches of views).
  int threads = 1;
  bool operator<(const Contender& other) const {
    return std::tie(stage, threads, impl) < std::tie(other.stage, other.threads, other.impl);
  }
};

using bench::Timing;

double Seconds(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

template <typename Work>
Timing Time(const Work& work) {
  const double wall = Seconds(CLOCK_MONOTONIC);
  const double cpu = Seconds(CLOCK_PROCESS_CPUTIME_ID);
  work();
  return {Seconds(CLOCK_MONOTONIC) - wall, Seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu};
}

[[noreturn]] void Die(const std::string& text) {
  std::fprintf(stderr, "loader_bench: %s\n", text.c_str());
  std::exit(1);
}

// As a step does on the CPU (model/patches.cc): (value / 255 - mean) / std, by a table.
void Normalise(const Batch& batch, std::vector<float>& out) {
  out.resize(batch.pixels.size());
  const size_t plane = batch.pixels.size() / static_cast<size_t>(batch.images) / 3;
  float table[3][256];
  for (int c = 0; c < 3; ++c) {
    for (int value = 0; value < 256; ++value) {
      table[c][value] = (static_cast<float>(value) / 255.0f - kImageMean[c]) / kImageStd[c];
    }
  }
  for (size_t at = 0; at < out.size(); at += plane) {
    const float* values = table[at / plane % 3];
    const uint8_t* in = batch.pixels.data() + at;
    float* target = out.data() + at;
    for (size_t i = 0; i < plane; ++i) target[i] = values[in[i]];
  }
}

// The files of a source in memory, where the peers have them too.
class FilesInMemory final : public ImageSource {
 public:
  FilesInMemory(const ImageSource& source, int64_t images) {
    for (int64_t i = 0; i < images; ++i) files_.push_back(source.Read(i).value());
  }
  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  std::string name(int64_t index) const override { return absl::StrCat("file ", index); }
  absl::Status ReadInto(int64_t index, std::string& bytes) const override {
    bytes = files_[static_cast<size_t>(index)];
    return absl::OkStatus();
  }
  const std::vector<std::string>& files() const { return files_; }

 private:
  std::vector<std::string> files_;
};

class Bench {
 public:
  Bench(const Options& options, const ImageSource& source)
      : options_(options),
        images_(std::min(options.images, source.size()) / kBatch * kBatch),
        source_(source, images_) {
    if (images_ == 0) Die(absl::StrCat(options.data, " has less than ", kBatch, " images"));
  }

  int64_t images() const { return images_; }

  Timing Run(const Contender& contender) {
    if (contender.impl == "turbojpeg_full") return Time([&] { DecodeAll(); });
    const auto loader = NewLoader(LoaderOptionsOf(contender), source_, host_);
    LoadEpoch(contender, *loader);  // Starts threads and makes buffers, as a run does once.
    return Time([&] { LoadEpoch(contender, *loader); });
  }

 private:
  void DecodeAll() {
    tjhandle decoder = tjInitDecompress();
    std::vector<unsigned char> pixels;
    for (const std::string& file : source_.files()) {
      const auto* bytes = reinterpret_cast<const unsigned char*>(file.data());
      int width = 0, height = 0, sampling = 0, space = 0;
      tjDecompressHeader3(decoder, bytes, file.size(), &width, &height, &sampling, &space);
      pixels.resize(static_cast<size_t>(width) * height * 3);
      tjDecompress2(decoder, bytes, file.size(), pixels.data(), width, 0, height, TJPF_RGB, 0);
    }
    tjDestroy(decoder);
  }

  // One thread: the one that calls; more: threads of the loader. They read ahead of the epochs that
  // are asked for, so that work goes on at the end of an epoch as it did at its beginning.
  LoaderOptions LoaderOptionsOf(const Contender& contender) const {
    LoaderOptions options;
    options.data.batch_size = kBatch;
    options.data.crop_size = {options_.size, options_.size};
    options.data.num_workers = contender.impl == "ours" ? 0 : contender.threads;
    options.local_shards = {0};
    options.steps_per_epoch = images_ / kBatch;
    options.last_step = 4 * options.steps_per_epoch;
    return options;
  }

  void LoadEpoch(const Contender& contender, Loader& loader) {
    for (int64_t step = 0; step < images_ / kBatch; ++step) {
      auto batch = loader.Next();
      if (!batch.ok()) Die(std::string(batch.status().message()));
      if (contender.stage == "fp32") Normalise(*batch, floats_);
      loader.Recycle(*std::move(batch));
    }
  }

  const Options& options_;
  const int64_t images_;
  const FilesInMemory source_;
  std::vector<float> floats_;
  MemoryRendezvous rendezvous_;
  MemoryHost host_{rendezvous_};
};

struct Samples {
  std::vector<double> wall;
  std::vector<double> cpu;
};

void Print(const Options& options, const std::map<Contender, Samples>& results, int64_t images) {
  double load[3] = {};
  getloadavg(load, 3);
  if (!options.json) {
    std::printf("%s, %lld images, median of %d, load %.1f\n%-20s %-7s %7s %10s %14s\n",
                options.bench.c_str(), static_cast<long long>(images), options.repetitions, load[0],
                "impl", "stage", "threads", "images/s", "per CPU second");
  }
  for (const auto& [contender, samples] : results) {
    const double rate = static_cast<double>(images) / bench::Median(samples.wall);
    const double cpu_rate = static_cast<double>(images) / bench::Median(samples.cpu);
    const char* format = options.json
                             ? "{\"bench\":\"%s\",\"stage\":\"%s\",\"impl\":\"%s\",\"threads\":%d,"
                               "\"images_per_s\":%.1f,\"images_per_cpu_s\":%.1f,\"load\":%.2f}\n"
                             : nullptr;
    if (format != nullptr) {
      std::printf(format, options.bench.c_str(), contender.stage.c_str(), contender.impl.c_str(),
                  contender.threads, rate, cpu_rate, load[0]);
    } else {
      std::printf("%-20s %-7s %7d %10.1f %14.1f\n", contender.impl.c_str(), contender.stage.c_str(),
                  contender.threads, rate, cpu_rate);
    }
  }
}

Options ReadArguments(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const auto value = [&]() -> std::string {
      if (++i >= argc) Die(absl::StrCat(name, " wants a value"));
      return argv[i];
    };
    if (name == "--json") {
      options.json = true;
    } else if (name == "--no-peers") {
      options.peers = false;
    } else if (name == "--data") {
      options.data = value();
    } else if (name == "--bench") {
      options.bench = value();
    } else if (name == "--size") {
      options.size = std::atoi(value().c_str());
    } else if (name == "--repetitions") {
      options.repetitions = std::max(1, std::atoi(value().c_str()));
    } else if (name == "--images") {
      options.images = std::atoll(value().c_str());
    } else {
      Die(absl::StrCat("unknown argument ", name));
    }
  }
  return options;
}

int Main(int argc, char** argv) {
  const Options options = ReadArguments(argc, argv);
  const auto source = OpenImageSource(options.data);
  if (!source.ok()) Die(std::string(source.status().message()));
  Bench bench(options, **source);
  std::vector<Contender> mine = {{"ours", "uint8"},
                                 {"ours", "fp32"},
                                 {"turbojpeg_full", "pixels"},
                                 {"ours_threads", "uint8", 1},
                                 {"ours_threads", "uint8", 2}};
  std::vector<Contender> theirs;
  std::unique_ptr<bench::PythonPeer> peer;
  if (options.peers) {
    peer = bench::PythonPeer::Start({"python3", "tests/bench/torchvision_baseline.py", "--serve",
                                     options.data, "--size", absl::StrCat(options.size), "--images",
                                     absl::StrCat(bench.images())});
    if (peer == nullptr) Die("tests/bench/torchvision_baseline.py does not answer");
    for (const char* stage : {"uint8", "fp32"}) {
      for (const char* impl : {"torchvision_v1", "torchvision_v2", "torchvision_loader"}) {
        theirs.push_back({impl, stage});
      }
    }
  }
  std::map<Contender, Samples> results;
  const auto keep = [&](const Contender& contender, const Timing& timing, int repetition) {
    if (repetition < 0) return;  // The first warms up.
    results[contender].wall.push_back(timing.wall_seconds);
    results[contender].cpu.push_back(timing.cpu_seconds);
  };
  for (int repetition = -1; repetition < options.repetitions; ++repetition) {
    for (const Contender& contender : mine) keep(contender, bench.Run(contender), repetition);
    for (const Contender& contender : theirs) {
      const auto timing = peer->Ask(absl::StrCat(contender.impl, " ", contender.stage));
      if (!timing.has_value()) Die("the peer ended");
      keep(contender, *timing, repetition);
    }
  }
  Print(options, results, bench.images());
  return 0;
}

}  // namespace
}  // namespace jepa

int main(int argc, char** argv) { return jepa::Main(argc, argv); }
