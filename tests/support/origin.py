"""An HTTP origin on loopback that serves a folder, and misbehaves on request.

As a library:

    with Origin(folder) as origin:
        origin.fault("/model.gguf", flip_at=5_000_000, times=1)
        fetch(origin.url("model.gguf"))
        assert origin.requests("/model.gguf")

As a program it prints one line of JSON, {"port":N,"url":"http://127.0.0.1:N/"}, and serves until it is ended:

    python3 origin.py FOLDER [--port N] [--fault /model.gguf '{"flip_at":5000000,"times":1}']

Faults can be changed while it runs: PUT /-/faults/<path> with the JSON of a Fault (faults.py), DELETE the same, and GET
/-/requests for what was asked so far. Only the standard library is used; one thread serves one connection.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import secrets
import socket
import ssl
import threading
import urllib.parse

from faults import Fault, Faults, Record
from origin_handler import Answer, Handler, Server

SIGNED = "/signed"


class Origin:
    """Serves `folder` on `host` (any loopback address); `tls` is (certificate chain file, key file).

    `send_buffer_bytes` bounds what the kernel takes from us before the client has read it, where `sent_bytes` is to say
    what has been read."""

    def __init__(self, folder, host="127.0.0.1", port=0, tls=None, send_buffer_bytes=0):
        self.folder = pathlib.Path(folder).resolve()
        self.stopping = threading.Event()
        self.faults = Faults()
        self.record = Record()
        # Each is called with (method, split URL, headers) and gives an Answer, or None: the next one, at last the folder.
        self.routes = [self._answer_signed]
        self._signatures: dict[str, list] = {}  # key -> [path, GETs that are left or None]
        self._lock = threading.Lock()
        self._scheme = "https" if tls else "http"
        self._server = Server((host, port), Handler)
        self._server.origin = self
        self._server.send_buffer_bytes = send_buffer_bytes
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.tls = context
        self.host, self.port = self._server.server_address[:2]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.faults.release_all()
        self._server.shutdown()
        self._server.server_close()

    def url(self, name="", host=None):
        return f"{self._scheme}://{host or self.host}:{self.port}/{urllib.parse.quote(name)}"

    # ---- Faults

    def fault(self, path, **what):
        """Sets the fault of `path` ("/name"), replacing an earlier one."""
        self.faults.set(path, Fault(**what))

    def clear(self, path):
        self.faults.clear(path)

    def throttle(self, path, bytes_per_second):
        """Of each connection, beside whatever fault; 0: none."""
        self.faults.throttle(path, bytes_per_second)

    def wait_until_stalled(self, path, timeout_s=20):
        """Waits until a connection has reached the `stall_at` of `path`."""
        self.faults.wait_until_stalled(path, timeout_s)

    # ---- Links that expire

    def sign(self, path, uses=None, on=None):
        """From now on `path` is a redirect to /signed<path>?sig=KEY on the origin `on` (None: here), with a new key each
        time; a key is good for `uses` GETs (None: until expire()), then the link is a 403."""
        holder = on or self

        def redirect(_method, url, _headers):
            if urllib.parse.unquote(url.path) != path:
                return None
            return Answer(302, {"Location": holder.signed_url(path, uses)})

        self.routes.insert(0, redirect)

    def signed_url(self, path, uses=None):
        key = secrets.token_hex(8)
        with self._lock:
            self._signatures[key] = [path, uses]
        return f"{self.url(SIGNED.lstrip('/') + path)}?sig={key}"

    def expire(self):
        """Every link that was given out until now is a 403."""
        with self._lock:
            self._signatures.clear()

    def _answer_signed(self, method, url, _headers):
        if not url.path.startswith(SIGNED + "/"):
            return None
        path = urllib.parse.unquote(url.path)[len(SIGNED):]
        key = urllib.parse.parse_qs(url.query).get("sig", [""])[0]
        with self._lock:
            signed, uses = self._signatures.get(key, (None, None))
            if signed != path or uses == 0:
                return Answer(403, body=b"the link has expired\n")
            if uses is not None and method == "GET":
                self._signatures[key][1] -= 1
        return Answer(file=self.folder / path.lstrip("/"))

    # ---- The record

    def requests(self, path=None):
        return self.record.requests(path)

    def forget_requests(self):
        self.record.clear()

    def sent_bytes(self, path=None):
        return sum(request.sent_bytes for request in self.requests(path))

    def wait_until_sent(self, path, count, timeout_s=60):
        """Waits until so many bytes of `path` have been sent since the record began."""
        def sent(requests):
            return sum(request.sent_bytes for request in requests if request.path == path) >= count

        self.record.wait_until(sent, timeout_s, f"{count} bytes of {path} to be fetched")

    def wait_until_asked(self, path, times=1, timeout_s=60):
        """Waits until there were so many requests for `path`."""
        def asked(requests):
            return sum(request.path == path for request in requests) >= times

        self.record.wait_until(asked, timeout_s, f"request {times} for {path}")


def refused_port(host="127.0.0.1"):
    """A port on which nobody listens: it was ours a moment ago and has been given back."""
    with socket.create_server((host, 0)) as server:
        return server.getsockname()[1]


def main():
    parser = argparse.ArgumentParser(description="serve a folder on loopback, with faults")
    parser.add_argument("folder")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--fault", nargs=2, action="append", default=[], metavar=("PATH", "JSON"))
    arguments = parser.parse_args()
    with Origin(arguments.folder, arguments.host, arguments.port) as origin:
        for path, what in arguments.fault:
            origin.fault(path, **json.loads(what))
        print(json.dumps({"port": origin.port, "url": origin.url()}), flush=True)
        try:
            origin.stopping.wait()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
