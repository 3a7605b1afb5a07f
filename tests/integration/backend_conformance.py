"""What a job may expect of a queue whoever places it: own workers, SLURM, Kubernetes. One suite; each backend brings a fixture."""
import json
import os
import shutil
import signal
import tempfile
from pathlib import Path

from cluster import step_of, wait_until
from jobs import TINY, render_scenes

LONG = 4000  # epochs of 4 steps


class BackendConformance:
    """Mixed into a TestCase that calls prepare() once its cluster serves. `cluster`: a Cluster, whose rank_pids() are those of all
    ranks of the backend; `section`: lines of a job of two nodes with two ranks each in a queue of the backend."""

    cluster = None
    section = ""

    def prepare(self):
        self.jobs_folder = Path(tempfile.mkdtemp(prefix="ijepa-conformance-"))
        self.addCleanup(shutil.rmtree, self.jobs_folder, ignore_errors=True)
        self.train = render_scenes(self.jobs_folder / "train", 128)

    def submit_gang(self, epochs=LONG):
        path = self.jobs_folder / "gang.yaml"
        path.write_text(TINY.format(name="gang", ranks=4, epochs=epochs, every=20) + self.section)
        return self.cluster.submit(path, "--data", self.train)

    def at_step(self, job, step, attempts=1):
        return self.cluster.wait_for(job, lambda found: step_of(found) >= step and
                                     len(found["status"].get("attempts", [])) == attempts, 120, f"step {step} of attempt {attempts}")

    def newest_checkpoint(self, job):
        listed = json.loads(self.cluster.ctl("checkpoints", job, "-o", "json").out)
        return max((int(one["step"]) for one in listed.get("checkpoints", [])), default=0)

    def nothing_left(self):
        wait_until(lambda: not self.cluster.rank_pids(), 60, "no rank is left")

    def ended(self, job):
        return self.cluster.wait_for_end(job, 120)["status"]["state"]

    def test_a_gang_trains_to_the_end_on_two_nodes(self):
        job = self.submit_gang(epochs=10)
        self.assertEqual(self.ended(job), "JOB_STATE_SUCCEEDED")
        placements = self.cluster.job(job)["status"]["attempts"][0]["placements"]
        self.assertEqual(len({placed["node"] for placed in placements}), 2)
        self.nothing_left()

    def test_a_killed_rank_starts_the_gang_again_from_the_newest_checkpoint(self):
        job = self.submit_gang()
        self.at_step(job, 30)
        saved = self.newest_checkpoint(job)
        os.kill(self.cluster.rank_pids()[0], signal.SIGKILL)
        found = self.cluster.wait_for(job, lambda j: any("runningTime" in a for a in j["status"]["attempts"][1:]), 120, "it trains again")
        self.assertGreaterEqual(int(found["status"]["attempts"][1].get("firstStep", 0)), saved)
        self.assertEqual(found["status"]["attempts"][0]["outcome"], "FAILED")
        self.cluster.ctl("cancel", job)
        self.assertEqual(self.ended(job), "JOB_STATE_CANCELLED")
        self.nothing_left()

    def test_pause_gives_the_slots_back_and_resume_loses_no_step(self):
        job = self.submit_gang()
        self.at_step(job, 30)
        self.assertEqual(self.cluster.ctl("pause", job).code, 0)
        self.cluster.wait_for(job, lambda j: j["status"]["state"] == "JOB_STATE_PAUSED", 60, "it is paused")
        self.nothing_left()
        saved = self.newest_checkpoint(job)
        self.assertGreaterEqual(saved, 30, "it saved when it was asked to pause")
        self.assertEqual(self.cluster.ctl("resume", job).code, 0)
        found = self.cluster.wait_for(job, lambda j: any("runningTime" in a for a in j["status"]["attempts"][1:]), 120, "it trains again")
        self.assertEqual(int(found["status"]["attempts"][1]["firstStep"]), saved)
        self.cluster.ctl("cancel", job)
        self.assertEqual(self.ended(job), "JOB_STATE_CANCELLED")
        self.nothing_left()

    def test_a_coordinator_that_is_killed_costs_no_attempt(self):
        job = self.submit_gang()
        self.at_step(job, 30)
        self.cluster.coordinator.kill()
        found = self.at_step(job, 90)
        self.assertEqual(found["status"]["attempts"][0]["outcome"], "RUNNING")
        self.cluster.ctl("cancel", job)
        self.assertEqual(self.ended(job), "JOB_STATE_CANCELLED")
        self.nothing_left()
