"""Gangs as JobSets: the engine against a real API server that knows them, and real controllers of Jobs. JobSet's own controller
is not here: `control` does in its place what the engine relies on, so that this is no test of it."""
import json
import unittest
from pathlib import Path

import rights_test
from control_plane import wait_until
from engine import NAMESPACE, EngineTest, Probe

VERSION = "jobset.x-k8s.io/v1alpha2"
KIND = "jobsets.jobset.x-k8s.io"
LABEL = "jobset.sigs.k8s.io/jobset-name"


class JobSets:
    """A cluster with JobSets, for classes of EngineTest."""
    chart_options = ("--api-versions", VERSION)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cluster.kubectl("apply", "-f", Path(__file__).with_name("jobset_crd.yaml"))
        wait_until(lambda: cls.cluster.kubectl("get", "--raw", f"/apis/{VERSION}/namespaces/{NAMESPACE}/jobsets", check=False), 30,
                   "JobSets are served")
        # The garbage collector learns of a new kind only when it next looks for kinds.
        cls.cluster.kubectl("create", "-f", "-", text=json.dumps({
            "apiVersion": VERSION, "kind": "JobSet", "metadata": {"name": "owner", "namespace": NAMESPACE},
            "spec": {"suspend": True, "replicatedJobs": []}}))
        uid = cls.cluster.get(KIND, NAMESPACE)[0]["metadata"]["uid"]
        cls.cluster.kubectl("create", "-f", "-", text=json.dumps({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owned", "namespace": NAMESPACE, "ownerReferences": [
                {"apiVersion": VERSION, "kind": "JobSet", "name": "owner", "uid": uid}]}}))
        cls.cluster.kubectl("delete", KIND, "owner", "-n", NAMESPACE)
        wait_until(lambda: not cls.cluster.kubectl("get", "configmap", "owned", "-n", NAMESPACE, "--ignore-not-found"), 120,
                   "the garbage collector knows of JobSets")

    def remove_all(self):
        self.cluster.kubectl("delete", KIND, "-n", NAMESPACE, "--all", "--wait=false")
        super().remove_all()


