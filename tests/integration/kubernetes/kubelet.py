"""Nodes whose pods run: a small kubelet, which starts what a pod's container says as a process of this machine.

What it does as a real one: pods come from the API server by the name of their node; arguments, environment, secrets, claims,
volumes, user and read-only root are the pod's own; each pod has its network address and process numbers; a pod that is deleted
gets SIGTERM and, after its grace, SIGKILL; its end is reported with the exit code; the node's heartbeat is its status. What it
does not: images (the only one there is, IMAGE, is the folder of our programs), limits of resources, probes, init containers.
"""
import base64
import collections
import ctypes
import http.client
import itertools
import json
import os
import re
import signal
import ssl
import subprocess
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

from control_plane import wait_until
from cluster import BIN  # control_plane knows its folder

IMAGE = "ijepa-worker:test"
ENTRYPOINT = "/usr/local/bin/ijepa-worker"
GATEWAY = "10.88.0.1"
BEAT_SECONDS = 1.0
LOOK_SECONDS = 0.1
CLONE_NEWNET = 0x40000000
MEGABYTES = {"Mi": 1, "Gi": 1024, "Ti": 1 << 20}


def ip(*arguments):
    subprocess.run(["ip", *map(str, arguments)], check=True, timeout=30, capture_output=True)


class PodNetwork:
    """A network of this process and its children alone, which goes with the last of them; pods are at a bridge in it."""

    def __init__(self):
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        self.numbers = itertools.count(2)
        ip("link", "set", "lo", "up")
        ip("link", "add", "pods", "type", "bridge")
        ip("address", "add", f"{GATEWAY}/16", "dev", "pods")
        ip("link", "set", "pods", "up")

    def plug(self, process):
        """Gives the network namespace of the process an address, and returns it."""
        number = next(self.numbers)
        address = f"10.88.{number // 250}.{number % 250 + 2}"
        ip("link", "add", f"pod{number}", "type", "veth", "peer", "name", "eth0", "netns", process)
        ip("link", "set", f"pod{number}", "master", "pods", "up")
        inside = f"ip link set lo up && ip address add {address}/16 dev eth0 && ip link set eth0 up && ip route add default via {GATEWAY}"
        subprocess.run(["nsenter", f"--net=/proc/{process}/ns/net", "sh", "-c", inside], check=True, timeout=30)
        return address


class Api:
    """Calls of the API server as an administrator. Of one thread."""

    def __init__(self, control):
        self.context = ssl.create_default_context(cafile=control.folder / "ca.crt")
        self.context.load_cert_chain(control.folder / "admin.crt", control.folder / "admin.key")
        self.port = control.port
        self.connection = None

    def call(self, method, path, body=None):
        """(HTTP status, the answer). OSError or HTTPException when there is none."""
        kind = "application/strategic-merge-patch+json" if method == "PATCH" else "application/json"
        try:
            if self.connection is None:
                self.connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=5, context=self.context)
            self.connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": kind})
            answer = self.connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            self.connection = None
            raise


def now():
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def children_of(pid):
    """Process ids of the process and all below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in children:
            found += children_of(int(child))
    return found


def library_folders():
    """Where the programs have libraries that are not the system's."""
    listed = subprocess.run(["ldd", BIN / "ijepa-rank"], capture_output=True, text=True, timeout=60, check=True).stdout
    paths = re.findall(r"=> (/\S+)", listed)
    return sorted({str(Path(path).parent) for path in paths if not path.startswith(("/usr/", "/lib"))})


class Container:
    """The one of a pod that was started."""

    def __init__(self, process, address):
        self.process, self.address = process, address
        self.kill_at = None
        self.out_of_memory = False

    def pids(self):
        return children_of(self.process.pid)

    def signal(self, number):
        # The first process in the pod's namespace; what started it is not the container's.
        for pid in self.pids()[1:2]:
            os.kill(pid, number)


