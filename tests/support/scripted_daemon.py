"""What the status page sees of a daemon, as a test wants it: serves the page's file, and `status`, `doctor` and `events` as told.

    with ScriptedDaemon([model("tiny")]) as daemon:
        tab = browser.open(daemon.url)
        daemon.tell("ready", "tiny", load_ms=40)
"""

from __future__ import annotations

import contextlib
import datetime
import http.server
import json
import pathlib
import queue
import threading

PAGE = pathlib.Path(__file__).resolve().parents[2] / "daemon/http/page/index.html"
GIB = 1 << 30


def moment(seconds_ago=0.0):
    when = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=seconds_ago)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def model(name, state="uninitialized", seconds_ago=60.0, **more):
    """A model as `status` tells of it."""
    availability = {"code": 200, "name": "ENABLED", "message": None} if state == "ready" else {"code": 0, "name": "NONE", "message": None}
    return {"name": name, "state": state, "availability": availability, "health": "ok", "since": moment(seconds_ago), "load_count": 0,
            "memory": {"mapped": 0, "kv": 0}, "engine": {"restarts": 0, "restarts_left": 3}} | more


class ScriptedDaemon:
    def __init__(self, models, doctor=None):
        self.models = models
        self.doctor = doctor
        self.memory = {"total_bytes": 16 * GIB, "available_bytes": 8 * GIB, "held_bytes": 0, "headroom_bytes": GIB,
                       "limits": [{"name": "MemAvailable", "bytes": 8 * GIB}]}
        self.seq = 0
        self._started = moment(100)
        self.asked_since: list[int] = []  # what each stream of events went on behind
        self._told: list[dict] = []
        self._streams: list[queue.Queue] = []
        self._lock = threading.Lock()
        daemon = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                daemon._answer(self)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.hang_up()
        self._server.shutdown()
        self._server.server_close()

    def hang_up(self):
        """Ends every stream of events; a new one is served."""
        with self._lock:
            for stream in self._streams:
                stream.put(None)
            self._streams.clear()

    def begin_again(self):
        """As another daemon at the same place: what the first one told is forgotten, and its streams have ended."""
        self._started = moment()
        self._told.clear()
        self.seq = 0
        self.hang_up()

    def tell(self, status, of=None, **details):
        """Publishes an event; one with `seconds_ago` happened before."""
        frame = {"id": "admin", "type": "status", "status": status}
        seconds_ago = details.pop("seconds_ago", 0)
        frame |= details
        if of is not None:
            frame["model"] = of
        self.seq += 1
        frame |= {"seq": self.seq, "ts": moment(seconds_ago)}
        self.pass_on(frame)

    def pass_on(self, frame):
        """Sends a frame as it is."""
        with self._lock:
            self._told.append(frame)
            for stream in self._streams:
                stream.put(frame)

    def _answer(self, handler):
        if handler.path == "/":
            self._send(handler, "text/html; charset=utf-8", PAGE.read_bytes())
        elif handler.path == "/status":
            document = {"version": "9.9.9", "started": self._started, "now": moment(), "doctor": self.doctor is not None,
                        "models": self.models, "subscribers": 1, "seq": self.seq, "memory": self.memory}
            if self.models:
                document["default_model"] = self.models[0]["name"]
            self._send(handler, "application/json", json.dumps(document).encode())
        elif handler.path == "/doctor" and self.doctor is not None:
            self._send(handler, "application/json", json.dumps(self.doctor).encode())
        elif handler.path == "/events":
            self._stream(handler)
        else:
            handler.send_error(404)

    @staticmethod
    def _send(handler, content_type, body):
        handler.send_response(200)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _stream(self, handler):
        since = int(handler.headers.get("Last-Event-ID", "0"))
        frames: queue.Queue = queue.Queue()
        with self._lock:
            self.asked_since.append(since)
            for frame in self._told:
                if frame.get("seq", 0) > since:
                    frames.put(frame)
            self._streams.append(frames)
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while (frame := frames.get()) is not None:
                handler.wfile.write(f"data: {json.dumps(frame)}\n\n".encode())
                handler.wfile.flush()