class JobSetTest(JobSets, EngineTest):

    def control(self):
        for job_set in self.cluster.get(KIND, NAMESPACE):
            if "deletionTimestamp" not in job_set["metadata"]:
                self.control_one(job_set)

    def control_one(self, job_set):
        about, group = job_set["metadata"], job_set["spec"]["replicatedJobs"][0]
        name = f"{about['name']}-{group['name']}-0"
        found = next((job for job in self.cluster.get("jobs", NAMESPACE) if job["metadata"]["name"] == name), None)
        if found is None:
            owner = {"apiVersion": VERSION, "kind": "JobSet", "name": about["name"], "uid": about["uid"], "controller": True}
            spec = {**group["template"]["spec"], "suspend": job_set["spec"]["suspend"]}
            spec["template"]["metadata"]["labels"][LABEL] = about["name"]
            spec["template"]["spec"]["subdomain"] = about["name"]
            self.cluster.kubectl("create", "--validate=strict", "-f", "-", text=json.dumps({
                "apiVersion": "batch/v1", "kind": "Job", "spec": spec,
                "metadata": {"name": name, "namespace": NAMESPACE, "labels": {LABEL: about["name"]}, "ownerReferences": [owner]}}))
            return
        if found["metadata"]["ownerReferences"][0]["uid"] != about["uid"]:
            return  # left by an earlier one of this name; it goes first
        if found["spec"].get("suspend", False) != job_set["spec"]["suspend"]:
            self.patch("job", name, {"spec": {"suspend": job_set["spec"]["suspend"]}})
        for condition in found["status"].get("conditions", []):
            end = {"Complete": "Completed", "Failed": "Failed"}.get(condition["type"])
            if end and condition["status"] == "True":
                self.patch(KIND, about["name"], {"status": {"conditions": [{
                    "type": end, "status": "True", "reason": "FailedJobs" if end == "Failed" else "AllJobsCompleted",
                    "message": f"first job: {name}", "lastTransitionTime": condition["lastTransitionTime"]}]}}, "--subresource=status")

    def patch(self, kind, name, change, *options):
        self.cluster.kubectl("patch", kind, name, "-n", NAMESPACE, "--type=merge", "-p", json.dumps(change), *options)

    def wait_for(self, name, condition, what, seconds=60):
        def check():
            self.control()
            seen = self.probe.seen(name)
            return seen if seen and condition(seen) else None
        return wait_until(check, seconds, f"{name}: {what}")

    def ended(self):
        return self.wait_for("demo-g1", lambda seen: seen["phase"] == "ended", "ends")

    def test_makes_a_job_set_and_a_secret_that_go_together(self):
        pods = self.running()
        self.assertEqual([job_set["metadata"]["name"] for job_set in self.cluster.get(KIND, NAMESPACE)], ["demo-g1"])
        self.assertEqual(self.cluster.get("secrets", NAMESPACE)[0]["metadata"]["ownerReferences"][0]["kind"], "JobSet")
        self.assertEqual(self.cluster.get("services", NAMESPACE), [], "the Service is its controller's")
        self.assertEqual(sorted(pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] for pod in pods),
                         ["0", "1"])
        self.assertEqual(self.probe.seen("demo-g1")["hosts"], sorted({pod["spec"]["nodeName"] for pod in pods}))
        for _ in range(2):
            self.assertEqual(self.probe.call("kill", name="demo-g1"), {"killed": "demo-g1"})
            wait_until(lambda: not self.cluster.get(f"{KIND},jobs,pods,secrets", NAMESPACE), 60, "all of it is gone")

    def test_asking_twice_gives_the_same_job_set(self):
        self.running()
        again = Probe(self.config)
        self.addCleanup(again.close)
        self.assertEqual(again.allocate(), {"handle": "demo-g1"})
        self.assertEqual(len(self.cluster.get(KIND, NAMESPACE)), 1)

    def test_a_half_made_job_set_is_cleared_and_made_anew(self):
        self.running()
        self.cluster.kubectl("annotate", KIND, "demo-g1", "-n", NAMESPACE, "ijepa/complete-")
        self.assertIsNone(self.probe.seen("demo-g1"))
        wait_until(lambda: "handle" in self.probe.allocate(), 60, "it can be asked for again")
        self.wait_for("demo-g1", lambda seen: seen["phase"] == "running", "runs again")

    def test_a_pod_that_fails_ends_the_allocation(self):
        pod = self.running()[0]
        self.cluster.set_pod_status(pod["metadata"]["name"], NAMESPACE, {
            "phase": "Failed", "containerStatuses": [{
                "name": "worker", "image": "x", "imageID": "", "ready": False, "restartCount": 0,
                "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]})
        seen = self.ended()
        self.assertEqual((seen["end"], seen["host"]), ("out_of_memory", pod["spec"]["nodeName"]))

    def test_pods_that_succeed_complete_it(self):
        for pod in self.running():
            self.cluster.set_pod_status(pod["metadata"]["name"], NAMESPACE, {"phase": "Succeeded"})
        self.assertEqual(self.ended()["end"], "completed")

    def test_a_job_set_that_somebody_deletes_was_cancelled_once_its_pods_have_ended(self):
        self.running()
        self.cluster.stop("kwok")  # no node ends a pod
        self.cluster.kubectl("delete", KIND, "demo-g1", "-n", NAMESPACE, "--wait=false", "--cascade=background")
        wait_until(lambda: not self.cluster.get(KIND, NAMESPACE), 60, "the JobSet is gone")
        self.assertEqual(self.probe.seen("demo-g1")["phase"], "running")
        self.cluster.start_kubelets()
        seen = self.ended()
        self.assertEqual((seen["end"], seen["state"]), ("cancelled", "Deleted"))

    def test_what_waits_says_why(self):
        self.assertIn("handle", self.probe.allocate("wide", ranks=16, spec="kubernetes: {ranks_per_pod: 16}"))
        seen = self.wait_for("wide-g1", lambda seen: seen["reason"], "says why")
        self.assertIn("Insufficient nvidia.com/gpu", seen["reason"])
        self.cluster.kubectl("create", "quota", "none", "-n", NAMESPACE, "--hard=pods=0")
        wait_until(lambda: self.cluster.get("resourcequotas", NAMESPACE)[0].get("status", {}).get("hard"), 60, "the quota holds")
        self.assertIn("handle", self.probe.allocate())
        self.assertIn("exceeded quota: none", self.wait_for("demo-g1", lambda seen: seen["reason"], "says why")["reason"])

    def test_a_queue_of_kueue_starts_it_and_not_we(self):
        self.assertIn("handle", self.probe.allocate(spec="kubernetes: {ranks_per_pod: 4, local_queue: gpus}"))
        self.control()
        self.assertEqual(self.probe.seen("demo-g1")["state"], "Suspended")
        job_set = self.cluster.get(KIND, NAMESPACE)[0]
        self.assertEqual(job_set["metadata"]["labels"]["kueue.x-k8s.io/queue-name"], "gpus")
        self.patch(KIND, "demo-g1", {"spec": {"suspend": False}})
        self.wait_for("demo-g1", lambda seen: seen["phase"] == "running", "runs")

    def test_the_watch_brings_news_of_job_sets(self):
        self.running()
        wait_until(lambda: self.probe.seen("demo-g1") and self.probe.call("wait", seconds=2)["waited"] > 1.9, 60, "nothing happens")
        self.probe.send("wait", seconds=120)
        self.cluster.kubectl("annotate", KIND, "demo-g1", "-n", NAMESPACE, "a=news")
        self.assertLess(self.probe.answer()["waited"], 100)

    def test_jobs_of_before_are_seen_and_ended(self):
        before = Probe(self.config, job_sets=False)
        self.addCleanup(before.close)
        self.assertEqual(before.allocate(), {"handle": "demo-g1"})
        self.wait_for("demo-g1", lambda seen: seen["phase"] == "running", "runs")
        self.assertEqual(self.cluster.get(KIND, NAMESPACE), [])
        self.assertEqual(self.probe.call("kill", name="demo-g1"), {"killed": "demo-g1"})
        wait_until(lambda: not self.cluster.get("jobs,pods", NAMESPACE), 60, "all of it is gone")

    def test_job_sets_of_before_are_seen_and_ended_once_they_are_turned_off(self):
        self.running()
        after = Probe(self.config, job_sets=False)
        self.addCleanup(after.close)
        self.assertEqual(after.seen("demo-g1")["phase"], "running")
        self.assertEqual(after.call("kill", name="demo-g1"), {"killed": "demo-g1"})
        wait_until(lambda: not self.cluster.get(f"{KIND},jobs,pods,secrets", NAMESPACE), 60, "all of it is gone")


class JobSetRightsTest(JobSets, rights_test.RightsTest):
    only = ("jobsets",)


if __name__ == "__main__":
    unittest.main()
