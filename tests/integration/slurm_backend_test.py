"""Jobs of a queue that SLURM places, on a real SLURM of virtual nodes: munge, slurmctld, a slurmd per node."""
import json
import subprocess
import tempfile
import unittest
from pathlib import Path

from cluster import Cluster, step_of, wait_until
from jobs import TINY, render_scenes
from slurm import MISSING, Slurm, free_ports

LONG = 400  # epochs of 8 steps


class SlurmCluster(Cluster):
    """A coordinator without workers of its own, whose queue `cluster` is SLURM's."""

    def __init__(self, slurm, more=""):
        # There what SLURM has started on its own account is ended before the folder is removed.
        self.settings = Path(tempfile.mkdtemp(prefix="settings-", dir=slurm.folder))
        self.worker_address = f"127.0.0.1:{free_ports(1)[0]}"
        config = self.settings / "coordinator.yaml"
        config.write_text(f"queues:\n  cluster: {{backend: slurm}}\nbackends:\n  slurm: {{conf: {slurm.folder}/slurm.conf, "
                          f"poll_seconds: 1, warn_seconds: 20, state_dir: {self.settings}{', ' + more if more else ''}}}\n")
        super().__init__(coordinator_flags=["--config", str(config), "--lost-after-seconds", "20", "--unreachable-after-seconds", "10",
                                            "--heartbeat-interval-seconds", "1"], workers=0)
        self.slurm = slurm

    def coordinator_command(self, listen, worker_listen, metrics_listen):
        return super().coordinator_command(listen, self.worker_address, metrics_listen)

    def __exit__(self, kind, value, trace):
        super().__exit__(kind, value, trace)
        if kind is not None:
            for path in (self.folder / "checkpoints/slurm-logs").glob("*.out"):
                print(f"--- {path}\n{path.read_text()[-2000:]}")

    def rank_pids(self):
        """Of all ranks of these virtual nodes, wherever SLURM has them."""
        return self.pids_of("ijepa-rank")

    def pids_of(self, program):
        found = subprocess.run(["pgrep", "-f", f"{program} .*{self.settings}"], capture_output=True, text=True, check=False)
        return [int(pid) for pid in found.stdout.split()]


@unittest.skipIf(MISSING, f"SLURM is not here: {', '.join(MISSING)}")
class SlurmBackendTest(unittest.TestCase):
    """Scenarios that each need a SLURM of two nodes; one at a time."""

    # Through slurmrestd.
    rest = False
    # Lines for slurm.conf.
    more = ""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="ijepa-slurm-job-"))
        self.addCleanup(subprocess.run, ["rm", "-rf", str(self.folder)], check=False)
        # Set up by hand, so that what happens at the end is told of a failure.
        # A gang of four with two processors each leaves room for a job of one rank, and for no other gang.
        self.slurm = Slurm(nodes=2, cpus=6, rest=self.rest, more=self.more)
        self.slurm.__enter__()
        self.addCleanup(lambda: self.slurm.__exit__(None, None, None))
        self.cluster = SlurmCluster(self.slurm, self.rest_settings() if self.rest else "")
        self.cluster.__enter__()
        self.addCleanup(lambda: self.cluster.__exit__(None, None, None))

    def rest_settings(self):
        # No program is in this folder: what is done is done by slurmrestd.
        return f"rest: \"{self.slurm.rest_address}\", rest_token_file: {self.slurm.token_file}, bin: /nowhere"

    def submit(self, epochs, name="tiny", section="nodes: 2", ranks=4):
        data = self.folder / "train"
        if not data.exists():
            render_scenes(data, 128)
        path = self.folder / f"{name}.yaml"
        path.write_text(TINY.format(name=name, ranks=ranks, epochs=epochs, every=20) +
                        f"queue: cluster\nslurm: {{{section}}}\n")
        return self.cluster.submit(path, "--data", data)

    def wait_for_step(self, job, step, generation=1):
        return self.cluster.wait_for(job, lambda found: step_of(found) >= step and
                                     int(found["status"].get("generation", 0)) == generation, 90, f"step {step}")

    def allocation(self, job):
        return self.cluster.job(job)["status"].get("allocation", {})

    def handle(self, job):
        """Number of the SLURM job, once the coordinator knows it."""
        return wait_until(lambda: self.allocation(job).get("handle"), 30, "a SLURM job")

    def wait_for_attempt(self, job, generation, timeout=120):
        """The job once that attempt trains."""
        return self.cluster.wait_for(job, lambda found: any(
            int(attempt["generation"]) == generation and "runningTime" in attempt
            for attempt in found["status"].get("attempts", [])), timeout, f"attempt {generation} trains")

    def attempt(self, job, generation):
        return next(a for a in job["status"]["attempts"] if int(a["generation"]) == generation)

    def assert_no_step_lost(self, job, generation):
        """The attempt goes on from the newest checkpoint that was committed before it."""
        saved = [int(c["step"]) for c in json.loads(self.cluster.ctl("checkpoints", job["name"].split("/")[-1], "-o", "json").out)
                 ["checkpoints"] if int(c["generation"]) < generation]
        first = int(self.attempt(job, generation).get("firstStep", 0))
        self.assertGreater(first, 0)
        self.assertGreaterEqual(first, max(saved, default=0))

    def explain(self, job, *words):
        """What explain says of the job, once all of these are in it."""
        text = ""

        def said():
            nonlocal text
            text = self.cluster.ctl("explain", job).out
            return text if all(word in text for word in words) else None
        try:
            return wait_until(said, 30, f"explain says {words}")
        except AssertionError as error:
            raise AssertionError(f"{error}, but:\n{text}") from None

    def assert_nothing_left(self):
        wait_until(lambda: not self.cluster.pids_of("ijepa-(rank|worker)"), 30, "no orphan worker or rank")


class ShortTest(SlurmBackendTest):

    def test_a_job_trains_to_the_end_on_two_nodes(self):
        job = self.submit(epochs=8)
        number = self.handle(job)
        found = self.cluster.wait_for_end(job, 60)
        self.assertEqual(found["status"]["state"], "JOB_STATE_SUCCEEDED")
        nodes = sorted(placed["node"] for placed in self.attempt(found, 1)["placements"])
        self.assertEqual(nodes, [f"vn{i}.{job}-g1" for i in (0, 0, 1, 1)])
        self.assertEqual(self.attempt(found, 1)["allocation"], f"slurm {number}")
        machines = json.loads(self.cluster.ctl("nodes", "-o", "json").out)["backends"][0]
        self.assertEqual((machines["backend"], [node["name"] for node in machines["nodes"]]), ("slurm", ["vn0", "vn1"]))
        self.assertTrue(all(node["usable"] for node in machines["nodes"]))
        wait_until(lambda: self.slurm.state(number) == "COMPLETED", 30, "the SLURM job is COMPLETED")
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()
