"""SIGTERM drains a worker: its ranks stop after one agreed step, and the job goes on from that step."""
import signal
import unittest

from cluster import Cluster, step_of
from jobs import render_scenes, write_tiny_job


class DrainTest(unittest.TestCase):

    def test_a_drained_worker_lets_its_ranks_save_and_loses_no_step(self):
        with Cluster(slots=2) as cluster:
            train = render_scenes(cluster.folder / "train", 16 * 16)
            job = cluster.submit(write_tiny_job(cluster.folder, epochs=30, every=20), "--data", train)
            cluster.wait_for(job, lambda found: step_of(found) > 50, 60, "step 50")
            cluster.worker.process.send_signal(signal.SIGTERM)
            ended = cluster.wait_for_end(job, 200)
            self.assertEqual(ended["status"]["state"], "JOB_STATE_SUCCEEDED", ended["status"].get("reason"))
            attempts = ended["status"]["attempts"]
            self.assertEqual([a["outcome"] for a in attempts], ["DRAINED", "COMPLETED"])
            self.assertEqual(attempts[1]["firstStep"], attempts[0]["lastStep"], "nothing is computed twice")
            self.assertEqual(step_of(ended), 480)


if __name__ == "__main__":
    unittest.main()
