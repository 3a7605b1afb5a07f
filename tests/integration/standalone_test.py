"""`ijepactl run --standalone`: one job with a coordinator of its own, on this machine and inside a SLURM allocation."""
import json
import shutil
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

from cluster import ASK_SECONDS, BIN, ROOT, wait_until
from jobs import render_scenes, write_tiny_job
from slurm import MISSING, Slurm

STOPPED = 75
STANDALONE = ROOT / "deploy/slurm/standalone.sbatch"
LONG = 400  # epochs; 8 steps each


class StandaloneTest(unittest.TestCase):

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="ijepa-run-"))
        self.run_folder = self.folder / "run"
        self.train = render_scenes(self.folder / "train", 128)

    def tearDown(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def arguments(self, epochs, ranks=2):
        spec = write_tiny_job(self.folder, ranks=ranks, epochs=epochs, every=20)
        return [str(part) for part in (spec, "--data", self.train, "--folder", self.run_folder)]

    def start(self, epochs):
        log = open(self.folder / "run.log", "ab")
        self.addCleanup(log.close)
        return subprocess.Popen([BIN / "ijepactl", "run", "--standalone", *self.arguments(epochs), "--slots", "2"],
                                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def output(self):
        return (self.folder / "run.log").read_text()

    def describe(self):
        """The job while the run's coordinator serves; None else."""
        try:
            address = json.loads((self.run_folder / "coordinator/addresses.json").read_text())["client"]
            job = (self.run_folder / "job").read_text().strip()
        except (OSError, ValueError):
            return None
        done = subprocess.run([BIN / "ijepactl", "describe", job, "-o", "json", "--coordinator", address], check=False,
                              capture_output=True, text=True, timeout=30)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def wait_for_step(self, step, timeout=60):
        def there():
            job = self.describe()
            progress = job["status"].get("progress", {}) if job else {}
            return job if int(progress.get("step", 0)) >= step else None
        return wait_until(there, timeout, f"step {step}", ASK_SECONDS)

    def wait_for_generation(self, generation, timeout=60):
        """The job once that attempt has finished a step."""
        def there():
            job = self.describe()
            attempt = job["status"]["attempts"][-1] if job else {}
            return job if int(attempt.get("generation", 0)) == generation and "runningTime" in attempt else None
        return wait_until(there, timeout, f"attempt {generation} trains", ASK_SECONDS)

    def saved_steps(self):
        return sorted(int(path.parent.name[5:17]) for path in self.run_folder.glob("checkpoints/*/step-*/manifest.json"))

    def test_a_run_ends_with_a_checkpoint_and_leaves_no_process(self):
        run = self.start(epochs=4)
        self.assertEqual(run.wait(90), 0, self.output())
        self.assertEqual(self.saved_steps()[-1], 4 * 8)
        left = subprocess.run(["pgrep", "-f", str(self.run_folder)], check=False, capture_output=True).stdout
        self.assertEqual(left, b"", "coordinator, worker and ranks are gone")
        again = self.start(epochs=4)
        self.assertEqual(again.wait(60), 0, "a finished run stays finished")
        self.assertIn("going on with", self.output())

    def test_a_stopped_run_saves_its_last_step_and_goes_on_from_there(self):
        run = self.start(epochs=LONG)
        self.wait_for_step(30)
        run.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(60), STOPPED, self.output())
        saved = self.saved_steps()[-1]
        self.assertGreaterEqual(saved, 30)
        again = self.start(epochs=LONG)
        job = self.wait_for_generation(2)
        self.assertEqual(int(job["status"]["attempts"][-1]["firstStep"]), saved)
        again.send_signal(signal.SIGUSR1)
        self.assertEqual(again.wait(60), STOPPED, self.output())

    def test_a_program_that_keeps_ending_ends_the_run_with_its_name(self):
        bin_folder = self.folder / "bin"
        bin_folder.mkdir()
        for name in ("ijepactl", "ijepa-coordinator"):
            shutil.copy(BIN / name, bin_folder / name)
        worker = bin_folder / "ijepa-worker"
        worker.write_text("#!/bin/sh\nexit 3\n")
        worker.chmod(0o755)
        done = subprocess.run([bin_folder / "ijepactl", "run", "--standalone", *self.arguments(1)], check=False,
                              capture_output=True, text=True, timeout=90)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("ijepa-worker exited with code 3", done.stderr)

    def sbatch(self, slurm, epochs):
        return slurm.call("sbatch", "--parsable", "--nodes=2", "--ntasks-per-node=2", f"--output={self.folder}/run.log",
                          f"--export=ALL,IJEPA_BIN={BIN}", STANDALONE, *self.arguments(epochs, ranks=4))

    @unittest.skipIf(MISSING, f"SLURM is not here: {', '.join(MISSING)}")
    def test_in_slurm_ranks_of_two_nodes_train_to_the_end(self):
        with Slurm(nodes=2, cpus=2) as slurm:
            number = self.sbatch(slurm, epochs=60)
            job = self.wait_for_step(1, timeout=90)
            nodes = [placed["node"] for placed in job["status"]["attempts"][-1]["placements"]]
            self.assertEqual(sorted(nodes), ["vn0", "vn0", "vn1", "vn1"])
            wait_until(lambda: slurm.state(number) not in ("RUNNING", "COMPLETING"), 120, "the job ended", ASK_SECONDS)
            self.assertEqual(slurm.state(number), "COMPLETED", self.output())
            self.assertEqual(self.saved_steps()[-1], 60 * 4)

    @unittest.skipIf(MISSING, f"SLURM is not here: {', '.join(MISSING)}")
    def test_in_slurm_the_warning_saves_and_requeues_and_the_next_start_goes_on(self):
        with Slurm(nodes=2, cpus=2) as slurm:
            number = self.sbatch(slurm, epochs=10 * LONG)
            self.wait_for_step(30, timeout=90)
            slurm.call("scancel", "--signal=USR1", "--batch", number)
            wait_until(lambda: "back into the queue" in self.output(), 60, "it is requeued")
            saved = self.saved_steps()[-1]
            self.assertGreaterEqual(saved, 30, self.output())
            job = self.wait_for_generation(2, timeout=120)
            self.assertEqual(int(job["status"]["attempts"][-1]["firstStep"]), saved)
            self.assertEqual(slurm.job(number)["Restarts"], "1")
            slurm.call("scancel", number)
            wait_until(lambda: slurm.state(number) == "CANCELLED", 60, "it is cancelled", ASK_SECONDS)
            # Ranks have sessions of their own, and SLURM here no control groups: their worker takes them with it.
            ranks = ["pgrep", "-f", f"ijepa-rank run --folder .*{job['uid']}"]
            wait_until(lambda: subprocess.run(ranks, check=False, capture_output=True).returncode == 1, 30,
                       "no rank is left")


if __name__ == "__main__":
    unittest.main()
