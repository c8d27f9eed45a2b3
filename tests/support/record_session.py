"""Records tests/golden/session.ndjson: what a real ggufd tells one reader, from its first moment to its end.

    GGUFD_BIN_DIR=build/release/bin python3 -B tests/support/record_session.py [OUT]

Two models load at a time: `tiny` is downloaded with one spoiled byte and repaired, `chat` is run by the fake llama-server, which
is killed later and started again. Then come `spare`, whose source tells no length and serves wrong bytes at first (quarantine),
and `broken`, which is no GGUF. All load by request, so that the reader is there before the first. It also asks for events of
another daemon's life (`lagged`), a broken configuration is read again (a warning of the daemon itself), `tiny` is unloaded, and
the daemon stops.

The frames are as they came, but for: the folder ($RUN), process ids, the origin's port, and `ts`, which begins at a fixed
moment. What the future may bring (FUTURE) is put in between, and `seq` counts it.
"""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import re
import shutil
import signal
import sys
import tempfile

import ggufd
from origin import Origin

SUPPORT = pathlib.Path(__file__).resolve().parent
SESSION = SUPPORT.parent / "golden/session.ndjson"
BEGIN = datetime.datetime(2026, 5, 18, tzinfo=datetime.UTC)
FIRST_PID = 4711
PORT = 8080
SEGMENT_BYTES = 256 * 1024
FLIP_AT = 1_234_567

# Behind the first event for which the condition holds: frames of a daemon that knows more than this one.
FUTURE = (
    (lambda event: event.get("downloaded_bytes", 0) > 500_000,
     {"id": "admin", "type": "status", "status": "loading_model", "phase": "defragment", "done": 0.5, "model": "tiny"}),
    (lambda event: event["status"] == "ready" and event["model"] == "chat",
     {"id": "admin", "type": "status", "status": "hibernating", "depth": {"metres": [1.5, None]}, "model": "chat"}),
    (lambda event: event["status"] == "ready" and event["model"] == "tiny",
     {"id": "weather", "type": "forecast", "status": "ready", "model": "tiny", "text": "bewölkt ☁"}),
)


class Session:
    """Two connections to one daemon: `reader` is what is recorded, `asker` makes things happen."""

    def __init__(self, folder):
        self.folder = folder
        self.web = folder / "web"
        self.web.mkdir()
        self.models = folder / "модели 🦙"
        self.models.mkdir()

    def record(self):
        tiny = ggufd.make_model(self.web / "tiny.gguf", size_mb=3)
        spare = ggufd.make_model(self.web / "spare.gguf", size_mb=2, seed=2)
        chat = ggufd.make_model(self.models / "chat.gguf", size_mb=1, seed=3)
        broken = ggufd.make_model(self.models / "broken.gguf", damage="magic")
        with Origin(self.web) as self.origin:
            self.origin.fault("/tiny.gguf", flip_at=FLIP_AT, times=1, throttle_bytes_per_second=600_000)
            self.origin.fault("/spare.gguf", flip_at=FLIP_AT, times=1, chunked=True, throttle_bytes_per_second=2_000_000)
            config = self.config([
                {"name": "tiny", "source": self.origin.url("tiny.gguf"), "sha256": tiny.sha256, "engine": "resident"},
                {"name": "chat", "source": str(chat.path), "sha256": chat.sha256, "engine": "llama-server"},
                {"name": "spare", "source": self.origin.url("spare.gguf"), "sha256": spare.sha256, "engine": "resident"},
                {"name": "broken", "source": str(broken.path), "sha256": broken.sha256, "engine": "resident"}])
            return self.told(config)

    def config(self, models):
        return {"models": [{"n_ctx": 512, "load": "manual"} | model for model in models], "memory_headroom_bytes": 0,
                "fetch": {"retries": 2, "connections": 2, "segment_bytes": SEGMENT_BYTES},
                "llama_server": {"binary": str(SUPPORT / "fake_llama_server.py"), "backoff_initial_ms": 20,
                                 "health_interval_ms": 20}}

    def told(self, config):
        """The lines of one daemon's life."""
        daemon = ggufd.Daemon(self.folder / "d", config, GGML_FAKE_MOOD="slow_load=0.2")
        try:
            self.reader = daemon.connect()
            self.reader.until_status("starting")
            self.asker = daemon.connect()
            self.live(daemon)
            if daemon.stop() != 0:
                raise AssertionError(daemon.stderr())
            self.reader.read_to_end()
        finally:
            if daemon.process.poll() is None:
                daemon.kill()
        return self.reader.lines

    def live(self, daemon):
        for model in ("tiny", "chat"):
            self.asker.ask("load", model=model)
        for _ in ("tiny", "chat"):
            self.reader.until_status("ready")
        os.kill(self.engine_pid(), signal.SIGKILL)
        self.reader.until_status("restarting", model="chat")
        self.reader.until_status("ready", model="chat")
        for model, status in (("spare", "ready"), ("broken", "error")):
            self.asker.ask("load", model=model)
            self.reader.until_status(status, model=model)
        daemon.config_file.write_text("{")
        daemon.signal(signal.SIGHUP)
        self.reader.until_status("warning")
        self.asker.ask("unload", model="tiny")
        self.reader.until_status("unloaded", model="tiny")
        self.reader.ask("subscribe", since=self.asker.ask("status")["seq"] + 1)
        self.reader.until_status("unloaded", model="tiny")  # the default model's is the last of the current state

    def engine_pid(self):
        models = self.asker.ask("status")["models"]
        return next(model["engine"]["pid"] for model in models if model["name"] == "chat")


def with_future(frames):
    """The frames with those of FUTURE in between, and `seq` as if they had been published."""
    waiting = list(FUTURE)
    numbers: dict[int, int] = {0: 0}  # a seq as it came -> as it is told
    shift, last = 0, 0
    for frame in frames:
        if "seq" in frame:
            frame["seq"] = numbers.setdefault(frame["seq"], frame["seq"] + shift)
            last = max(last, frame["seq"])
        yield frame
        for one in [one for one in waiting if frame["type"] == "status" and "model" in frame and one[0](frame)]:
            waiting.remove(one)
            if one[1]["type"] == "status":
                shift += 1
                yield one[1] | {"seq": last + 1, "ts": frame["ts"]}
            else:
                yield one[1]
    if waiting:
        raise AssertionError(f"{len(waiting)} frames of the future had no place")


class Neutral:
    """Makes what is of this run only the same for every run."""

    def __init__(self, folder):
        self._folder = str(folder)
        self._pids: dict[int, int] = {}
        self._first = None

    def frame(self, line):
        text = line.decode().replace(self._folder + "/d", "$RUN").replace(self._folder, "$RUN")
        frame = json.loads(re.sub(r"http://127\.0\.0\.1:\d+/", f"http://127.0.0.1:{PORT}/", text))
        if "pid" in frame:
            frame["pid"] = self._pids.setdefault(frame["pid"], FIRST_PID + len(self._pids))
        if "ts" in frame:
            frame["ts"] = self._moment(frame["ts"])
        return frame

    def _moment(self, text):
        moment = datetime.datetime.fromisoformat(text)
        self._first = self._first or moment
        return (BEGIN + (moment - self._first)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else SESSION
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ggufd-", dir="/tmp"))
    try:
        lines = Session(folder).record()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    neutral = Neutral(folder)
    frames = with_future([neutral.frame(line) for line in lines])
    out.write_text("".join(json.dumps(frame, ensure_ascii=False, separators=(",", ":")) + "\n" for frame in frames))


if __name__ == "__main__":
    main()
