"""What happens to a job when its SLURM job meets each of the fates of docs/OPERATIONS.md."""
import signal
import unittest

from cluster import wait_until
from slurm_backend_test import LONG, SlurmBackendTest


class SlurmBackendLongTest(SlurmBackendTest):

    # What is said without slurmctld, of a partition that there is not, and of more nodes than there are.
    away = "Unable to contact"
    refused = ("invalid partition specified: nope", "set slurm.partition")
    never = ("PENDING, Partition", "ask for less")
    # After a prolog that failed.
    not_started = ("its script was not started", "sinfo -R")

    def running(self):
        """A job at step 30 of its first attempt, and the number of its SLURM job."""
        job = self.submit(epochs=10 * LONG)
        self.wait_for_step(job, 30)
        return job, self.handle(job)

    def test_scancel_from_outside_saves_and_pauses_until_it_is_resumed(self):
        job, number = self.running()
        self.slurm.call("scancel", number)
        found = self.cluster.wait_for(job, lambda j: j["status"]["state"] == "JOB_STATE_PAUSED", 60, "it is paused")
        self.assertEqual(found["status"]["reason"]["code"], "CANCELLED_OUTSIDE")
        self.assertEqual(self.attempt(found, 1)["outcome"], "DRAINED", "it saved first")
        self.assert_nothing_left()
        self.assertEqual(self.cluster.ctl("resume", job).code, 0)
        self.assert_no_step_lost(self.wait_for_attempt(job, 2), 2)

    def test_the_time_limit_saves_and_the_job_goes_on_in_the_next_slurm_job(self):
        job = self.submit(epochs=10 * LONG, section="nodes: 2, time_limit: 60s")
        number = self.handle(job)
        found = self.wait_for_attempt(job, 2, timeout=180)
        self.assertEqual(self.attempt(found, 1)["outcome"], "DRAINED", "warned by USR1")
        self.assertNotEqual(self.handle(job), number)
        self.assert_no_step_lost(found, 2)

    def test_a_requeue_by_hand_runs_nothing_twice(self):
        job, number = self.running()
        self.slurm.call("scontrol", "update", f"JobId={number}", "Requeue=1")
        self.slurm.call("scontrol", "requeue", number)
        found = self.wait_for_attempt(job, 2)
        self.assertNotEqual(self.handle(job), number)
        self.assert_no_step_lost(found, 2)
        wait_until(lambda: self.slurm.state(number) in ("CANCELLED", "COMPLETED"), 60, "what was put back is ended")

    def test_a_slurmctld_that_restarts_in_the_middle_costs_nothing(self):
        job, number = self.running()
        self.slurm.stop("slurmctld")
        before = self.wait_for_step(job, 60)
        waiting = self.submit(epochs=1, name="waits", section="nodes: 1", ranks=1)
        self.cluster.wait_for(waiting, lambda j: self.away in j["status"]["reason"]["message"], 60,
                              "the engine's words are the reason")
        self.slurm.start_controller()
        self.assertEqual(self.cluster.wait_for_end(waiting, 90)["status"]["state"], "JOB_STATE_SUCCEEDED")
        found = self.cluster.job(job)
        self.assertEqual(len(found["status"]["attempts"]), 1)
        self.assertEqual(self.handle(job), number)
        self.assertGreaterEqual(int(found["status"]["progress"]["step"]), int(before["status"]["progress"]["step"]))

    def test_a_killed_slurmd_ends_the_attempt_and_the_next_goes_on_from_its_checkpoint(self):
        job, _ = self.running()
        self.slurm.processes["vn1"].send_signal(signal.SIGKILL)
        self.slurm.processes.pop("vn1").wait(10)
        found = self.cluster.wait_for(job, lambda j: len(j["status"]["attempts"]) == 1 and "endTime" in
                                      j["status"]["attempts"][0], 120, "the attempt ended")
        # The workers live: as far as SLURM lets them, the ranks save first.
        attempt = self.attempt(found, 1)
        self.assertTrue(attempt["outcome"] == "DRAINED" or attempt["failure"]["failureClass"] == "NODE_LOST", attempt)
        wait_until(lambda: not self.cluster.rank_pids(), 90, "no rank of it is left, on the failed node neither")
        self.slurm.start_node("vn1")
        self.assert_no_step_lost(self.wait_for_attempt(job, 2), 2)

    def test_a_coordinator_that_restarts_finds_its_slurm_jobs_again(self):
        job, number = self.running()
        blocked = self.submit(epochs=1, name="waits", section="nodes: 2")
        asked = self.handle(blocked)
        self.cluster.coordinator.kill()
        wait_until(lambda: self.cluster.job(job), 30, "the coordinator serves")
        found = self.wait_for_step(job, 60)
        self.assertEqual(len(found["status"]["attempts"]), 1)
        self.assertEqual((self.handle(job), self.handle(blocked)), (number, asked))
        names = self.slurm.call("squeue", "--noheader", "--format=%j").split()
        self.assertEqual(len(names), 2, "asked for once")

    def test_cancel_by_us_ends_the_slurm_job(self):
        job, number = self.running()
        self.assertEqual(self.cluster.ctl("cancel", job).code, 0)
        self.assertEqual(self.cluster.wait_for_end(job, 60)["status"]["state"], "JOB_STATE_CANCELLED")
        wait_until(lambda: self.slurm.state(number) in ("COMPLETED", "CANCELLED"), 60, "its SLURM job is over")
        self.assert_nothing_left()

    def test_a_node_whose_prolog_fails_is_left_for_another(self):
        self.folder.chmod(0o755)
        prolog = self.folder / "prolog.sh"
        prolog.write_text('#!/bin/sh\n[ "$SLURMD_NODENAME" = vn1 ]\n')
        prolog.chmod(0o755)
        with open(self.slurm.folder / "slurm.conf", "a") as conf:
            conf.write(f"Prolog={prolog}\n")
        self.slurm.call("scontrol", "reconfigure")
        job = self.submit(epochs=1, section="nodes: 1", ranks=1)
        self.explain(job, *self.not_started)
        found = self.cluster.wait_for_end(job, 90)
        self.assertEqual(found["status"]["state"], "JOB_STATE_SUCCEEDED")
        self.assertTrue(found["status"]["attempts"][-1]["placements"][0]["node"].startswith("vn1."))

    def test_what_slurm_refuses_or_cannot_place_is_explained(self):
        job = self.submit(epochs=1, section="partition: nope")
        self.explain(job, *self.refused)
        never = self.submit(epochs=1, name="never", section="nodes: 4")
        self.explain(never, *self.never)
        self.slurm.call("scontrol", "create", "PartitionName=closed", "Nodes=ALL", "DisableRootJobs=YES")
        denied = self.submit(epochs=1, name="denied", section="partition: closed")
        self.explain(denied, "Access/permission denied", "allow the coordinator's user")
        self.slurm.call("scontrol", "create", "PartitionName=short", "Nodes=ALL", "MaxTime=1")
        too_long = self.submit(epochs=1, name="long", section="partition: short, time_limit: 2h")
        self.explain(too_long, "imit", "lower slurm.time_limit")


