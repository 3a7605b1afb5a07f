// A job with everything in it, for tests of what is shown.
#ifndef IJEPA_TESTS_CLIENT_SAMPLE_JOB_H_
#define IJEPA_TESTS_CLIENT_SAMPLE_JOB_H_

#include <cstdint>
#include <string>

#include "ijepa/v1/coordinator.pb.h"

namespace ijepa::client {

// Seconds of Unix time that the sample's times are counted from: 2026-01-02 03:04:05 UTC.
inline constexpr int64_t kSampleTime = 1767323045;

// A job of 1,000 steps with global batch 64, in `state`, at `step`; submitted, started 60 s later.
v1::Job SampleJob(const std::string& id, v1::JobState state, int64_t step);

// A failed first attempt and a second one that runs, on two nodes.
void AddAttempts(v1::Job* job);

// Probes at steps 0, 500 and 1000: "class" learnt by both methods, "count" not to be told apart.
void AddProbes(v1::Job* job);

v1::Event SampleEvent(int64_t sequence, const std::string& code, const std::string& message);

v1::Checkpoint SampleCheckpoint(int64_t step);

}  // namespace ijepa::client

#endif  // IJEPA_TESTS_CLIENT_SAMPLE_JOB_H_
