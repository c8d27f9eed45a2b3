"""An HTTP origin on loopback that serves a folder, and misbehaves on request.

As a library:

    with Origin(folder) as origin:
        origin.fault("/model.gguf", flip_at=5_000_000, times=1)
        fetch(origin.url("model.gguf"))
        assert origin.requests("/model.gguf")

As a program it prints one line of JSON, {"port":N,"url":"http://127.0.0.1:N/"}, and serves until it is ended:

    python3 origin.py FOLDER [--port N] [--fault /model.gguf '{"flip_at":5000000,"times":1}']

Faults can be changed while it runs: PUT /-/faults/<path> with the JSON of a Fault, DELETE the same, and GET /-/requests
for what was asked so far. Only the standard library is used; one thread serves one connection.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import hashlib
import http.server
import json
import os
import pathlib
import re
import socket
import ssl
import struct
import threading
import time
import urllib.parse

CHUNK_BYTES = 256 * 1024


@dataclasses.dataclass
class Fault:
    """What to do wrong for one path. Offsets are offsets in the file, whatever range is asked for."""

    times: int | None = None  # how often it applies; None: always
    status: int | None = None  # answer this status instead of the file
    retry_after_s: int | None = None  # with `status`
    redirect: str | None = None  # answer 302 to this path or URL; to the path itself is a loop
    html: bool = False  # answer 200 with a page of HTML, as captive portals do
    gzip: bool = False  # Content-Encoding: gzip, whatever was asked for
    chunked: bool = False  # no Content-Length, no ranges
    ignore_range: bool = False  # answer 200 with the whole file
    content_length_off_by: int = 0  # announce this many bytes more (or, negative, fewer) than are sent
    cut_at: int | None = None  # reset the connection at this offset
    stall_at: int | None = None  # send nothing more from this offset on, until released
    flip_at: int | None = None  # serve the byte at this offset with its bits inverted
    throttle_bytes_per_second: int = 0  # for each connection
    etag: str | None = None  # another one than the file's


@dataclasses.dataclass(frozen=True)
class Request:
    """One request as it was answered. `first` and `last` are the byte positions that were promised."""

    method: str
    path: str
    range: str | None
    status: int
    first: int
    last: int


class Origin:
    """Serves `folder` on `host` (any loopback address); `tls` is (certificate chain file, key file)."""

    def __init__(self, folder, host="127.0.0.1", port=0, tls=None):
        self.folder = pathlib.Path(folder).resolve()
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._faults: dict[str, Fault] = {}
        self._releases: dict[str, threading.Event] = {}
        self._requests: list[Request] = []
        self._stalled = threading.Condition(self._lock)
        self._stalled_paths: list[str] = []
        self._scheme = "https" if tls else "http"
        self._server = _Server((host, port), _Handler)
        self._server.origin = self
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
        with self._lock:
            for release in self._releases.values():
                release.set()
        self._server.shutdown()
        self._server.server_close()

    def url(self, name="", host=None):
        return f"{self._scheme}://{host or self.host}:{self.port}/{urllib.parse.quote(name)}"

    def fault(self, path, **what):
        """Sets the fault of `path` ("/name"), replacing an earlier one."""
        with self._lock:
            self._faults[path] = Fault(**what)
            self._releases[path] = threading.Event()

    def clear(self, path):
        with self._lock:
            self._faults.pop(path, None)
            release = self._releases.pop(path, None)
        if release:
            release.set()

    def requests(self, path=None):
        with self._lock:
            return [request for request in self._requests if path in (None, request.path)]

    def forget_requests(self):
        with self._lock:
            self._requests.clear()

    def wait_until_stalled(self, path, timeout_s=20):
        """Waits until a connection has reached the `stall_at` of `path`."""
        with self._stalled:
            if not self._stalled.wait_for(lambda: path in self._stalled_paths, timeout_s):
                raise TimeoutError(f"nobody fetched {path} up to its stall within {timeout_s} s")

    # ---- For the handler

    def take_fault(self, path):
        """The fault to apply to a request for `path`; one that counts what it spoils is counted where it does so."""
        with self._lock:
            fault = self._faults.get(path)
            if fault is None or fault.times == 0:
                return Fault()
            if fault.flip_at is None and fault.cut_at is None and fault.stall_at is None:
                self._spend(fault)
            return dataclasses.replace(fault)

    def spend_fault(self, path):
        """True where the fault of `path` may still be applied; it then counts as applied once more."""
        with self._lock:
            fault = self._faults.get(path)
            if fault is None or fault.times == 0:
                return False
            self._spend(fault)
            return True

    @staticmethod
    def _spend(fault):
        if fault.times is not None:
            fault.times -= 1

    def stall(self, path):
        with self._stalled:
            self._stalled_paths.append(path)
            self._stalled.notify_all()
            release = self._releases.get(path)
        if release:
            release.wait()

    def record(self, request):
        with self._lock:
            self._requests.append(request)


def _etag(stat):
    identity = f"{stat.st_ino}-{stat.st_size}-{stat.st_mtime_ns}"
    return '"' + hashlib.sha256(identity.encode()).hexdigest()[:32] + '"'


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    origin: Origin
    tls: ssl.SSLContext | None = None

    def finish_request(self, request, client_address):
        # The handshake belongs to the connection's own thread: a client that is slow to speak delays nobody.
        if not self.tls:
            super().finish_request(request, client_address)
            return
        with self.tls.wrap_socket(request, server_side=True) as wrapped:
            super().finish_request(wrapped, client_address)

    def handle_error(self, request, client_address):
        pass  # a client that goes away, or distrusts our certificate, is an ordinary event here


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format, *args):  # noqa: A002 (the base class names it so)
        pass

    # ---- The control interface

    def do_PUT(self):
        path = self._control_path()
        if path is None:
            return self._small_answer(405, b"only faults can be put\n")
        try:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self.server.origin.fault(path, **body)
        except (ValueError, TypeError) as error:
            return self._small_answer(400, f"not a fault: {error}\n".encode())
        return self._small_answer(204, b"")

    def do_DELETE(self):
        path = self._control_path()
        if path is None:
            return self._small_answer(405, b"only faults can be deleted\n")
        self.server.origin.clear(path)
        return self._small_answer(204, b"")

    def _control_path(self):
        prefix = "/-/faults"
        return self.path[len(prefix):] if self.path.startswith(prefix + "/") else None

    # ---- Files

    def do_HEAD(self):
        self._serve()

    def do_GET(self):
        if self.path == "/-/requests":
            known = [dataclasses.asdict(request) for request in self.server.origin.requests()]
            return self._small_answer(200, json.dumps(known).encode() + b"\n", "application/json")
        return self._serve()

    def _serve(self):
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        fault = self.server.origin.take_fault(path)
        if fault.redirect is not None:
            return self._small_answer(302, b"", headers={"Location": fault.redirect})
        if fault.status is not None:
            headers = {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
            return self._small_answer(fault.status, b"no luck\n", headers=headers)
        if fault.html:
            return self._small_answer(200, b"<!DOCTYPE html><title>Welcome to our network</title>\n" * 40, "text/html")
        file = (self.server.origin.folder / path.lstrip("/")).resolve()
        if not file.is_relative_to(self.server.origin.folder) or not file.is_file():
            return self._small_answer(404, b"there is no such file\n")
        with open(file, "rb") as opened:
            return self._serve_file(path, opened, fault)

    def _serve_file(self, path, file, fault):
        stat = os.fstat(file.fileno())
        etag = fault.etag or _etag(stat)
        if fault.gzip:
            body = gzip.compress(file.read(), compresslevel=1)
            return self._small_answer(200, body, headers={"Content-Encoding": "gzip", "ETag": etag})
        ranges = None if fault.chunked or fault.ignore_range else self._asked_range(stat.st_size, etag)
        if ranges == "unsatisfiable":
            return self._small_answer(416, b"", headers={"Content-Range": f"bytes */{stat.st_size}"})
        first, last = ranges or (0, stat.st_size - 1)
        status = 206 if ranges else 200
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("ETag", etag)
        self.send_header("Last-Modified", self.date_time_string(int(stat.st_mtime)))
        if ranges:
            self.send_header("Content-Range", f"bytes {first}-{last}/{stat.st_size}")
        if fault.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(last - first + 1 + fault.content_length_off_by))
        if not fault.chunked and not fault.ignore_range:
            self.send_header("Accept-Ranges", "bytes")
        # On record before the client can know of it.
        self._record(status, first, last)
        self.end_headers()
        if self.command == "GET":
            self._send_body(path, file, first, last, fault)
        return None

    def _asked_range(self, size, etag):
        """(first, last), None for the whole file, or "unsatisfiable". One range only, as RFC 9110 section 14 has it."""
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", "").strip())
        if not match or match.groups() == ("", ""):
            return None
        if self.headers.get("If-Range", etag) not in (etag,):
            return None
        first, last = match.groups()
        if first == "":
            return (max(0, size - int(last)), size - 1) if int(last) else "unsatisfiable"
        if int(first) >= size or (last and int(last) < int(first)):
            return "unsatisfiable"
        return int(first), min(int(last), size - 1) if last else size - 1

    def _send_body(self, path, file, first, last, fault):
        origin = self.server.origin
        offset = first
        started = time.monotonic()
        stops = sorted(stop for stop in (fault.cut_at, fault.stall_at) if stop is not None and first <= stop <= last)
        step = CHUNK_BYTES
        if fault.throttle_bytes_per_second:
            step = max(1, min(step, fault.throttle_bytes_per_second // 20))
        while offset <= last and not origin.stopping.is_set():
            if stops and offset == stops[0]:
                stops.pop(0)
                if origin.spend_fault(path):
                    if offset == fault.cut_at:
                        return self._reset()
                    origin.stall(path)
            end = min([offset + step, last + 1, *stops])
            data = bytearray(os.pread(file.fileno(), end - offset, offset))
            if not data:
                return self._reset()  # the file shrank; there is no honest way on
            if fault.flip_at is not None and offset <= fault.flip_at < offset + len(data) and origin.spend_fault(path):
                data[fault.flip_at - offset] ^= 0xFF
            self._write(data, fault)
            offset += len(data)
            if fault.throttle_bytes_per_second:
                due = started + (offset - first) / fault.throttle_bytes_per_second
                origin.stopping.wait(max(0.0, due - time.monotonic()))
        if fault.chunked:
            self.wfile.write(b"0\r\n\r\n")
        if fault.content_length_off_by:
            self.close_connection = True
        return None

    def _write(self, data, fault):
        if fault.chunked:
            self.wfile.write(b"%x\r\n" % len(data))
        self.wfile.write(data)
        if fault.chunked:
            self.wfile.write(b"\r\n")

    def _reset(self):
        # SO_LINGER of 0 s makes close() send RST: what a broken path looks like, as opposed to an orderly end.
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _small_answer(self, status, body, content_type="text/plain", headers=None):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self._record(status, 0, len(body) - 1)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _record(self, status, first, last):
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        if not path.startswith("/-/"):
            self.server.origin.record(Request(self.command, path, self.headers.get("Range"), status, first, last))


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
