"""The fates of slurm_backend_long_test through slurmrestd, and what happens when slurmrestd itself is away."""
import unittest

import slurm_backend_long_test
from cluster import wait_until
from slurm import REST_MISSING
from slurm_backend_test import SlurmBackendTest
from tls_front import TlsFront, make_certificate


@unittest.skipIf(REST_MISSING, f"slurmrestd is not here: {', '.join(REST_MISSING)}")
class SlurmRestLongTest(slurm_backend_long_test.SlurmBackendLongTest):

    rest = True
    away = "slurmrestd"
    refused = ("slurmrestd: Invalid partition name specified", "set slurm.partition")
    not_started = ()  # SLURM has put it back, and the next attempt is asked for at once
    never = ("slurmrestd: Requested partition configuration not available now", "ask for less")

    def test_without_slurmrestd_ranks_go_on_and_what_waits_is_asked_for_later(self):
        job, number = self.running()
        self.slurm.stop("slurmrestd")
        waiting = self.submit(epochs=1, name="waits", section="nodes: 1", ranks=1)
        self.explain(waiting, "slurmrestd at http://127.0.0.1", "Failed to connect")
        self.assertIn("slurm: slurmrestd at", self.cluster.ctl("nodes").err)
        self.wait_for_step(job, 60)
        self.slurm.start_rest()
        self.assertEqual(self.cluster.wait_for_end(waiting, 90)["status"]["state"], "JOB_STATE_SUCCEEDED")
        self.assertEqual(self.handle(job), number)
        self.assertEqual(self.cluster.ctl("cancel", job).code, 0)
        self.assertEqual(self.cluster.wait_for_end(job, 60)["status"]["state"], "JOB_STATE_CANCELLED")
        wait_until(lambda: self.slurm.state(number) in ("COMPLETED", "CANCELLED"), 60, "its SLURM job is over")
        self.assert_nothing_left()

    def test_what_slurm_has_not_started_is_cancelled_by_slurmrestd(self):
        job = self.submit(epochs=1, section="nodes: 2, options: {nice: 5}")
        self.slurm.call("scontrol", "update", "PartitionName=main", "State=DOWN")
        blocked = self.submit(epochs=1, name="blocked")
        number = self.handle(blocked)
        self.assertEqual(self.cluster.ctl("cancel", blocked).code, 0)
        wait_until(lambda: self.slurm.state(number) == "CANCELLED", 60, "it is cancelled")
        self.slurm.call("scontrol", "update", "PartitionName=main", "State=UP")
        self.assertEqual(self.cluster.wait_for_end(job, 90)["status"]["state"], "JOB_STATE_SUCCEEDED")


@unittest.skipIf(REST_MISSING, f"slurmrestd is not here: {', '.join(REST_MISSING)}")
class SlurmRestTlsTest(SlurmBackendTest):
    """slurmrestd behind a proxy that speaks TLS for it."""

    rest = True

    def rest_settings(self):
        host, port = self.slurm.rest_address.removeprefix("http://").split(":")
        self.front = TlsFront(host, int(port))
        self.addCleanup(self.front.close)
        self.front.show(*make_certificate(self.folder, "another"))
        self.certificate, self.key = make_certificate(self.folder, "right")
        settings = super().rest_settings().replace(self.slurm.rest_address, self.front.address)
        return f"{settings}, rest_authority: {self.certificate}"

    def test_a_wrong_certificate_is_explained_and_with_the_right_one_the_job_trains_to_the_end(self):
        job = self.submit(epochs=1)
        self.explain(job, f"slurmrestd at {self.front.address}", "certificate", "rest_authority of backends.slurm must be")
        self.front.show(self.certificate, self.key)
        self.assertEqual(self.cluster.wait_for_end(job, 90)["status"]["state"], "JOB_STATE_SUCCEEDED")


if __name__ == "__main__":
    unittest.main()
