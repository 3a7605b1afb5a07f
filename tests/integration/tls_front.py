"""TLS in front of a server that speaks none, as a proxy does it; and certificates."""
import select
import socket
import ssl
import subprocess
import threading


def make_certificate(folder, name):
    """NAME.crt and NAME.key, an authority of its own, good for 127.0.0.1. Gives both paths."""
    paths = folder / f"{name}.crt", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-out", paths[0], "-keyout", paths[1]],
                   check=True, capture_output=True, timeout=60)
    return paths


class TlsFront:
    """Listens on a free port of this machine, at `address`, until it is closed. `show` says which certificate new connections see;
    before, they are closed."""

    def __init__(self, host, port):
        self.behind = host, port
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"https://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def show(self, certificate, key):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.context = context

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            connection.settimeout(60)
            with self.context.wrap_socket(connection, server_side=True) as front, socket.create_connection(self.behind, 60) as back:
                self.relay(front, back)
        except OSError:  # ssl.SSLError too: whoever does not trust the certificate hangs up
            connection.close()

    @staticmethod
    def relay(front, back):
        """Until one of them ends, or says nothing for a minute."""
        while True:
            ready = [front] if front.pending() else select.select([front, back], [], [], 60)[0]
            for source in ready:
                data = source.recv(65536)
                if not data:
                    return
                (back if source is front else front).sendall(data)
            if not ready:
                return
