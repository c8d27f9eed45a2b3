"""HTTP as the integration tests speak it: over a Unix socket, as server-sent events, as Prometheus' text."""

from __future__ import annotations

import http.client
import json
import re
import socket

import ggufd


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=ggufd.LIMIT_S)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)


def ask(connection, path, method="GET", body=None, **headers):
    connection.request(method, path, body=body, headers={name.replace("_", "-"): value for name, value in headers.items()})
    return Answer(connection.getresponse())


class Events:
    """An open /events: `next()` is (id or None, frame), None at the end of the stream. Comments are counted."""

    def __init__(self, path, last_event_id=None, receive_buffer_bytes=0):
        self.connection = UnixConnection(path)
        self.connection.connect()
        if receive_buffer_bytes:
            self.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        headers = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
        self.connection.request("GET", "/events", headers=headers)
        self.response = self.connection.getresponse()
        self.comments = 0

    def close(self):
        self.response.close()
        self.connection.close()

    def next(self):
        event_id, data = None, None
        while True:
            line = self.response.readline()
            if not line:
                if data is not None or event_id is not None:
                    raise AssertionError("the stream ends within an event")
                return None
            line = line.decode()
            if not line.endswith("\n"):
                raise AssertionError(f"the stream ends within a line: {line!r}")
            line = line[:-1]
            if line == "":
                if data is not None:
                    return event_id, data
            elif line.startswith(":"):
                self.comments += 1
            elif line.startswith("id: "):
                event_id = int(line[4:])
            elif line.startswith("data: "):
                if data is not None:
                    raise AssertionError("a frame is one line")
                data = line[6:]
            else:
                raise AssertionError(f"no line of an event stream: {line!r}")

    def frame(self):
        event = self.next()
        return None if event is None else json.loads(event[1])

    def until(self, wanted):
        """The frames up to the first for which `wanted` holds, with it."""
        frames = []
        while not frames or not wanted(frames[-1]):
            frame = self.frame()
            if frame is None:
                raise AssertionError(f"the stream ended; its last frames were {frames[-3:]}")
            frames.append(frame)
        return frames


def unpack(data):
    """The one object of MessagePack that `data` is, of the types that a health answer has."""
    value, rest = _unpack(data)
    if rest:
        raise AssertionError(f"bytes behind the object: {rest!r}")
    return value


def _unpack(data):
    kind, rest = data[0], data[1:]
    if kind < 0x80:
        return kind, rest
    if kind & 0xF0 == 0x80:
        result = {}
        for _ in range(kind & 0x0F):
            key, rest = _unpack(rest)
            result[key], rest = _unpack(rest)
        return result, rest
    if kind & 0xE0 == 0xA0:
        return rest[:kind & 0x1F].decode(), rest[kind & 0x1F:]
    if kind == 0xC0:
        return None, rest
    for first, is_text in ((0xCC, False), (0xD9, True)):
        if first <= kind <= first + 2:
            size = 1 << (kind - first)
            number, rest = int.from_bytes(rest[:size], "big"), rest[size:]
            return (rest[:number].decode(), rest[number:]) if is_text else (number, rest)
    raise AssertionError(f"no type of a health answer: {kind:#x}")


_COMMENT = re.compile(r"# (HELP|TYPE) ([a-z_][a-z0-9_]*) (\S.*)")
_SAMPLE = re.compile(r'([a-z_][a-z0-9_]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)')
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\["\\n])*)"')
_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


def parse_metrics(text):
    """{(name, ((label, value), ...)): number}, read strictly: help, then type, then samples of that family, no family or
    sample twice, histograms that rise and agree with themselves."""
    if not text.endswith("\n"):
        raise AssertionError("the last line has no end")
    samples, families = {}, {}
    family = helped = None
    for line in text[:-1].split("\n"):
        comment = _COMMENT.fullmatch(line)
        if comment:
            kind, name, words = comment.groups()
            if kind == "HELP":
                if name in families:
                    raise AssertionError(f"{name} comes twice")
                helped = name
            else:
                if helped != name or words not in _SUFFIXES:
                    raise AssertionError(f"a type that is out of place: {line!r}")
                family, families[name] = name, words
            continue
        sample = _SAMPLE.fullmatch(line)
        if not sample:
            raise AssertionError(f"no line of the format: {line!r}")
        name, labels, value = sample.groups()
        if name not in [family + suffix for suffix in _SUFFIXES[families[family]]]:
            raise AssertionError(f"{name} is not of the family {family}")
        key = (name, tuple((label, re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], text))
                           for label, text in _LABEL.findall(labels or "")))
        if key in samples:
            raise AssertionError(f"{key} comes twice")
        samples[key] = float(value)
    for name, kind in families.items():
        if kind == "counter" and not name.endswith("_total"):
            raise AssertionError(f"the counter {name} does not end in _total")
        if kind == "histogram":
            _check_histogram(name, samples)
    return samples


def _check_histogram(name, samples):
    series = {}
    for (sample, labels), value in samples.items():
        if sample == f"{name}_bucket":
            bound = float(labels[-1][1])
            series.setdefault(labels[:-1], []).append((bound, value))
    for labels, buckets in series.items():
        if buckets != sorted(buckets) or [count for _, count in buckets] != sorted(count for _, count in buckets):
            raise AssertionError(f"the buckets of {name}{labels} do not rise")
        if buckets[-1] != (float("inf"), samples[f"{name}_count", labels]):
            raise AssertionError(f"{name}{labels} does not count all")
        if (f"{name}_sum", labels) not in samples:
            raise AssertionError(f"{name}{labels} has no sum")


class HttpTest(ggufd.DaemonTest):
    """A test that speaks HTTP to its daemon."""

    @property
    def http_socket(self):
        return self.runtime_dir / "http.sock"

    def ask(self, path, method="GET", body=None, connection=None, **headers):
        if connection is not None:
            return ask(connection, path, method, body, **headers)
        connection = UnixConnection(self.http_socket)
        try:
            return ask(connection, path, method, body, **headers)
        finally:
            connection.close()

    def events(self, **options):
        events = Events(self.http_socket, **options)
        self.addCleanup(events.close)
        self.assertEqual(events.response.status, 200)
        return events

    def raw(self, data):
        """Sends `data` on a connection of its own and returns what comes until its end."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(ggufd.LIMIT_S)
            client.connect(str(self.http_socket))
            try:
                client.sendall(data)
            except (BrokenPipeError, ConnectionResetError):
                pass
            received = b""
            try:
                while block := client.recv(1 << 16):
                    received += block
            except ConnectionResetError:
                pass
            return received

    def metrics(self):
        return parse_metrics(self.ask("/metrics").text)

    def start_ready(self, **model_options):
        model = self.model(**model_options)
        daemon = self.start(self.config_for(model.path, model))
        client = self.connect(daemon)
        client.until_status("ready")
        return daemon, client

    def start_manual(self, **model_options):
        model = self.model(**model_options)
        daemon = self.start(self.config_for(model.path, model, load="manual"))
        client = self.connect(daemon)
        client.ask("ping")  # http.sock is there by now
        return daemon, client
