"""A thousand pods of ten Jobs, watched: what the coordinator's engine holds does not grow with how often it looks."""
import time
import unittest

from control_plane import wait_until
from engine import NAMESPACE, EngineTest

JOBS, PODS = 10, 100
LOOKS = 30
# Beside what the first looks made the allocator keep.
SLACK_KIB = 4096


class ManyPodsTest(EngineTest):

    def looks(self, count):
        """Each after news of one pod; seconds of the slowest."""
        slowest = 0.0
        for i in range(count):
            self.probe.send("wait", seconds=60)
            self.cluster.kubectl("annotate", "pod", self.pod, "-n", NAMESPACE, "--overwrite", f"look={time.monotonic()}")
            self.assertIn("waited", self.probe.answer())
            begin = time.monotonic()
            self.assertEqual(len(self.probe.call("reconcile")["allocations"]), JOBS, f"look {i}")
            slowest = max(slowest, time.monotonic() - begin)
        return slowest

    def test_a_thousand_pods_are_watched_with_flat_memory(self):
        spec = "kubernetes: {ranks_per_pod: 1, gpu_resource: none}"
        for i in range(JOBS):
            self.assertIn("handle", self.probe.allocate(f"many{i}", ranks=PODS, spec=spec))

        def running():
            seen = self.probe.call("reconcile")["allocations"].values()
            return len(seen) == JOBS and all(one["phase"] == "running" for one in seen)
        wait_until(running, 400, "1,000 pods run")
        pods = self.cluster.get("pods", NAMESPACE)
        self.assertEqual(len(pods), JOBS * PODS)
        self.pod = pods[0]["metadata"]["name"]
        self.looks(5)
        before = self.probe.memory_kib()
        slowest = self.looks(LOOKS)
        after = self.probe.memory_kib()
        print(f"{len(pods)} pods: {slowest:.2f} s the slowest of {LOOKS} looks; {before} KiB resident before them, {after} after")
        self.assertLess(after, before + SLACK_KIB)


if __name__ == "__main__":
    unittest.main()
