"""The machinery of learning on real photographs, in half a minute: not long enough to assert how much is learnt."""
import itertools
import math
import tarfile
import unittest

from cluster import Cluster, ROOT, TEST_DATA, probe_scores

TRAIN, HELD_OUT = TEST_DATA / "cifar10-train-20k.tar", TEST_DATA / "cifar10-test-5k.tar"
IMAGES, PROBED = 8000, 2000


def first_images(source, target, count):
    """Writes the first images of a tar to another and returns that."""
    with tarfile.open(source) as images, tarfile.open(target, "w") as fewer:
        for member in itertools.islice(images, count):
            fewer.addfile(member, images.extractfile(member))
    return target


@unittest.skipUnless(TRAIN.exists() and HELD_OUT.exists(), f"CIFAR-10 samples are missing: {TRAIN}")
class LearningTest(unittest.TestCase):

    def test_a_short_run_on_photographs_keeps_a_finite_falling_loss_and_is_probed(self):
        with Cluster(slots=2) as cluster:
            train = first_images(TRAIN, cluster.folder / "train.tar", IMAGES)
            job = cluster.submit(ROOT / "configs/jobs/cifar10_tiny.yaml", "--data", train, "--eval", HELD_OUT, "--set",
                                 "optimization.epochs=1", "--set", "optimization.warmup=0.1", "--set",
                                 "eval.intermediate=0", "--set", f"eval.max_images={PROBED}")
            ended = cluster.wait_for_end(job, 240)
            self.assertEqual(ended["status"]["state"], "JOB_STATE_SUCCEEDED")
            losses = [point["loss"] for point in ended["status"]["curve"]]
            self.assertTrue(all(math.isfinite(loss) for loss in losses))
            self.assertLess(losses[-1], losses[0])
            first, _ = probe_scores(ended, 0)
            last, rank = probe_scores(ended, int(ended["status"]["progress"]["step"]))
            self.assertEqual(set(first), {("class", "knn"), ("class", "linear")})
            self.assertEqual(set(last), set(first))
            self.assertEqual(first["class", "linear"]["images"], PROBED)
            self.assertGreater(first["class", "linear"]["accuracy"], 0.2, "random features are above chance")
            self.assertGreater(rank, 1)


if __name__ == "__main__":
    unittest.main()
