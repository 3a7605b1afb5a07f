"""A job of a queue that Kubernetes places trains in pods: submit, objects, pods, workers, ranks, end."""
import unittest

from engine import NAMESPACE
from service import ServiceTest, wait_until


class TrainingTest(ServiceTest):

    def test_a_job_trains_to_the_end_in_two_pods(self):
        self.serve()
        job = self.submit(epochs=4)
        pods = wait_until(lambda: len(found := self.pods(job)) == 2 and found, 90, "two pods")
        found = self.cluster.wait_for_end(job, 120)
        self.assertEqual(found["status"]["state"], "JOB_STATE_SUCCEEDED")
        attempt = self.attempt(found, 1)
        self.assertEqual(attempt["allocation"], f"kubernetes {job}-g1")
        self.assertEqual(sorted(placed["node"] for placed in attempt["placements"]),
                         sorted(f"{i}.{pod['spec']['nodeName']}.{job}-g1" for i, pod in enumerate(pods)))
        made = wait_until(lambda: (jobs := self.control.get("jobs", NAMESPACE))[0]["status"].get("completionTime") and jobs[0], 30,
                          "the Job is Complete: the workers ended by themselves with code 0")
        self.assertEqual(self.control.condition(made, "Complete"), "True")
        self.assert_nothing_left()
        checkpoint = next(self.control.storage.glob(f"{job}/step-*"))
        self.assertEqual(checkpoint.stat().st_uid, 10001, "ranks are not root in their pod")


if __name__ == "__main__":
    unittest.main()
