"""One connection of an origin (origin.py): a request is looked at, and answered well or as the path's fault says."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import http.server
import itertools
import json
import os
import pathlib
import random
import re
import socket
import ssl
import struct
import time
import typing
import urllib.parse

from faults import Fault, Request

if typing.TYPE_CHECKING:
    from origin import Origin

CHUNK_BYTES = 256 * 1024
PAGE = b"<!DOCTYPE html><title>Welcome to our network</title>\n" * 40
CONTROL = "/-/"


@dataclasses.dataclass
class Answer:
    """What a route (Origin.routes) wants to be answered: a file with ranges and all, or a small body."""

    status: int = 200
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""
    file: pathlib.Path | None = None


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    origin: Origin
    tls: ssl.SSLContext | None = None
    send_buffer_bytes = 0  # 0: the kernel's own

    def process_request(self, request, client_address):
        self.origin.record.connections(+1)
        super().process_request(request, client_address)

    def process_request_thread(self, request, client_address):
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.origin.record.connections(-1)

    def finish_request(self, request, client_address):
        if self.send_buffer_bytes:
            request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.send_buffer_bytes)
        # The handshake belongs to the connection's own thread: a client that is slow to speak delays nobody.
        if not self.tls:
            super().finish_request(request, client_address)
            return
        with self.tls.wrap_socket(request, server_side=True) as wrapped:
            super().finish_request(wrapped, client_address)

    def handle_error(self, request, client_address):
        pass  # a client that goes away, or distrusts our certificate, is an ordinary event here


def etag_of(stat):
    identity = f"{stat.st_ino}-{stat.st_size}-{stat.st_mtime_ns}"
    return '"' + hashlib.sha256(identity.encode()).hexdigest()[:32] + '"'


def endless_bytes(file):
    """The file, where there is one, and then noise for ever."""
    while file is not None and (data := file.read(CHUNK_BYTES)):
        yield data
    noise = random.Random(1).randbytes(CHUNK_BYTES)
    yield from itertools.repeat(noise)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

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
        prefix = CONTROL + "faults"
        return self.path[len(prefix):] if self.path.startswith(prefix + "/") else None

    # ---- Files

    def do_HEAD(self):
        self._serve()

    def do_GET(self):
        if self.path == CONTROL + "requests":
            known = [dataclasses.asdict(request) for request in self.server.origin.requests()]
            return self._small_answer(200, json.dumps(known).encode() + b"\n", "application/json")
        return self._serve()

    def _serve(self):
        origin = self.server.origin
        url = urllib.parse.urlsplit(self.path)
        self.asked_path, self.query = urllib.parse.unquote(url.path), url.query
        fault = origin.faults.take(self.asked_path, self.command, self._asked_first())
        if fault.redirect is not None:
            return self._small_answer(302, b"", headers={"Location": fault.redirect})
        if fault.status is not None:
            return self._refuse(fault)
        if fault.html:
            return self._small_answer(200, PAGE, "text/html")
        for route in origin.routes:
            answer = route(self.command, url, self.headers)
            if answer is not None:
                return self._answer(answer, fault)
        return self._answer(Answer(file=self._file_of(self.asked_path)), fault)

    def _file_of(self, path):
        folder = self.server.origin.folder
        file = (folder / path.lstrip("/")).resolve()
        return file if file.is_relative_to(folder) else folder / "outside"

    def _answer(self, answer, fault):
        if answer.file is None:
            return self._small_answer(answer.status, answer.body, headers=answer.headers)
        if not answer.file.is_file():
            return self._small_answer(404, b"there is no such file\n")
        with open(answer.file, "rb") as opened:
            return self._serve_file(opened, fault, answer.headers)

    def _refuse(self, fault):
        headers = {"Retry-After": fault.retry_after, "RateLimit": fault.rate_limit}
        told = {name: str(value) for name, value in headers.items() if value is not None}
        return self._small_answer(fault.status, b"no luck\n", headers=told)

    def _serve_file(self, file, fault, headers):
        stat = os.fstat(file.fileno())
        etag, date = fault.etag or etag_of(stat), self.date_time_string(int(stat.st_mtime))
        validators = {} if fault.no_validators else {"ETag": etag, "Last-Modified": date}
        if fault.gzip:
            body = gzip.compress(file.read(), compresslevel=1)
            return self._small_answer(200, body, headers={"Content-Encoding": "gzip"} | validators)
        if fault.endless:
            return self._serve_endless(file if fault.endless == "gguf" else None, fault, validators)
        known = None if fault.ignore_if_range else set(validators.values())
        ranges = None if fault.chunked or fault.ignore_range else self._asked_range(stat.st_size, known)
        if ranges == "unsatisfiable":
            return self._small_answer(416, b"", headers={"Content-Range": f"bytes */{stat.st_size}"})
        first, last = ranges or (0, stat.st_size - 1)
        told = {"Content-Type": "application/octet-stream"} | validators | headers
        if ranges:
            told_first, told_total = first + fault.content_range_first_off_by, stat.st_size + fault.content_range_total_off_by
            told["Content-Range"] = f"bytes {told_first}-{told_first + last - first}/{told_total}"
        if fault.chunked:
            told["Transfer-Encoding"] = "chunked"
        else:
            told["Content-Length"] = str(last - first + 1 + fault.content_length_off_by)
            if not fault.ignore_range:
                told["Accept-Ranges"] = "bytes"
        request = self._head(206 if ranges else 200, told, first, last)
        if self.command == "GET":
            self._send_body(request, file, first, last, fault)
        return None

    def _serve_endless(self, file, fault, validators):
        request = self._head(200, {"Transfer-Encoding": "chunked"} | validators, 0, -1)
        if self.command == "GET":
            rate = fault.throttle_bytes_per_second
            for data in endless_bytes(file):
                if self.server.origin.stopping.wait(len(data) / rate if rate else 0):
                    return self._reset()
                self._write(request, data, Fault(chunked=True))
        return None

    def _asked_first(self):
        match = re.match(r"bytes=(\d+)-", self.headers.get("Range", "").strip())
        return int(match.group(1)) if match else 0

    def _asked_range(self, size, validators):
        """(first, last), None for the whole file, or "unsatisfiable". One range only, as RFC 9110 section 14 has it.
        `validators` are what If-Range may name; None: it is not looked at."""
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", "").strip())
        if not match or match.groups() == ("", ""):
            return None
        condition = self.headers.get("If-Range")
        if None not in (condition, validators) and condition not in validators:
            return None
        first, last = match.groups()
        if first == "":
            return (max(0, size - int(last)), size - 1) if int(last) else "unsatisfiable"
        if int(first) >= size or (last and int(last) < int(first)):
            return "unsatisfiable"
        return int(first), min(int(last), size - 1) if last else size - 1

    # ---- Bodies

    def _send_body(self, request, file, first, last, fault):
        offset, started = first, time.monotonic()
        rate = fault.throttle_bytes_per_second
        if fault.cut_after is not None:
            fault.cut_at = first + fault.cut_after
        ends = {fault.cut_at, fault.close_at, fault.stall_at} - {None}
        stops = sorted(stop for stop in ends if first <= stop <= last)
        step = max(1, min(CHUNK_BYTES, rate // 20)) if rate else CHUNK_BYTES
        while offset <= last and not self.server.origin.stopping.is_set():
            if stops and offset == stops[0]:
                stops.pop(0)
                if self._stop_here(offset, fault):
                    return
            data = bytearray(os.pread(file.fileno(), min([offset + step, last + 1, *stops]) - offset, offset))
            if not data:
                return self._reset()  # the file shrank; there is no honest way on
            self._flip(data, offset, fault)
            self._write(request, data, fault)
            offset += len(data)
            if rate:
                due = started + (offset - first) / rate
                self.server.origin.stopping.wait(max(0.0, due - time.monotonic()))
        if fault.chunked:
            self.wfile.write(b"0\r\n\r\n")
        if fault.content_length_off_by:
            self.close_connection = True

    def _stop_here(self, offset, fault):
        """Whether the connection ends at this offset; a stall is waited out."""
        faults = self.server.origin.faults
        if not faults.spend(self.asked_path):
            return False
        if offset == fault.cut_at:
            self._reset()
        elif offset == fault.close_at:
            self.close_connection = True
        else:
            faults.stall(self.asked_path)
        return offset in (fault.cut_at, fault.close_at)

    def _flip(self, data, offset, fault):
        at = fault.flip_at
        if at is not None and offset <= at < offset + len(data) and self.server.origin.faults.spend(self.asked_path):
            data[at - offset] ^= 0xFF

    def _write(self, request, data, fault):
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data) if fault.chunked else data)
        self.server.origin.record.sent(request, len(data))

    def _reset(self):
        # SO_LINGER of 0 s makes close() send RST: what a broken path looks like, as opposed to an orderly end.
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _small_answer(self, status, body, content_type="text/plain", headers=None):
        told = {"Content-Type": content_type} | (headers or {})
        if status != 204:
            told["Content-Length"] = str(len(body))
        request = self._head(status, told, 0, len(body) - 1)
        if self.command != "HEAD":
            self.wfile.write(body)
            self.server.origin.record.sent(request, len(body))

    def _head(self, status, headers, first, last):
        """On record before the client can know of it; the control interface's own requests apart."""
        url = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(url.path)
        request = Request(self.command, path, url.query, dict(self.headers.items()), status, first, last)
        if not url.path.startswith(CONTROL):
            self.server.origin.record.add(request)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        return request