class SlurmPreemptionTest(SlurmBackendTest):

    more = "PreemptType=preempt/partition_prio\nPreemptMode=CANCEL\n"

    def test_a_job_that_is_preempted_saves_and_goes_on_once_there_is_room(self):
        self.slurm.call("scontrol", "update", "PartitionName=main", "GraceTime=60")
        self.slurm.call("scontrol", "create", "PartitionName=first", "Nodes=ALL", "PriorityTier=10")
        job = self.submit(epochs=10 * LONG)
        self.wait_for_step(job, 30)
        other = self.slurm.call("sbatch", "--parsable", "--partition=first", "--nodes=2", "--ntasks-per-node=6", "--output=/dev/null",
                                "--wrap=sleep 600")
        wait_until(lambda: self.slurm.state(other) == "RUNNING", 60, "the other job has the nodes")
        found = self.cluster.wait_for(job, lambda j: j["status"]["state"] == "JOB_STATE_QUEUED", 60, "it waits again")
        first = self.attempt(found, 1)
        self.assertEqual(first["outcome"], "DRAINED", "it saved first")
        self.assertNotIn("failure", first)
        self.slurm.call("scancel", other)
        self.assert_no_step_lost(self.wait_for_attempt(job, 2), 2)


if __name__ == "__main__":
    unittest.main()
