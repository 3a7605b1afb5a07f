"""Two network namespaces and a link between them that can be cut.

The namespaces have no name: each is that of a process that does nothing, and goes with the last process in it, so that a
test that is killed leaves nothing behind either.
"""
import os
import shutil
import subprocess

from cluster import Loopback, wait_until

TOOLS = ("ip", "nsenter", "setpriv", "unshare")
NEAR, FAR = "10.0.0.1", "10.0.0.2"


def why_not():
    """Why this machine cannot have them; None where it can."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if os.geteuid() != 0 or missing:
        return "network namespaces need root" if not missing else f"no program {missing[0]}"
    tried = subprocess.run(["unshare", "--net", "ip", "link", "add", "near", "type", "veth", "peer", "name", "far"],
                           capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"no veth: {tried.stderr.strip()}"


class CutNetwork(Loopback):
    """For cluster.Cluster: the programs named `far` are beyond a link, all others before it. A context manager."""

    def __init__(self, far):
        self.far = set(far)

    def __enter__(self):
        self.holders = {}
        try:
            for side in ("near", "far"):
                self.holders[side] = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "3600"])
                wait_until(lambda process=self.holders[side].pid: self._is_apart(process), 10, "a network namespace")
            self._ip("near", "link", "add", "link0", "type", "veth", "peer", "name", "link0", "netns",
                     str(self.holders["far"].pid))
            for side, address in (("near", NEAR), ("far", FAR)):
                self._ip(side, "address", "add", f"{address}/30", "dev", "link0")
                for device in ("lo", "link0"):
                    self._ip(side, "link", "set", device, "up")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        for process in self.holders.values():
            process.kill()
            process.wait()

    def _is_apart(self, process):
        try:
            return os.readlink(f"/proc/{process}/ns/net") != os.readlink("/proc/self/ns/net")
        except OSError:
            return False

    def _side(self, name):
        return "far" if name in self.far else "near"

    def _enter(self, side):
        return ["nsenter", f"--net=/proc/{self.holders[side].pid}/ns/net"]

    def _ip(self, side, *arguments):
        subprocess.run([*self._enter(side), "ip", *arguments], check=True, timeout=30)

    def address(self, name):
        return FAR if self._side(name) == "far" else NEAR

    def enter(self, name):
        return self._enter(self._side(name))

    def cut(self):
        """From now on nothing passes; the near side is told nothing of it."""
        self._ip("far", "link", "set", "link0", "down")

    def heal(self):
        self._ip("far", "link", "set", "link0", "up")
