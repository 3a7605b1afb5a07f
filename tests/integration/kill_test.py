"""kill -9 of a rank, of the worker and of the coordinator: the job ends SUCCEEDED and nothing past the last checkpoint
is lost."""
import json
import os
import signal
import unittest

from cluster import Cluster, events, step_of
from jobs import render_scenes, write_tiny_job

STEPS_PER_EPOCH = 16
EVERY = 20
EPOCHS = 100


class KillTest(unittest.TestCase):

    def setUp(self):
        self.cluster = Cluster(slots=2, coordinator_flags=["--step-deadline-seconds", "8"]).__enter__()
        self.failed = True

    def tearDown(self):
        self.cluster.__exit__(Exception if self.failed else None, None, None)

    def submit(self, epochs):
        train = render_scenes(self.cluster.folder / "train", 16 * STEPS_PER_EPOCH)
        return self.cluster.submit(write_tiny_job(self.cluster.folder, epochs=epochs, every=EVERY), "--data", train)

    def wait_for_step(self, job, step):
        return self.cluster.wait_for(job, lambda found: step_of(found) >= step, 120, f"step {step}")

    def test_each_killed_once_in_one_run(self):
        job = self.submit(EPOCHS)
        self.wait_for_step(job, 2 * EVERY)

        before = self.cluster.wait_for(
            job, lambda found: step_of(found) >= 3 * EVERY and "latestCheckpoint" in found["status"], 120, "a checkpoint")
        committed = int(before["status"]["latestCheckpoint"]["step"])
        os.kill(self.cluster.rank_pids()[0], signal.SIGKILL)
        again = self.cluster.wait_for(
            job, lambda found: len(found["status"]["attempts"]) == 2 and found["status"]["state"] == "JOB_STATE_RUNNING",
            60, "a second attempt runs")
        resumed = int(again["status"]["attempts"][1]["firstStep"])
        self.assertEqual(resumed % EVERY, 0)
        # Another may be committed before the kill.
        self.assertGreaterEqual(resumed, committed, "no step is lost beyond the last checkpoint")
        self.assertEqual(again["status"]["attempts"][0]["failure"]["signal"], 9)

        ranks = sorted(self.cluster.rank_pids())
        self.cluster.worker.kill()
        self.wait_for_step(job, step_of(self.cluster.job(job)) + 2 * EVERY)
        self.assertEqual(sorted(self.cluster.rank_pids()), ranks, "ranks outlive their worker")

        self.cluster.coordinator.kill()
        after = self.cluster.wait_for(job, lambda found: step_of(found) > 0, 60, "the coordinator serves again")
        self.wait_for_step(job, step_of(after) + 2 * EVERY)
        self.assertEqual(sorted(self.cluster.rank_pids()), ranks, "ranks outlive the coordinator")

        ended = self.cluster.wait_for_end(job, 200)
        self.assertEqual(ended["status"]["state"], "JOB_STATE_SUCCEEDED", json.dumps(ended["status"].get("reason")))
        self.assertEqual(step_of(ended), EPOCHS * STEPS_PER_EPOCH)
        self.assertEqual(len(ended["status"]["attempts"]), 2)
        described = self.cluster.ctl("describe", job).out
        for expected in ("signal 9", "WORKER_RECONNECTED", "COORDINATOR_RESTARTED", "RESUMED"):
            self.assertIn(expected, described)
        self.failed = False

    def test_a_rank_that_stands_still_is_noticed_by_its_missing_steps(self):
        job = self.submit(10 * EPOCHS)
        self.wait_for_step(job, 2 * EVERY)
        os.kill(self.cluster.rank_pids()[1], signal.SIGSTOP)
        again = self.cluster.wait_for(
            job, lambda found: len(found["status"]["attempts"]) == 2 and found["status"]["state"] == "JOB_STATE_RUNNING",
            60, "a second attempt runs")
        self.assertIn("HANG", events(again))
        self.assertGreaterEqual(int(again["status"]["attempts"][1]["firstStep"]), EVERY)
        hang = next(event for event in again["status"]["events"] if event["code"] == "HANG")
        self.assertIn("rank 1", hang["message"])
        self.assertIn("in training", hang["message"])
        self.cluster.ctl("cancel", job)
        self.cluster.wait_for_end(job, 60)
        self.assertEqual(self.cluster.rank_pids(), [])
        self.failed = False

    def test_a_rank_that_always_dies_spends_its_budget_and_the_job_says_why(self):
        train = render_scenes(self.cluster.folder / "train", 64)
        spec = write_tiny_job(self.cluster.folder, epochs=2000, every=100000)
        job = self.cluster.submit(spec, "--data", train, "--set", "max_restarts=1")
        for attempt in (1, 2):
            self.cluster.wait_for(job, lambda found, a=attempt: len(found["status"].get("attempts", [])) == a
                                  and found["status"]["state"] == "JOB_STATE_RUNNING", 60, f"attempt {attempt} runs")
            os.kill(self.cluster.rank_pids()[-1], signal.SIGKILL)
        ended = self.cluster.wait_for_end(job, 60)
        self.assertEqual(ended["status"]["state"], "JOB_STATE_FAILED")
        self.assertIn("max_restarts", ended["status"]["reason"]["message"])
        self.assertEqual(self.cluster.rank_pids(), [])
        self.failed = False


if __name__ == "__main__":
    unittest.main()