class Kubelet:
    """Of one node. `network`: a PodNetwork. Starts at once; a thread, until close()."""

    libraries = None

    def __init__(self, control, name, network):
        self.name, self.network, self.folder = name, network, control.folder / f"kubelet-{name}"
        self.folder.mkdir()
        Kubelet.libraries = Kubelet.libraries or library_folders()
        self.api = Api(control)
        self.containers = {}
        # By the uid of the pod: why it does not start.
        self.waiting = collections.defaultdict(str)
        self.next_beat = 0.0
        self.round = threading.Lock()
        self.up, self.closed = True, threading.Event()
        # Its pods end with this thread at the latest (pdeathsig), so it waits rather than ends while the kubelet is down.
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def stop(self):
        """As if it was killed: its pods run on, and nobody looks after them."""
        with self.round:
            self.up = False

    def lose(self):
        """As if its machine lost power."""
        self.stop()
        self._kill_all()
        self.containers.clear()

    def start(self):
        with self.round:
            self.up = True

    def kill_for_memory(self, pod):
        """As the kernel does when a container is at its limit."""
        container = self.containers[pod["metadata"]["uid"]]
        container.out_of_memory = True
        container.signal(signal.SIGKILL)

    def close(self):
        self.closed.set()
        self.thread.join(30)
        self._kill_all()

    def pids(self):
        """Of all processes in its pods."""
        return [pid for container in list(self.containers.values()) for pid in container.pids()[1:]]

    def logs(self):
        return "".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in self.folder.glob("*.log"))

    def _kill_all(self):
        for container in self.containers.values():
            container.signal(signal.SIGKILL)
            container.process.wait(10)

    def _run(self):
        while not self.closed.wait(LOOK_SECONDS):
            with self.round:
                if not self.up:
                    continue
                try:
                    self._beat()
                    self._look()
                except (OSError, http.client.HTTPException, ValueError):
                    continue  # The API server is away.

    def _beat(self):
        if time.monotonic() < self.next_beat:
            return
        self.next_beat = time.monotonic() + BEAT_SECONDS
        room = {"cpu": "8", "memory": "16Gi", "pods": "20", "nvidia.com/gpu": "8"}
        status = {"allocatable": room, "capacity": room, "conditions": [
            {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "it runs", "lastHeartbeatTime": now()}]}
        code, _ = self.api.call("PATCH", f"/api/v1/nodes/{self.name}/status", {"status": status})
        if code == 404:
            self.api.call("POST", "/api/v1/nodes", {"metadata": {"name": self.name, "labels": {"kubernetes.io/hostname": self.name}},
                                                    "status": status})

    def _look(self):
        _, listed = self.api.call("GET", f"/api/v1/pods?fieldSelector=spec.nodeName={self.name}")
        pods = {pod["metadata"]["uid"]: pod for pod in listed["items"]}
        for uid in [uid for uid in self.containers if uid not in pods]:
            self.containers.pop(uid).signal(signal.SIGKILL)  # deleted by force
        for uid, pod in pods.items():
            self._sync(uid, pod)

    def _sync(self, uid, pod):
        deleted = "deletionTimestamp" in pod["metadata"]
        ended = pod["status"].get("phase") in ("Succeeded", "Failed")
        container = self.containers.get(uid)
        if container is not None:
            if deleted:
                self._stop(container, pod)
            if container.process.poll() is None:
                if not deleted and pod["status"].get("phase") == "Pending":
                    self._report(pod, "Running", {"running": {"startedAt": now()}}, startTime=now(), podIP=container.address,
                                 podIPs=[{"ip": container.address}])
                return
            self._report_end(pod, container.process.returncode, "OOMKilled" if container.out_of_memory else "Error")
            del self.containers[uid]
        elif not deleted and pod["status"].get("phase") == "Pending":
            self._start(uid, pod)
        elif not ended:
            self._report_end(pod, -signal.SIGKILL, "ContainerStatusUnknown")  # lost with the machine, or never begun
        elif deleted:
            self.api.call("DELETE", self._path(pod), {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0,
                                                      "preconditions": {"uid": uid}})

    @staticmethod
    def _stop(container, pod):
        if container.kill_at is None:
            container.kill_at = time.monotonic() + pod["metadata"].get("deletionGracePeriodSeconds", 30)
            container.signal(signal.SIGTERM)
        elif time.monotonic() > container.kill_at:
            container.signal(signal.SIGKILL)

    @staticmethod
    def _path(pod):
        return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"

    def _report(self, pod, phase, state, **more):
        container = pod["spec"]["containers"][0]
        ready = "True" if phase == "Running" else "False"
        status = {"phase": phase, **more, "conditions": [{"type": kind, "status": ready} for kind in ("Ready", "ContainersReady")],
                  "containerStatuses": [{"name": container["name"], "image": container["image"], "imageID": "", "restartCount": 0,
                                         "ready": phase == "Running", "state": state}]}
        self.api.call("PATCH", f"{self._path(pod)}/status", {"status": status})

    def _report_end(self, pod, returned, failure):
        code = returned if returned >= 0 else 128 - returned
        ended = {"exitCode": code, "reason": failure if code else "Completed", "startedAt": now(), "finishedAt": now()}
        self._report(pod, "Failed" if code else "Succeeded", {"terminated": ended})

    def _start(self, uid, pod):
        container = pod["spec"]["containers"][0]
        if container["image"] != IMAGE:
            reason, message = "ImagePullBackOff", f"Back-off pulling image \"{container['image']}\""
        else:
            try:
                environment = self._environment(pod)
                self.containers[uid] = self._run_container(pod, environment)
                return
            except KeyError as error:
                reason, message = "CreateContainerConfigError", error.args[0]
        if self.waiting[uid] != reason:
            self.waiting[uid] = reason
            self._report(pod, "Pending", {"waiting": {"reason": reason, "message": message}})

    def _environment(self, pod):
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        for entry in pod["spec"]["containers"][0].get("env", []):
            source = entry.get("valueFrom", {})
            value = entry.get("value", "")
            if "fieldRef" in source:
                path = source["fieldRef"]["fieldPath"]
                entry_of = re.fullmatch(r"metadata\.(annotations|labels)\['(.*)'\]", path)
                value = pod["metadata"][entry_of[1]][entry_of[2]] if entry_of else pod["spec"][path.split(".")[1]]
            if "secretKeyRef" in source:
                value = self._secret(pod, source["secretKeyRef"]["name"])[source["secretKeyRef"]["key"]].decode()
            environment[entry["name"]] = value
        return environment

    def _secret(self, pod, name):
        code, secret = self.api.call("GET", f"/api/v1/namespaces/{pod['metadata']['namespace']}/secrets/{name}")
        if code != 200:
            raise KeyError(f'secret "{name}" not found')
        return {key: base64.b64decode(value) for key, value in secret["data"].items()}

    def _mounts(self, pod, folder):
        """Lines for pod.sh."""
        group = pod["spec"].get("securityContext", {}).get("fsGroup", 0)
        sources = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        lines = [f"read {BIN} /usr/local/bin", *(f"read {path} {path}" for path in Kubelet.libraries)]
        for mount in sorted(pod["spec"]["containers"][0]["volumeMounts"], key=lambda mount: mount["mountPath"].count("/")):
            volume = sources[mount["name"]]
            kind = "read" if mount.get("readOnly") else "write"
            if volume.get("emptyDir", {}).get("medium") == "Memory":
                kind, source = "memory", self._megabytes(volume["emptyDir"].get("sizeLimit", "64Mi"))
            elif "hostPath" in volume:
                source = volume["hostPath"]["path"]
            elif "persistentVolumeClaim" in volume:
                source = self._claimed(pod, volume["persistentVolumeClaim"]["claimName"])
                self._give(source, group)
            else:
                source = folder / mount["name"]
                source.mkdir(exist_ok=True)
                if "secret" in volume:
                    for key, value in self._secret(pod, volume["secret"]["secretName"]).items():
                        (source / key).write_bytes(value)
                self._give(source, group)
            lines.append(f"{kind} {source} {mount['mountPath']}")
        return lines

    @staticmethod
    def _megabytes(quantity):
        return f"{int(quantity[:-2]) * MEGABYTES[quantity[-2:]]}m"

    @staticmethod
    def _give(path, group):
        os.chown(path, -1, group)
        os.chmod(path, 0o2775)

    def _claimed(self, pod, claim):
        _, found = self.api.call("GET", f"/api/v1/namespaces/{pod['metadata']['namespace']}/persistentvolumeclaims/{claim}")
        _, volume = self.api.call("GET", f"/api/v1/persistentvolumes/{found['spec']['volumeName']}")
        return volume["spec"]["hostPath"]["path"]

    def _run_container(self, pod, environment):
        container, context = pod["spec"]["containers"][0], pod["spec"]["securityContext"]
        name = pod["metadata"]["name"]
        (self.folder / name / "root").mkdir(parents=True, exist_ok=True)
        arguments = [re.sub(r"\$\((\w+)\)", lambda found: environment[found[1]], word)
                     for word in [*container.get("command", [ENTRYPOINT]), *container.get("args", [])]]
        mounts = self._mounts(pod, self.folder / name)
        with open(self.folder / f"{name}.log", "ab") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child",
                 Path(__file__).with_name("pod.sh"), self.folder / name / "root", str(context["runAsUser"]), str(context["runAsGroup"]),
                 *arguments], stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, text=True)
        here = os.readlink("/proc/thread-self/ns/net")
        wait_until(lambda: os.readlink(f"/proc/{process.pid}/ns/net") != here, 60, f"{name} has a network")
        address = self.network.plug(process.pid)
        process.stdin.write("\n".join([*mounts, "", ""]))
        process.stdin.close()
        return Container(process, address)
