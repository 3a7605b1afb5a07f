"""The rights that the chart gives the coordinator are exactly enough: with all of them every call of the engine works, and
without any one verb one of them does not."""
import json
import unittest

from control_plane import wait_until
from engine import ACCOUNT, NAMESPACE, EngineTest


class RightsTest(EngineTest):
    only = ()  # resources whose verbs are removed; none: all

    def rules(self, kind, name):
        namespace = [] if kind == "clusterrole" else ["-n", NAMESPACE]
        return json.loads(self.cluster.kubectl("get", kind, name, *namespace, "-o", "json"))["rules"]

    def set_rules(self, kind, name, rules):
        namespace = [] if kind == "clusterrole" else ["-n", NAMESPACE]
        self.cluster.kubectl("patch", kind, name, *namespace, "--type=merge", "-p", json.dumps({"rules": rules}))

    def refusals(self, job):
        """What is refused of all that the engine does in the life of an allocation."""
        # Pods for which no room is in a quota: only events say so.
        self.cluster.kubectl("create", "quota", "none", "-n", NAMESPACE, "--hard=pods=0", check=False)
        answers = [self.probe.allocate(job, ranks=1), self.probe.allocate(job, ranks=1)]  # the second finds the first
        answers += [self.probe.call("reconcile"), self.probe.call("wait", seconds=1), self.probe.call("nodes"), self.probe.call("kill", name=f"{job}-g1")]
        said = [answer["message"] for answer in answers if "code" in answer]
        log = self.config.with_suffix(".log")
        said += [line for line in log.read_text().splitlines() if "forbidden" in line]
        log.write_text("")
        return said

    def test_every_verb_is_needed_and_no_more_are(self):
        self.assertEqual(self.refusals("all"), [])
        removed = []
        for kind, name in (("role", ACCOUNT), ("clusterrole", f"ijepa-{ACCOUNT}")):
            whole = self.rules(kind, name)
            for i, rule in enumerate(whole):
                for resource in [one for one in rule["resources"] if not self.only or one in self.only]:
                    for verb in rule["verbs"]:
                        less = [{**rule, "resources": [resource], "verbs": [v for v in rule["verbs"] if v != verb]},
                                {**rule, "resources": [r for r in rule["resources"] if r != resource]}]
                        rest = whole[:i] + whole[i + 1:]
                        self.set_rules(kind, name, rest + [part for part in less if part["verbs"] and part["resources"]])
                        with self.subTest(verb=verb, resource=resource):
                            words = f'cannot {verb} resource "{resource}"'
                            wait_until(lambda: any(words in said for said in self.refusals(f"{verb}-{resource}")), 20, words)
                        removed.append(f"{verb} {resource}")
                        self.remove_all()
            self.set_rules(kind, name, whole)
        self.assertTrue(removed)
        print(f"removed one by one: {', '.join(removed)}")


if __name__ == "__main__":
    unittest.main()
