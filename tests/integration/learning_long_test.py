"""It learns, on real photographs: configs/jobs/cifar10_tiny.yaml in full, at most ten minutes on two cores."""
import math
import unittest

from cluster import Cluster, ROOT, TEST_DATA, probe_scores

TRAIN, HELD_OUT = TEST_DATA / "cifar10-train-20k.tar", TEST_DATA / "cifar10-test-5k.tar"


@unittest.skipUnless(TRAIN.exists() and HELD_OUT.exists(), f"CIFAR-10 samples are missing: {TRAIN}")
class LearningLongTest(unittest.TestCase):

    def test_pretraining_beats_the_random_encoder_with_disjoint_intervals(self):
        with Cluster(slots=2) as cluster:
            job = cluster.submit(ROOT / "configs/jobs/cifar10_tiny.yaml", "--data", TRAIN, "--eval", HELD_OUT)
            ended = cluster.wait_for_end(job, 3000)
            print(cluster.ctl("describe", job).out)
            self.assertEqual(ended["status"]["state"], "JOB_STATE_SUCCEEDED")
            self.assertTrue(all(math.isfinite(point["loss"]) for point in ended["status"]["curve"]))
            random, random_rank = probe_scores(ended, 0)
            trained, trained_rank = probe_scores(ended, int(ended["status"]["progress"]["step"]))
            self.assertGreater(trained_rank, random_rank)
            self.assertGreater(trained["class", "linear"]["low"], random["class", "linear"]["high"])


if __name__ == "__main__":
    unittest.main()
