"""A job of 1 to 2 ranks loses a node, goes on with one rank, and grows back: same steps, same loss."""
import os
import signal
import unittest

from cluster import Cluster, Supervised, events, step_of
from jobs import render_scenes, write_tiny_job

QUICK_LOSS = ["--heartbeat-interval-seconds", "0.5", "--unreachable-after-seconds", "1.5", "--lost-after-seconds", "3"]


def ranks_of(job):
    """Ranks of the newest attempt."""
    return len(job["status"]["attempts"][-1]["placements"])


class ElasticTest(unittest.TestCase):

    def test_it_shrinks_with_a_lost_node_and_grows_at_a_checkpoint(self):
        with Cluster(slots=1, workers=2, coordinator_flags=QUICK_LOSS) as cluster:
            images = render_scenes(cluster.folder / "scenes")
            file = write_tiny_job(cluster.folder, name="elastic", epochs=40, every=40)
            calm = cluster.submit(file, "--data", images)
            calm = cluster.wait_for_end(calm, 120)

            job = cluster.submit(file, "--data", images, "--set", "ranks={min: 1, max: 2}")
            cluster.wait_for(job, lambda found: step_of(found) > 45, 60, "steps on two ranks")
            lost = cluster.workers[1]
            lost.stopping.set()
            lost.process.kill()
            for pid in cluster.rank_pids():
                with open(f"/proc/{pid}/cmdline", "rb") as line:
                    if b"worker-b" in line.read():
                        os.kill(pid, signal.SIGKILL)
            small = cluster.wait_for(job, lambda found: ranks_of(found) == 1 and found["status"]["state"] ==
                                     "JOB_STATE_RUNNING", 60, "it goes on with one rank")
            self.assertGreaterEqual(int(small["status"]["attempts"][-1].get("firstStep", 0)), 40)

            cluster.workers[1] = Supervised(lost.name, lost.command, cluster.folder / "worker-b-again.log")
            grown = cluster.wait_for(job, lambda found: ranks_of(found) == 2 and len(found["status"]["attempts"]) > 2,
                                     60, "it grows back to two ranks")
            self.assertIn("GROWING", events(grown))
            self.assertEqual(grown["status"]["attempts"][-2]["outcome"], "DRAINED")
            ended = cluster.wait_for_end(job, 120)
            self.assertEqual(ended["status"]["state"], "JOB_STATE_SUCCEEDED")
            for key in ("step", "imagesSeen"):
                self.assertEqual(ended["status"]["progress"][key], calm["status"]["progress"][key])
            loss, calm_loss = ended["status"]["progress"]["loss"], calm["status"]["progress"]["loss"]
            self.assertLess(abs(loss - calm_loss), 1e-2 * calm_loss)
            print(f"loss {loss:.6f}, without the loss of a node {calm_loss:.6f}")


if __name__ == "__main__":
    unittest.main()
