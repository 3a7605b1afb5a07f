"""What deploy/slurm gives a site: prolog and epilog, by themselves and by a real slurmd, and the module file by Lmod."""
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from cluster import ASK_SECONDS, ROOT, wait_until
from slurm import MISSING, Slurm

SITE = ROOT / "deploy/slurm"
LMOD = Path("/etc/profile.d/lmod.sh")
NUMBER = 4711


class SiteFolder:
    """Prolog and epilog as installed, with settings of their own."""

    def __init__(self, folder):
        self.folder = Path(folder)
        for name in ("prolog.sh", "epilog.sh", "node.conf"):
            shutil.copy(SITE / name, self.folder)
        self.state = self.folder / "state"
        self.state.mkdir()
        self.configure()

    def configure(self, **settings):
        lines = [f"{name}='{value}'" for name, value in {"STATE_DIR": self.state, **settings}.items()]
        (self.folder / "node.conf").write_text("\n".join(lines) + "\n")

    def run(self, name):
        """As slurmd does: with nothing but its own variables."""
        return subprocess.run([str(self.folder / name)], env={"SLURM_JOB_ID": str(NUMBER), "SLURMD_NODENAME": "vn0"},
                              capture_output=True, text=True, timeout=60, check=False)


class SiteScriptsTest(unittest.TestCase):

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="ijepa-site-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.site = SiteFolder(self.folder)

    def assert_refused(self, words, **settings):
        self.site.configure(**settings)
        done = self.site.run("prolog.sh")
        self.assertEqual((done.returncode, words in done.stderr), (1, True), done.stderr)

    def test_the_defaults_shown_are_those_of_the_scripts(self):
        shown = [line for line in (SITE / "node.conf").read_text().splitlines() if not line.startswith("#")]
        taken = next(line for line in (SITE / "prolog.sh").read_text().splitlines() if line.startswith("STATE_DIR="))
        self.assertEqual(" ".join(shown), taken)

    def test_the_prolog_passes_a_node_that_can_train_and_says_what_another_lacks(self):
        (self.folder / "bin").mkdir()
        program = self.folder / "bin/nvidia-smi"
        program.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: GPU-1)'\n")
        program.chmod(0o755)
        path = f"{self.folder}/bin:/usr/bin:/bin"
        self.site.configure(STATE_FREE=1, SHARED=f"{self.folder}:rw", GPUS=1, PATH=path)
        self.assertEqual(self.site.run("prolog.sh").returncode, 0)
        self.assert_refused("1 GPUs answer, 2 are needed", STATE_FREE=1, GPUS=2, PATH=path)
        self.assert_refused("MiB are free in", STATE_FREE=10**9)
        self.assert_refused("/nowhere does not answer", STATE_FREE=1, SHARED="/nowhere")
        self.assert_refused("there is no folder", STATE_DIR="/nowhere")

    def test_the_epilog_ends_ranks_of_its_job_and_nothing_else(self):
        program = self.folder / "ijepa-rank"
        program.write_text("#!/bin/sh\nread never\n")  # No child, which would outlive it.
        program.chmod(0o755)
        ours, other = self.site.state / f"ijepa-{NUMBER}-vn0", self.site.state / f"ijepa-{NUMBER}1-vn0"
        ranks = {}
        for name, state, command in (("rank", ours, [program, ours / "ranks/rank/socket"]), ("stale", ours, ["sleep", "100"]),
                                     ("other", other, [program, other / "ranks/other/socket"])):
            process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, start_new_session=True)
            self.addCleanup(process.stdin.close)
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            (state / "ranks" / name).mkdir(parents=True)
            (state / "ranks" / name / "pid").write_text(f"{process.pid} 1 boot\n")
            ranks[name] = process
        kept = self.folder / "kept"
        kept.mkdir()
        (self.site.state / f"ijepa-{NUMBER}-link").symlink_to(kept)
        self.assertEqual(self.site.run("epilog.sh").returncode, 0)
        self.assertEqual(ranks["rank"].wait(10), -9)
        self.assertEqual([ranks[name].poll() for name in ("stale", "other")], [None, None])
        self.assertFalse(ours.exists())
        self.assertTrue(other.exists() and kept.exists())


@unittest.skipIf(MISSING, f"SLURM is not here: {', '.join(MISSING)}")
class SlurmSiteTest(unittest.TestCase):

    def test_slurmd_sets_a_node_aside_by_the_prolog_and_cleans_it_by_the_epilog(self):
        with tempfile.TemporaryDirectory(prefix="ijepa-site-") as folder:
            site = SiteFolder(folder)
            site.configure(STATE_FREE=10**9)
            Path(folder).chmod(0o755)
            with Slurm(nodes=1, cpus=2, more=f"Prolog={folder}/prolog.sh\nEpilog={folder}/epilog.sh\n") as slurm:
                def submit():
                    return slurm.call("sbatch", "--parsable", "--no-requeue", "--output=out", "--wrap",
                                      f"mkdir {site.state}/ijepa-$SLURM_JOB_ID-$SLURMD_NODENAME")
                number = submit()
                wait_until(lambda: "drain" in slurm.call("sinfo", "--noheader", "--Node", "--format=%T"), 30,
                           "the node is drained", ASK_SECONDS)
                self.assertIn("Prolog error", slurm.call("sinfo", "--noheader", "--list-reasons"))
                self.assertNotEqual(slurm.state(number), "COMPLETED")
                site.configure(STATE_FREE=1)
                slurm.call("scancel", "--user=root")
                slurm.call("scontrol", "update", "NodeName=vn0", "State=RESUME")
                second = submit()
                wait_until(lambda: slurm.state(second) == "COMPLETED", 30, "the job ran", ASK_SECONDS)
                wait_until(lambda: not list(site.state.iterdir()), 30, "the epilog removed what it left", ASK_SECONDS)


@unittest.skipUnless(LMOD.exists(), "Lmod is not here")
class ModuleTest(unittest.TestCase):

    def module(self, command):
        script = f". {LMOD} && module use {SITE}/modulefiles && {command}"
        done = subprocess.run(["bash", "-c", script], env={"PATH": os.environ["PATH"], "HOME": "/nowhere"}, capture_output=True,
                              text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout + done.stderr

    def test_load_finds_programs_and_coordinator_and_unload_forgets_them(self):
        loaded, unloaded = self.module("module load ijepa && echo $PATH $IJEPA_COORDINATOR && module unload ijepa && "
                                       "echo $PATH $IJEPA_COORDINATOR").splitlines()
        self.assertEqual(loaded.split(":")[0], "/opt/ijepa/bin")
        self.assertTrue(loaded.endswith(" coordinator:7440"))
        self.assertNotIn("ijepa", unloaded)
        self.assertNotIn("coordinator", unloaded)

    def test_help_names_commands(self):
        self.assertIn("ijepactl submit", self.module("module help ijepa 2>&1"))


if __name__ == "__main__":
    unittest.main()
