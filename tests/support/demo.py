"""`./dev demo`: the whole story on one page, with the real programs and a misbehaving origin on loopback.

What is shown is what socat and ggufctl print; it is only thinned, and the page says where.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading

import ggufd
import process
from origin import Origin

MODEL_MB = 64
FLIP_AT = 40_000_000
ORIGIN_BYTES_PER_SECOND = 32 << 20


def heading(number, text):
    print(f"\n{number}. {text}\n", flush=True)


def explain(text):
    print(textwrap.indent(textwrap.fill(" ".join(text.split()), 108), "   "), flush=True)


class Thinner:
    """Shortens one stream for the page: of neighbours that tell the same step, only the first and the last are shown."""

    def __init__(self, tag, folder):
        self._tag = tag
        self._folder = str(folder)
        self._step = None
        self._held = None
        self._first = True

    def show(self, line):
        step = self._step_of(line)
        if step == self._step:
            self._held = line
            return
        self.flush()
        self._step = step
        self._print(line)

    def flush(self):
        if self._held is not None:
            self._print(self._held)
        self._held = None

    @staticmethod
    def _step_of(line):
        if line.startswith("{"):
            frame = json.loads(line)
            return frame["status"], frame.get("phase")
        return re.split(r"[\d,]", line, maxsplit=1)[0].rstrip(": ")

    def _print(self, line):
        if line.startswith("{"):
            frame = json.loads(line)
            if not self._first:
                for key in ("id", "type", "model", "ts"):
                    frame.pop(key, None)
            line = json.dumps(frame, separators=(",", ":"), ensure_ascii=False)
        self._first = False
        line = re.sub(r"\b([0-9a-f]{8})[0-9a-f]{56}\b", r"\1…", line.replace(self._folder, "$DEMO"))
        print(f"   {self._tag} | {line}", flush=True)


class Demo:
    def __init__(self, folder, socat):
        self.folder = folder
        self.socat = socat
        self.web = folder / "web"
        self.web.mkdir()
        self.watchers: list[subprocess.Popen] = []

    def run(self):
        heading(1, f"A model of {MODEL_MB} MB, and an origin that spoils one byte of it, once")
        self.model = ggufd.make_model(self.web / "tiny.gguf", size_mb=MODEL_MB)
        with Origin(self.web) as self.origin:
            self.origin.fault("/tiny.gguf", flip_at=FLIP_AT, times=1,
                              throttle_bytes_per_second=ORIGIN_BYTES_PER_SECOND)
            self.config = {"models": [{"name": "tiny", "source": self.origin.url("tiny.gguf"), "sha256": self.model.sha256,
                                       "engine": "resident", "n_ctx": 512}]}
            explain(f"{self.origin.url('tiny.gguf')} is {self.model.size_bytes:,} bytes with the SHA-256 "
                    f"{self.model.sha256[:8]}…. The first time that it is fetched, byte {FLIP_AT:,} arrives inverted. "
                    "$DEMO stands for a temporary folder. The configuration:")
            print("   " + json.dumps(self.config).replace(self.model.sha256, self.model.sha256[:8] + "…"))
            self.first_start()
            self.second_start()

    def first_start(self):
        heading(2, "The first start: download, a wrong digest, repair of the bad byte, ready")
        explain("Two readers: `frames` is what `socat -u UNIX-CONNECT:$DEMO/run/admin.sock -` prints, `watch` is `ggufctl "
                "watch`. Of each step only the first and the last line are shown; frames after the first are shown without "
                "id, type, model and ts, and digests are cut.")
        print()
        daemon, _ = self.start_and_follow(until="ready")
        self.show_evidence()
        self.show_what_is_there(daemon)
        self.stop(daemon, number=5, title="SIGTERM: a stop that is told, and leaves no socket behind")

    def second_start(self):
        self.origin.forget_requests()
        heading(6, "The second start: nothing is fetched, nothing is hashed")
        daemon, frames = self.start_and_follow(until="ready")
        print()
        phases = {frame.get("phase") for frame in frames}
        if self.origin.requests() or phases & {"download", "verify"}:
            raise SystemExit("demo: the second start has fetched or hashed the model again")
        integrity = {frame["integrity"] for frame in frames if "integrity" in frame}
        explain(f"Requests to the origin: {len(self.origin.requests())}. There was no download and no verify"
                + "".join(f"; what stands in for them is told as integrity: {how}" for how in integrity) + ".")
        self.stop(daemon, number=7, title="And a clean stop again")

    def start_and_follow(self, until):
        """Starts the daemon and shows what both readers print up to `until`: (daemon, frames)."""
        self.lines: queue.SimpleQueue = queue.SimpleQueue()
        self.thinners = {tag: Thinner(tag, self.folder) for tag in ("frames", "watch ")}
        # socat waits for the socket, so that it is there as early as a reader can be; ggufctl wants a daemon.
        run = self.folder / "run"
        frames = self.reader("frames", [self.socat, "-u", f"UNIX-CONNECT:{run}/admin.sock,retry=10000,interval=0.001", "-"])
        daemon = ggufd.Daemon(self.folder, self.config)
        daemon.connect().close()
        watch = self.reader("watch ", [str(ggufd.bin_dir() / "ggufctl"), "--runtime-dir", str(run), "watch"])
        self.watchers = [frames, watch]

        def is_last(line):
            return re.search(rf"\b{until}\b", line.replace(str(self.folder), ""))

        return daemon, self.show_until(daemon, is_last)

    def reader(self, tag, command):
        child = subprocess.Popen(process.tied_to_us(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, text=True, env=ggufd.environment(self.folder))

        def pump():
            for line in child.stdout:
                self.lines.put((tag, line.rstrip("\n")))
            self.lines.put((tag, None))

        threading.Thread(target=pump, daemon=True).start()
        return child

    def show_until(self, daemon, is_last):
        waiting, frames = set(self.thinners), []
        while waiting:
            try:
                tag, line = self.lines.get(timeout=ggufd.LIMIT_S)
            except queue.Empty:
                raise SystemExit(f"demo: nothing more was told; the daemon's log:\n{daemon.stderr()}") from None
            if line is not None:
                self.thinners[tag].show(line)
                if line.startswith("{"):
                    frames.append(json.loads(line))
                    if frames[-1]["status"] == "error":
                        raise SystemExit(f"demo: the model did not come up; the daemon's log:\n{daemon.stderr()}")
            if line is None or is_last(line):
                self.thinners[tag].flush()
                waiting.discard(tag)
        return frames

    def show_evidence(self):
        heading(3, "What the origin was asked for: the file once, and once more to find the bad byte")
        asked = [request for request in self.origin.requests() if request.status in (200, 206)]
        sent = sum(request.last - request.first + 1 for request in asked)
        print(f"   {len(asked)} requests, {sent:,} bytes for a file of {self.model.size_bytes:,}; bad bytes that can't be repaired "
              "are kept in $DEMO/store/locks/quarantine")

    def show_what_is_there(self, daemon):
        heading(4, "`ggufctl status`, the inference socket, and the verified blob")
        _, table, _ = ggufd.run_program("ggufctl", "--runtime-dir", daemon.runtime_dir, "status", folder=self.folder)
        print(textwrap.indent(table.rstrip(), "   "))
        said = subprocess.run([self.socat, "-u", f"UNIX-CONNECT:{daemon.runtime_dir}/infer.sock", "-"], check=True,
                              capture_output=True, text=True, timeout=ggufd.LIMIT_S).stdout
        print(f"\n   infer.sock says: {said.strip().replace(str(self.folder), '$DEMO')}")
        blob = self.folder / f"store/blobs/sha256/{self.model.sha256[:2]}/{self.model.sha256}/data"
        shown = str(blob).replace(str(self.folder), "$DEMO").replace(self.model.sha256, self.model.sha256[:8] + "…")
        print(f"   {oct(blob.stat().st_mode & 0o777)[2:]:>4}  {blob.stat().st_size:,} bytes  {shown}")

    def stop(self, daemon, number, title):
        heading(number, title)
        daemon.signal(signal.SIGTERM)
        self.show_until(daemon, lambda line: False)
        for watcher in self.watchers:
            process.end(watcher)
        code = daemon.wait()
        left = sorted(path.name for path in daemon.runtime_dir.glob("*.sock"))
        print()
        explain(f"exit code {code}; sockets left in $DEMO/run: {', '.join(left) or 'none'}")
        if code != 0 or left:
            raise SystemExit(f"demo: that was no clean stop; the daemon's log:\n{daemon.stderr()}")


def main():
    parser = argparse.ArgumentParser(description="show ggufd at work")
    parser.add_argument("--bin", required=True, help="the folder with ggufd, ggufctl and make_gguf")
    arguments = parser.parse_args()
    os.environ["GGUFD_BIN_DIR"] = arguments.bin
    socat = shutil.which("socat")
    if socat is None:
        sys.exit("demo: socat is not on PATH; ./dev demo installs it")
    # SystemExit unwinds through the `with` blocks, so that a terminated demo leaves nothing behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="ggufd-demo-", dir="/tmp") as folder:
        Demo(pathlib.Path(folder), socat).run()


if __name__ == "__main__":
    main()
