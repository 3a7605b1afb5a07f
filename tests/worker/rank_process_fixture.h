// A folder, a launch and a fake rank for tests of processes.
#ifndef IJEPA_TESTS_WORKER_RANK_PROCESS_FIXTURE_H_
#define IJEPA_TESTS_WORKER_RANK_PROCESS_FIXTURE_H_

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "worker/daemon/rank_process.h"

namespace ijepa::worker {

// Rank 1 of generation 2 of the job "job", in slot 3.
class RankProcessFixture : public ::testing::Test {
 protected:
  RankProcessFixture() {
    std::filesystem::remove_all(root_);
    options_.ranks_folder = root_;
    options_.rank_binary = FAKE_RANK;
    launch_.set_job_uid("job");
    launch_.set_generation(2);
    launch_.set_rank(1);
    launch_.set_slot(3);
  }
  ~RankProcessFixture() override { std::filesystem::remove_all(root_); }

  std::unique_ptr<RankProcess> Start(const std::string& script) {
    launch_.mutable_spec()->set_name(script);
    return RankProcess::Start(options_, launch_, absl::Now());
  }
  // Polls until all of the rank is gone.
  v1::RankExit WaitForExit(RankProcess& rank) {
    for (int i = 0; i < 60000 && !rank.exit(); ++i) {
      pollfd fd = {rank.pidfd(), POLLIN, 0};
      ::poll(&fd, 1, rank.pidfd() >= 0 ? 60000 : 1);
      rank.Poll(absl::Now());
    }
    return rank.exit().value_or(v1::RankExit());
  }
  std::string Folder() const { return root_ + "/job.g2.r1"; }

  const std::string root_ =
      ::testing::TempDir() + "rank_process_test." + std::to_string(::getpid());
  RankProcess::StartOptions options_;
  v1::RankLaunch launch_;
};

}  // namespace ijepa::worker

#endif  // IJEPA_TESTS_WORKER_RANK_PROCESS_FIXTURE_H_
