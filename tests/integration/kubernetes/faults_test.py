"""What happens to a job when its pods meet each of the fates of docs/OPERATIONS.md."""
import json
import signal
import unittest

from engine import NAMESPACE
from service import ServiceTest, step_of, wait_until


class FaultsTest(ServiceTest):

    def running(self, step=30):
        """A job of two pods that trains, and the pods."""
        self.serve()
        job = self.submit()
        self.wait_for_step(job, step)
        return job, self.pods(job)

    def wait_for_attempt(self, job, generation):
        """The job once that attempt trains; it goes on from the newest checkpoint of those before."""
        found = self.cluster.wait_for(job, lambda j: any(int(one["generation"]) == generation and "runningTime" in one
                                                         for one in j["status"]["attempts"]), 120, f"attempt {generation} trains")
        saved = [int(one["step"]) for one in json.loads(self.cluster.ctl("checkpoints", job, "-o", "json").out)["checkpoints"]
                 if int(one["generation"]) < generation]
        self.assertGreaterEqual(int(self.attempt(found, generation)["firstStep"]), max(saved))
        return found

    def assert_saved_and_goes_on(self, job):
        found = self.wait_for_attempt(job, 2)
        first = self.attempt(found, 1)
        self.assertEqual(first["outcome"], "DRAINED")
        self.assertGreaterEqual(int(self.attempt(found, 2)["firstStep"]), int(first["lastStep"]), "no step is lost")
        wait_until(lambda: not self.living(job), 60, "the pods of the first attempt have ended")
        return found

    def assert_failed_and_goes_on(self, job, *classes):
        found = self.wait_for_attempt(job, 2)
        self.assertEqual(self.attempt(found, 1)["outcome"], "FAILED")
        self.assertIn(self.attempt(found, 1)["failure"]["failureClass"], classes)
        return found

    def explain_says(self, job, words):
        return wait_until(lambda: words in (text := self.cluster.ctl("explain", job).out) and text, 60, f"{job}: {words}")

    # Pods that are asked to end.
    def test_a_deleted_pod_saves_and_the_job_goes_on_in_a_new_one(self):
        job, pods = self.running()
        self.control.kubectl("delete", "pod", pods[0]["metadata"]["name"], "-n", NAMESPACE, "--wait=false")
        self.assert_saved_and_goes_on(job)

    def test_an_evicted_pod_saves_and_the_job_goes_on_in_a_new_one(self):
        job, pods = self.running()
        name = pods[1]["metadata"]["name"]
        self.control.kubectl("create", "--raw", f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction", "-f", "-", text=json.dumps(
            {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}}))
        self.assert_saved_and_goes_on(job)

    def test_a_job_that_somebody_deletes_saves_and_is_paused(self):
        job, _ = self.running()
        self.control.kubectl("delete", "job", f"{job}-g1", "-n", NAMESPACE, "--wait=false")
        found = self.cluster.wait_for(job, lambda j: j["status"]["state"] == "JOB_STATE_PAUSED", 60, "it is paused")
        self.assertEqual(found["status"]["reason"]["code"], "CANCELLED_OUTSIDE")
        self.assertEqual(self.attempt(found, 1)["outcome"], "DRAINED", "it saved first")
        self.assert_nothing_left()
        self.assertEqual(self.cluster.ctl("resume", job).code, 0)
        self.assert_saved_and_goes_on(job)

    def test_cancel_by_us_ends_the_job_and_its_pods(self):
        job, _ = self.running()
        self.assertEqual(self.cluster.ctl("cancel", job).code, 0)
        self.assertEqual(self.cluster.wait_for_end(job, 60)["status"]["state"], "JOB_STATE_CANCELLED")
        self.assert_nothing_left()

    # Pods that die.
    def test_a_killed_worker_fails_the_attempt_and_the_job_goes_on(self):
        job, pods = self.running()
        self.kubelet_of(pods[1]).containers[pods[1]["metadata"]["uid"]].signal(signal.SIGKILL)
        # A rank that lost its peer is heard first, and is not the cause.
        self.assert_failed_and_goes_on(job, "CRASH")

    def test_a_pod_that_is_killed_for_memory_fails_the_attempt_and_the_job_goes_on(self):
        job, pods = self.running()
        self.kubelet_of(pods[0]).kill_for_memory(pods[0])
        self.assert_failed_and_goes_on(job, "OOM_HOST")

    # Nodes.
    def test_a_lost_node_is_a_failure_of_the_node_and_the_job_goes_on_elsewhere(self):
        job, pods = self.running()
        lost = self.kubelet_of(pods[0])
        # As an operator would: until its grace is over Kubernetes gives pods to a node that is gone.
        self.control.kubectl("cordon", lost.name)
        lost.lose()
        found = self.assert_failed_and_goes_on(job, "NODE_LOST")
        self.assertNotIn(lost.name, json.dumps(self.attempt(found, 2)["placements"]))
        lost.start()
        self.control.kubectl("uncordon", lost.name)
        wait_until(lambda: not self.living(job), 60, "the pods of the first attempt have ended")

    def test_a_silent_kubelet_costs_nothing_until_it_comes_back_and_ends_its_pods(self):
        job, pods = self.running()
        silent = self.kubelet_of(pods[0])
        silent.stop()
        wait_until(lambda: any("deletionTimestamp" in pod["metadata"] for pod in self.pods(job)), 60,
                   "Kubernetes wants to take the pod off the lost node")
        self.wait_for_step(job, step_of(self.cluster.job(job)) + 20)
        silent.start()
        self.assert_saved_and_goes_on(job)

    # The API server.
    def test_an_api_server_that_restarts_costs_no_step(self):
        job, _ = self.running()
        self.control.stop("kube-apiserver")
        self.wait_for_step(job, step_of(self.cluster.job(job)) + 20)
        waiting = self.submit(name="waits", epochs=1)
        self.explain_says(waiting, "Couldn't connect")
        self.control.start_server()
        self.assertEqual(self.cluster.wait_for_end(waiting, 90)["status"]["state"], "JOB_STATE_SUCCEEDED")
        self.assertEqual(len(self.cluster.job(job)["status"]["attempts"]), 1)


if __name__ == "__main__":
    unittest.main()
