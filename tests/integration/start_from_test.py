"""A job that starts from what another job left, by way of the published file: submit, export, submit again."""
import json
import unittest

from cluster import Cluster, step_of
from jobs import render_scenes, write_tiny_job


class StartFromTest(unittest.TestCase):
    def test_a_job_goes_on_from_an_exported_state(self):
        with Cluster(slots=1) as cluster:
            train = render_scenes(cluster.folder / "train", 64)
            first = cluster.submit(write_tiny_job(cluster.folder, ranks=1, epochs=2), "--data", train)
            ended = cluster.wait_for_end(first, 90)
            self.assertEqual(ended["status"]["state"], "JOB_STATE_SUCCEEDED")
            per_epoch = step_of(ended) // 2

            path = cluster.folder / ended["status"]["latestCheckpoint"]["path"]
            exported = cluster.folder / "pth"
            self.assertEqual(cluster.ctl("export", path, "--format", "pth", exported).code, 0)
            job_file = write_tiny_job(cluster.folder, ranks=1, epochs=3)
            second = cluster.submit(job_file, "--data", train, "--set", "meta.load_checkpoint=true", "--set",
                                    f"meta.read_checkpoint={exported / 'jepa-latest.pth.tar'}")
            ended = cluster.wait_for_end(second, 90)
            self.assertEqual(ended["status"]["state"], "JOB_STATE_SUCCEEDED")
            self.assertEqual(step_of(ended), 3 * per_epoch)
            self.assertIn(f"at step {2 * per_epoch}", json.dumps(ended["status"]["events"]))

            third = cluster.submit(job_file, "--data", train, "--set", "meta.load_checkpoint=true", "--set",
                                   f"meta.read_checkpoint={cluster.folder / 'absent.pth.tar'}")
            ended = cluster.wait_for_end(third, 90)
            self.assertEqual(ended["status"]["state"], "JOB_STATE_FAILED")
            self.assertIn("absent.pth.tar", json.dumps(ended["status"]))


if __name__ == "__main__":
    unittest.main()
