"""A link between the coordinator and its workers that can be cut, and through which then, at will, only the workers are heard.

Half open, all that workers say passes, and of what the coordinator says on a stream its first message alone: the welcome,
without which a worker says nothing. So the link reads the frames of HTTP/2 (RFC 9113, 4.1) and in them gRPC's messages, each
after a flag and its length. What belongs to HTTP/2 passes, and neither side notices.
"""
import socket
import threading

from cluster import Loopback

OPEN, HALF_OPEN, CUT = "open", "half open", "cut"
FRAME_HEADER_BYTES, MESSAGE_HEADER_BYTES = 9, 5
DATA, PADDED = 0, 0x8


class FirstMessages:
    """Of the bytes that a server sends on one connection, those of all streams' first messages and of no other."""

    def __init__(self, withheld):
        self.withheld = withheld  # What did not pass is added to it.
        self.rest = b""
        self.to_pass = {}  # By stream: bytes of its first message that are still to come.

    def take(self, data):
        """The bytes that pass, of `data` and of what came before."""
        self.rest += data
        passed = b""
        while len(self.rest) >= FRAME_HEADER_BYTES:
            end = FRAME_HEADER_BYTES + int.from_bytes(self.rest[:3], "big")
            if len(self.rest) < end:
                break
            frame, self.rest = self.rest[:end], self.rest[end:]
            passed += self._filtered(frame)
        return passed

    def _filtered(self, frame):
        if frame[3] != DATA:
            return frame
        assert not frame[4] & PADDED, "gRPC pads no frame"
        stream, payload = frame[5:FRAME_HEADER_BYTES], frame[FRAME_HEADER_BYTES:]
        if not payload:
            return frame
        assert stream in self.to_pass or len(payload) >= MESSAGE_HEADER_BYTES, "a message's header comes whole"
        length = int.from_bytes(payload[1:MESSAGE_HEADER_BYTES], "big")
        left = self.to_pass.setdefault(stream, MESSAGE_HEADER_BYTES + length)
        passed = payload[:left]
        self.to_pass[stream] -= len(passed)
        self.withheld.extend(payload[len(passed):])
        return len(passed).to_bytes(3, "big") + bytes([DATA, 0]) + stream + passed if passed else b""


class HalfLink(Loopback):
    """For cluster.Cluster, open at first. A context manager."""

    def __enter__(self):
        self.lock = threading.Lock()  # Of the state and the sockets.
        self.state, self.sockets, self.threads = OPEN, [], []
        self.withheld = bytearray()
        self.broken = None  # What this link's own code failed of.
        self.coordinator = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self._start(self._accept)
        return self

    def __exit__(self, kind, value, trace):
        self._become(CUT)
        self.listener.shutdown(socket.SHUT_RDWR)
        self.threads[0].join(10)  # Which starts the others.
        for thread in self.threads:
            thread.join(10)
        self.listener.close()
        if self.broken and not value:
            raise self.broken

    def worker_link(self, address):
        host, port = address.rsplit(":", 1)
        self.coordinator = (host, int(port))
        return "{}:{}".format(*self.listener.getsockname())

    def cut(self):
        """From now on nothing passes: connections end, and new ones at once."""
        self._become(CUT)

    def open_half(self):
        """From now on workers connect, are welcomed and heard, and hear nothing else."""
        self._become(HALF_OPEN)

    def open(self):
        self._become(OPEN)

    def was_withheld(self, text):
        """Whether the coordinator said it to a worker that does not hear."""
        return text.encode() in self.withheld

    def _become(self, state):
        with self.lock:
            self.state, sockets, self.sockets = state, self.sockets, []
        for each in sockets:
            self._end(each)

    def _end(self, connection):
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # Its other end is gone.

    def _start(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                worker, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                if self.state == CUT:
                    worker.close()
                    continue
                try:
                    coordinator = socket.create_connection(self.coordinator, 5)
                except OSError:
                    worker.close()
                    continue
                coordinator.settimeout(None)
                self.sockets += [worker, coordinator]
                first = FirstMessages(self.withheld)
                self._start(self._serve, worker, coordinator, first.take if self.state == HALF_OPEN else lambda data: data)

    def _serve(self, worker, coordinator, passing):
        with worker, coordinator:
            back = threading.Thread(target=self._pass_on, args=(coordinator, worker, passing), daemon=True)
            back.start()
            self._pass_on(worker, coordinator, lambda data: data)
            back.join()

    def _pass_on(self, source, target, passing):
        try:
            while data := source.recv(1 << 16):
                target.sendall(passing(data))
        except OSError:
            pass  # One of the two is gone, and so is the other below.
        except AssertionError as error:
            self.broken = error
        finally:
            self._end(source)
            self._end(target)
