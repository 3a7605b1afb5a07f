"""The network between the coordinator and the node of a job goes, and comes back, or half of it: the job goes on, and only one
of its generations commits checkpoints."""
import json
import os
import unittest
from pathlib import Path

import namespaces
from cluster import Cluster, events, step_of, wait_until
from half_link import HalfLink
from jobs import render_scenes, write_tiny_job

FLAGS = ["--insecure", "--heartbeat-interval-seconds", "0.5", "--unreachable-after-seconds", "2", "--lost-after-seconds", "4"]
EVERY, EPOCHS = 20, 100000  # It is cancelled at the end.


class CutJob:
    """A job of two ranks on node-a, which the link is to, with a checkpoint that is committed."""

    def __init__(self, cluster, epochs=EPOCHS):
        self.cluster = cluster
        train = render_scenes(cluster.folder / "train", 16 * 16)
        spec = write_tiny_job(cluster.folder, epochs=epochs, every=EVERY)
        self.name = cluster.submit(spec, "--data", train, "--set", "checkpoint.keep_last=1000")
        cluster.wait_for(self.name, lambda found: step_of(found) > EVERY and "CHECKPOINT_COMMITTED" in events(found), 60,
                         "a checkpoint before the cut")

    def wait_for_event(self, code, timeout=60):
        return self.cluster.wait_for(self.name, lambda found: code in events(found), timeout, code)

    def wait_for_second_attempt(self, *states):
        return self.cluster.wait_for(self.name, lambda found: len(found["status"]["attempts"]) == 2 and
                                     found["status"]["state"] in states, 60, f"a second attempt is {states}")

    def offered(self, generation):
        """Steps of the checkpoints that a generation has made, committed or not."""
        folder = self.cluster.checkpoints / self.name.split("/")[-1]
        return sorted(int(path.name[5:].split(".")[0]) for path in folder.glob(f"step-*.g{generation}"))

    def committed(self):
        """(generation, step) of the registry's checkpoints, in the order of their commits."""
        listed = json.loads(self.cluster.ctl("checkpoints", self.name, "-o", "json").out)["checkpoints"]
        listed.sort(key=lambda checkpoint: checkpoint["commitTime"])
        for checkpoint in listed:
            assert checkpoint["path"].endswith(f".g{checkpoint['generation']}"), f"{checkpoint} is of another generation"
        return [(int(checkpoint["generation"]), int(checkpoint["step"])) for checkpoint in listed]

    def stale_ranks(self):
        """Ranks of the node that was cut off."""
        return [pid for pid in self.cluster.rank_pids() if b"/worker-a/" in Path(f"/proc/{pid}/cmdline").read_bytes()]


class PartitionTest(unittest.TestCase):

    def check_end(self, job, stale, resumed):
        """The ranks cut off are heard and told again; the second attempt, which began at step `resumed`, goes on alone."""
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in stale), 60, "the stale generation is stopped")
        before = len(job.committed())
        wait_until(lambda: len(job.committed()) > before, 60, "the job goes on")
        self.assertEqual(job.cluster.ctl("cancel", job.name).code, 0)
        self.assertEqual(len(job.cluster.wait_for_end(job.name, 60)["status"]["attempts"]), 2)
        registry = job.committed()
        generations = [generation for generation, _ in registry]
        self.assertEqual(generations, sorted(generations), "a generation committed after a newer one had")
        self.assertEqual(set(generations), {1, 2})
        steps = [step for _, step in registry]
        self.assertEqual(steps, sorted(set(steps)), "a committed step went down")
        self.assertEqual([step for generation, step in registry if generation == 1][-1], resumed)

    def test_a_job_whose_node_is_cut_off_goes_on_elsewhere_and_one_generation_commits(self):
        reason = namespaces.why_not()
        if reason:
            self.skipTest(reason)
        with namespaces.CutNetwork(far=["worker-a"]) as network, \
                Cluster(slots=2, coordinator_flags=FLAGS, network=network) as cluster:
            job = CutJob(cluster)
            # Not cut off, and with room for it.
            cluster.start_worker()
            cluster.wait_for_nodes()
            stale = job.stale_ranks()
            self.assertEqual(len(stale), 2)
            network.cut()
            job.wait_for_event("NODE_UNREACHABLE")
            self.assertEqual(len(cluster.job(job.name)["status"]["attempts"]), 1, "nothing is taken from it yet")
            job.wait_for_event("NODE_LOST")
            again = job.wait_for_second_attempt("JOB_STATE_RUNNING")
            self.assertEqual({place["node"] for place in again["status"]["attempts"][1]["placements"]}, {"node-b"})
            resumed = int(again["status"]["attempts"][1]["firstStep"])
            self.assertEqual(resumed, max(step for generation, step in job.committed() if generation == 1))
            # The cut-off ranks know nothing of it: they go on, and have a checkpoint to commit.
            self.assertEqual(sorted(job.stale_ranks()), sorted(stale))
            wait_until(lambda: max(job.offered(1)) > resumed, 30, "the stale generation made a checkpoint")
            wait_until(lambda: any(generation == 2 for generation, _ in job.committed()), 60, "the new generation committed")
            self.assertEqual(sorted(job.stale_ranks()), sorted(stale), "they would commit if they could")

            network.heal()
            self.check_end(job, stale, resumed)
            nodes = cluster.ctl("nodes", "-o", "json").out
            self.assertEqual(nodes.count("NODE_STATE_READY"), 2, "the node takes ranks again")

    def test_ranks_whose_worker_is_heard_and_hears_nothing_commit_no_more(self):
        """Their worker cannot be told to kill them, their checkpoint is past the last committed one, and the second attempt
        is on their own node: nothing but the generation stands between the two."""
        with HalfLink() as link, Cluster(slots=4, coordinator_flags=FLAGS, network=link) as cluster:
            job = CutJob(cluster)
            stale = job.stale_ranks()
            self.assertEqual(len(stale), 2)
            link.cut()
            job.wait_for_event("NODE_LOST")
            registry = job.committed()
            resumed = registry[-1][1]
            wait_until(lambda: max(job.offered(1)) > resumed, 30, "the stale generation made a checkpoint")

            link.open_half()
            again = job.wait_for_second_attempt("JOB_STATE_STARTING", "JOB_STATE_RUNNING")
            self.assertEqual({place["node"] for place in again["status"]["attempts"][1]["placements"]}, {"node-a"})
            wait_until(lambda: link.was_withheld("generation 1 is over") or job.committed() != registry, 60,
                       "the stale checkpoint is answered")
            self.assertEqual(job.committed(), registry, "a generation that is over committed")
            self.assertEqual(sorted(job.stale_ranks()), sorted(stale), "they would commit if they could")

            link.open()
            self.check_end(job, stale, resumed)


if __name__ == "__main__":
    unittest.main()
