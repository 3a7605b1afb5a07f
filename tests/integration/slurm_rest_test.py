"""Jobs of a queue that SLURM places, through a real slurmrestd with tokens, without SLURM's programs."""
import unittest

from cluster import wait_until
from slurm import REST_MISSING
from slurm_backend_test import SlurmBackendTest


@unittest.skipIf(REST_MISSING, f"slurmrestd is not here: {', '.join(REST_MISSING)}")
class SlurmRestTest(SlurmBackendTest):

    rest = True

    def test_an_ended_token_is_explained_and_a_new_one_lets_the_job_train_to_the_end(self):
        self.slurm.write_token(lifespan=1)
        wait_until(lambda: "Zero Bytes" in self.refusal(), 30, "the token has ended")
        job = self.submit(epochs=8)
        self.explain(job, "slurmrestd: ", "the token in ", "ended", "scontrol token username=root")
        self.slurm.write_token(lifespan=600)
        number = self.handle(job)
        found = self.cluster.wait_for_end(job, 60)
        self.assertEqual(found["status"]["state"], "JOB_STATE_SUCCEEDED")
        self.assertEqual(len({placed["node"] for placed in self.attempt(found, 1)["placements"]}), 2)
        wait_until(lambda: self.slurm.state(number) == "COMPLETED", 30, "the SLURM job is COMPLETED")
        self.assertRegex(self.cluster.ctl("nodes").out, r"slurm +vn0 +(idle|mixed|allocated)\S* +yes")
        self.assert_nothing_left()

    def refusal(self):
        """What slurmctld makes of the token, by one of its programs that takes it."""
        token = self.slurm.token_file.read_text().strip().split("=", 1)[1]
        return self.slurm.call("env", f"SLURM_JWT={token}", "sh", "-c", "squeue 2>&1; true")


if __name__ == "__main__":
    unittest.main()
