"""The coordinator's engine for Kubernetes against a real API server, controllers and scheduler; kwok plays the nodes."""
import json
import unittest

from control_plane import wait_until
from engine import NAMESPACE, EngineTest, Probe


class BackendTest(EngineTest):
    def test_makes_a_job_a_service_and_a_secret_that_go_together(self):
        pods = self.running()
        self.assertEqual(sorted(pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] for pod in pods),
                         ["0", "1"])
        for pod in pods:
            limits = pod["spec"]["containers"][0]["resources"]["limits"]
            self.assertEqual(limits["nvidia.com/gpu"], "4")
        secret = self.cluster.get("secrets", NAMESPACE)[0]
        self.assertEqual(secret["metadata"]["ownerReferences"][0]["name"], "demo-g1")
        self.assertEqual(self.cluster.get("services", NAMESPACE)[0]["spec"]["clusterIP"], "None")
        self.assertEqual(self.probe.seen("demo-g1")["hosts"], sorted({pod["spec"]["nodeName"] for pod in pods}))
        self.assertEqual(self.probe.call("kill", name="demo-g1"), {"killed": "demo-g1"})
        wait_until(lambda: not self.cluster.get("jobs,pods,secrets,services", NAMESPACE), 180, "all of it is gone")
        self.assertEqual(self.probe.call("kill", name="demo-g1"), {"killed": "demo-g1"})

    def test_asking_twice_gives_the_same_job(self):
        self.running()
        again = Probe(self.config)  # a coordinator that was restarted before it heard the answer
        self.addCleanup(again.close)
        self.assertEqual(again.allocate(), {"handle": "demo-g1"})
        self.assertEqual(len(self.cluster.get("jobs", NAMESPACE)), 1)

    def test_a_half_made_job_is_cleared_and_made_anew(self):
        """As a coordinator leaves it that dies between the Job and its Secret."""
        self.running()
        self.cluster.kubectl("annotate", "job", "demo-g1", "-n", NAMESPACE, "ijepa/complete-")
        self.assertIsNone(self.probe.seen("demo-g1"))
        wait_until(lambda: "handle" in self.probe.allocate(), 60, "it can be asked for again")
        self.wait_for("demo-g1", lambda seen: seen["phase"] == "running", "runs again")

    def test_a_secret_of_a_job_before_is_not_taken_for_its_own(self):
        self.cluster.kubectl("create", "secret", "generic", "demo-g1", "-n", NAMESPACE)
        refused = self.probe.allocate()
        self.assertEqual(refused["code"], "UNAVAILABLE")
        self.assertIn("is still being deleted", refused["message"])
        self.cluster.kubectl("delete", "secret", "demo-g1", "-n", NAMESPACE)
        wait_until(lambda: "handle" in self.probe.allocate(), 60, "it can be asked for again")
        self.wait_for("demo-g1", lambda seen: seen["phase"] == "running", "runs")

    def test_jobs_of_others_are_neither_seen_nor_taken(self):
        self.cluster.kubectl("create", "job", "demo-g1", "-n", NAMESPACE, "--image=x")
        self.assertIsNone(self.probe.seen("demo-g1"))
        refused = self.probe.allocate()
        self.assertEqual(refused["code"], "FAILED_PRECONDITION")
        self.assertIn("is not this coordinator's", refused["message"])

    def test_a_pod_that_fails_ends_the_allocation(self):
        pod = self.running()[0]
        self.cluster.set_pod_status(pod["metadata"]["name"], NAMESPACE, {
            "phase": "Failed", "containerStatuses": [{
                "name": "worker", "image": "x", "imageID": "", "ready": False, "restartCount": 0,
                "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]})
        seen = self.wait_for("demo-g1", lambda seen: seen["phase"] == "ended", "ends")
        self.assertEqual((seen["end"], seen["host"]), ("out_of_memory", pod["spec"]["nodeName"]))
        self.assertIn("OOMKilled", seen["reason"])

    def test_an_eviction_is_a_preemption(self):
        pod = self.running()[0]["metadata"]["name"]
        self.cluster.kubectl("create", "--raw", f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction", "-f", "-", text=json.dumps(
            {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": NAMESPACE}}))
        seen = self.wait_for("demo-g1", lambda seen: seen["phase"] == "ended", "ends")
        self.assertEqual(seen["end"], "preempted")
        self.assertIn("EvictionByEvictionAPI", seen["reason"])

    def test_a_job_that_somebody_deletes_was_cancelled_once_its_pods_have_ended(self):
        self.running()
        self.cluster.stop("kwok")  # no node ends a pod
        self.cluster.kubectl("delete", "job", "demo-g1", "-n", NAMESPACE, "--wait=false", "--cascade=background")
        wait_until(lambda: not self.cluster.get("jobs", NAMESPACE), 60, "the Job is gone")
        self.assertEqual(self.probe.seen("demo-g1")["phase"], "running")
        self.cluster.start_kubelets()
        seen = self.wait_for("demo-g1", lambda seen: seen["phase"] == "ended", "ends")
        self.assertEqual((seen["end"], seen["state"]), ("cancelled", "Deleted"))

    def test_what_waits_says_why_in_kubernetes_words_with_advice(self):
        cases = [("wide", "kubernetes: {ranks_per_pod: 16}", "Insufficient nvidia.com/gpu", "ranks_per_pod"),
                 ("pool", "kubernetes: {ranks_per_pod: 1, node_selector: {pool: none}}", "affinity/selector", "node_selector"),
                 ("class", "kubernetes: {ranks_per_pod: 1, pod_priority_class: none}", "PriorityClass", "pod_priority_class")]
        for job, spec, words, advice in cases:
            with self.subTest(job):
                self.assertIn("handle", self.probe.allocate(job, ranks=16, spec=spec))
                seen = self.wait_for(f"{job}-g1", lambda seen: seen["reason"], "says why")
                self.assertEqual(seen["phase"], "pending")
                self.assertIn(words, seen["reason"])
                self.assertIn(advice, seen["advice"])

    def test_a_quota_is_named(self):
        self.cluster.kubectl("create", "quota", "gpus", "-n", NAMESPACE, "--hard=requests.nvidia.com/gpu=2")
        wait_until(lambda: self.cluster.get("resourcequotas", NAMESPACE)[0].get("status", {}).get("hard"), 60, "the quota holds")
        self.assertIn("handle", self.probe.allocate())
        seen = self.wait_for("demo-g1", lambda seen: seen["reason"], "says why")
        self.assertIn("exceeded quota: gpus", seen["reason"])
        self.assertIn("ResourceQuota", seen["advice"])

    def test_an_image_that_cannot_be_pulled_is_named(self):
        pod = self.running()[0]["metadata"]["name"]
        self.cluster.set_pod_status(pod, NAMESPACE, {"phase": "Pending", "containerStatuses": [{
            "name": "worker", "image": "x", "imageID": "", "ready": False, "restartCount": 0,
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"x\""}}}]})
        seen = self.wait_for("demo-g1", lambda seen: "ImagePullBackOff" in seen["reason"], "says why")
        self.assertIn("kubernetes.image", seen["advice"])

    def test_a_volume_that_cannot_be_mounted_is_named(self):
        """A kubelet says so in an event only."""
        pod = self.running()[0]["metadata"]
        self.cluster.set_pod_status(pod["name"], NAMESPACE, {"phase": "Pending", "conditions": [
            {"type": "PodReadyToStartContainers", "status": "False"}], "containerStatuses": [{
            "name": "worker", "image": "x", "imageID": "", "ready": False, "restartCount": 0,
            "state": {"waiting": {"reason": "ContainerCreating"}}}]})
        self.cluster.kubectl("create", "-f", "-", text=json.dumps({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "mount", "namespace": NAMESPACE}, "type": "Warning",
            "reason": "FailedMount", "message": "MountVolume.SetUp failed for volume \"tls\" : secret \"worker-tls\" not found",
            "involvedObject": {"kind": "Pod", "name": pod["name"], "namespace": NAMESPACE, "uid": pod["uid"]}}))
        self.addCleanup(self.cluster.kubectl, "delete", "event", "mount", "-n", NAMESPACE)
        seen = self.wait_for("demo-g1", lambda seen: "FailedMount" in seen["reason"], "says why")
        self.assertIn('secret "worker-tls" not found', seen["reason"])
        self.assertIn("tls_secret", seen["advice"])

    def test_what_the_server_refuses_is_said_at_once(self):
        refused = self.probe.allocate(spec="kubernetes: {pod_patch: {spec: {nodeSelectr: {a: b}}}}")
        self.assertEqual(refused["code"], "INVALID_ARGUMENT")
        self.assertIn("nodeSelectr", refused["message"])

    def test_the_watch_brings_news_before_the_poll(self):
        self.running()
        self.probe.send("wait", seconds=120)
        self.cluster.kubectl("delete", "pod", "-n", NAMESPACE, "--all", "--wait=false")
        self.assertLess(self.probe.answer()["waited"], 100)

    def test_an_api_server_that_restarts_costs_nothing(self):
        self.running()
        self.cluster.stop("kube-apiserver")
        away = self.probe.call("reconcile")
        self.assertEqual(away["code"], "UNAVAILABLE")
        self.assertIn("Couldn't connect", away["message"])
        refused = self.probe.allocate("other")
        self.assertEqual(refused["code"], "UNAVAILABLE")
        self.cluster.start_server()
        self.assertEqual(self.wait_for("demo-g1", lambda seen: True, "is there")["phase"], "running")
        self.assertEqual(self.probe.allocate("other"), {"handle": "other-g1"})
        self.cluster.stop("kwok")  # it takes a minute and more to find the new server by itself
        self.cluster.start_kubelets()

    def test_an_api_server_that_is_away_is_asked_at_the_pace_of_the_poll(self):
        """A watch that cannot begin is no news: without this it is asked ten times a second."""
        self.running()
        self.cluster.stop("kube-apiserver")
        self.probe.send("wait", seconds=3)
        self.assertGreaterEqual(self.probe.answer()["waited"], 2.9)
        self.cluster.start_server()
        self.cluster.stop("kwok")
        self.cluster.start_kubelets()

    def test_a_watch_that_has_expired_is_news_and_the_lists_are_read_again(self):
        pod = self.running()[0]["metadata"]["name"]
        self.assertIsNotNone(self.probe.seen("demo-g1"))
        pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
        version = json.loads(self.cluster.kubectl("get", "--raw", pods))["metadata"]["resourceVersion"]
        for i in range(3):
            self.cluster.kubectl("annotate", "pod", pod, "-n", NAMESPACE, "--overwrite", f"a={i}")
        self.cluster.stop("kube-apiserver")
        self.cluster.start_server()  # It knows no more of what happened before.
        said = self.cluster.kubectl("get", "--raw", f"{pods}?watch=1&timeoutSeconds=5&resourceVersion={version}")
        self.assertIn('"code":410', said)
        self.probe.send("wait", seconds=120)
        self.assertLess(self.probe.answer()["waited"], 100)
        self.assertEqual(self.probe.seen("demo-g1")["phase"], "running")
        self.probe.send("wait", seconds=120)  # from the new lists
        self.cluster.kubectl("annotate", "pod", pod, "-n", NAMESPACE, "--overwrite", "a=news")
        self.assertLess(self.probe.answer()["waited"], 100)
        self.cluster.stop("kwok")
        self.cluster.start_kubelets()

    # Identities.
    def other(self, name, **options):
        probe = Probe(self.cluster.kubeconfig(name, **options))
        self.addCleanup(probe.close)
        return probe

    def test_a_token_that_is_no_good_is_named_with_advice(self):
        refused = self.other("expired", token="not-a-token").call("reconcile")
        self.assertEqual(refused["code"], "UNAUTHENTICATED")
        self.assertIn("Unauthorized", refused["message"])
        self.assertIn("renew it", refused["message"])

    def test_a_server_with_a_wrong_certificate_is_not_trusted(self):
        self.cluster.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                             "wrong.key", "-out", "wrong.crt", "-subj", "/CN=another-ca", "-days", "2")
        refused = self.other("wrong", token="t", authority="wrong.crt").call("reconcile")
        self.assertEqual(refused["code"], "UNAVAILABLE")
        self.assertIn("certificate", refused["message"])
        self.assertIn("take both from the same cluster", refused["message"])


if __name__ == "__main__":
    unittest.main()
