"""Every kind of fault that a job can bring upon its own ranks, and what the service does about it."""
import unittest

from cluster import Cluster, events, step_of
from jobs import render_scenes, write_tiny_job

EVERY = 20
FLAGS = ["--allow-fault-injection", "--step-deadline-seconds", "8", "--quarantine-after-faults", "0"]


def fault(kind, step, attempt, rank=0, **more):
    fields = {"kind": kind, "step": step, "attempt": attempt, "rank": rank, **more}
    return "{" + ", ".join(f"{key}: {value}" for key, value in fields.items()) + "}"


class FaultsTest(unittest.TestCase):

    def setUp(self):
        self.cluster = Cluster(slots=2, coordinator_flags=FLAGS).__enter__()
        self.failed = True

    def tearDown(self):
        self.cluster.__exit__(Exception if self.failed else None, None, None)

    def submit(self, faults, epochs=20):
        """16 steps an epoch."""
        train = render_scenes(self.cluster.folder / "train", 16 * 16)
        spec = write_tiny_job(self.cluster.folder, epochs=epochs, every=EVERY)
        return self.cluster.submit(spec, "--data", train, "--set", f"faults.inject=[{', '.join(faults)}]",
                                   "--set", "restart_delay_seconds=0", "--set", "max_no_progress=10")

    def test_ranks_that_die_and_storage_that_fails_cost_an_attempt_each(self):
        job = self.submit([fault("kill", 30, 1, rank=1), fault("segfault", 50, 2), fault("eio", 70, 3, rank=1),
                           fault("torn_checkpoint", 90, 4), fault("enospc", 110, 4, rank=1), fault("nan", 130, 5)])
        ended = self.cluster.wait_for_end(job, 120)
        self.assertEqual(ended["status"]["state"], "JOB_STATE_SUCCEEDED", ended["status"].get("reason"))
        attempts = ended["status"]["attempts"]
        causes = [(a["failure"]["failureClass"], a["failure"].get("rank", 0), a["failure"].get("signal", 0)) for a in attempts[:-1]]
        self.assertEqual(causes, [("CRASH", 1, 9), ("CRASH", 0, 11), ("STORAGE", 1, 0), ("STORAGE", 1, 0)])
        self.assertIn("Input/output error", attempts[2]["failure"]["message"])
        self.assertIn("No space left", attempts[3]["failure"]["message"])
        self.assertIn("CHECKPOINT_UNUSABLE", events(ended), "the torn one is refused")
        self.assertEqual(int(attempts[4]["firstStep"]), 80, "the one before the torn one is taken")
        self.assertIn("NON_FINITE_SKIPPED", events(ended))
        self.assertEqual(step_of(ended), 320)
        self.failed = False

    def test_ranks_that_stand_still_are_found_and_their_stacks_are_kept(self):
        job = self.submit([fault("stop", 60, 1, rank=1), fault("deadlock", 80, 2)])
        ended = self.cluster.wait_for_end(job, 150)
        self.assertEqual(ended["status"]["state"], "JOB_STATE_SUCCEEDED", ended["status"].get("reason"))
        attempts = ended["status"]["attempts"]
        self.assertEqual([a.get("failure", {}).get("failureClass") for a in attempts], ["HANG", "HANG", None])
        for attempt in attempts[:2]:
            self.assertEqual(attempt["failure"]["stackRanks"], [0, 1])
        stopped = self.cluster.ctl("logs", job, "--generation", 1, "--rank", 1).out
        self.assertRegex(stopped, r"thread \d+ ijepa-rank state T")
        waiting = self.cluster.ctl("logs", job, "--generation", 1, "--rank", 0).out
        self.assertRegex(waiting, r"stack of thread \d+\n")
        stuck = self.cluster.ctl("logs", job, "--generation", 2, "--rank", 0).out
        self.assertIn("RunTraining", stuck, "the loop that goes no further is in its stack")
        described = self.cluster.ctl("describe", job).out
        self.assertIn("stacks of ranks 0, 1", described)
        self.assertIn("STACKS_COLLECTED", described)
        self.failed = False

    def test_a_slow_rank_is_named(self):
        job = self.submit([fault("slow", 10, 1, rank=1, steps=1000000, factor=5)], epochs=2000)
        named = self.cluster.wait_for(job, lambda found: found["status"].get("slowRanks"), 90, "the slow rank is named")
        self.assertEqual([rank.get("rank", 0) for rank in named["status"]["slowRanks"]], [1])
        self.assertIn("SLOW_RANK", events(named))
        self.assertIn("slow: rank 1 on node-a", self.cluster.ctl("describe", job).out)
        self.cluster.ctl("cancel", job)
        self.cluster.wait_for_end(job, 60)
        self.failed = False


if __name__ == "__main__":
    unittest.main()
