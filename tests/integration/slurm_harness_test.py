"""The SLURM of the tests itself: what is wrong with it is said at once, and nothing of it stays."""
import subprocess
import unittest

from slurm import MISSING, Slurm


@unittest.skipIf(MISSING, f"SLURM is not here: {', '.join(MISSING)}")
class SlurmHarnessTest(unittest.TestCase):

    def assert_gone(self, slurm):
        found = subprocess.run(["pgrep", "-f", str(slurm.folder)], capture_output=True, text=True, check=False)
        self.assertEqual(found.stdout, "")

    def test_a_slurmd_that_cannot_start_fails_with_its_words(self):
        slurm = Slurm(nodes=1, more="SlurmdSpoolDir={folder}/slurm.conf/spool\n")
        with self.assertRaisesRegex(AssertionError, r"(?s)vn0 ended before all nodes are idle.*Not a directory"):
            slurm.__enter__()
        self.assert_gone(slurm)
        subprocess.run(["rm", "-rf", str(slurm.folder)], check=True)

    def test_without_slurmctld_everything_is_ended_all_the_same(self):
        slurm = Slurm(nodes=1)
        slurm.__enter__()
        slurm.processes["slurmctld"].kill()
        slurm.processes["slurmctld"].wait(10)
        slurm.__exit__(None, None, None)
        self.assert_gone(slurm)
        self.assertFalse(slurm.folder.exists())


if __name__ == "__main__":
    unittest.main()
