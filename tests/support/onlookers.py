"""What watches a running daemon from outside, each in a thread of its own: for benchmarks."""

from __future__ import annotations

import json
import pathlib
import select
import socket
import threading
import time

PING_INTERVAL_S = 0.005
MEMORY_INTERVAL_S = 0.010


class _Onlooker:
    """Calls look() again and again between __enter__ and __exit__. The wait between is what is measured, not a guess."""

    interval_s: float

    def __enter__(self):
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        self._thread.join()

    def _run(self):
        while not self._stopping.is_set() and self.look():
            self._stopping.wait(self.interval_s)

    def look(self):
        """False: there is nothing more to see."""
        raise NotImplementedError


class Pings(_Onlooker):
    """Round trips of `ping`, milliseconds, on a connection that has asked for no events."""

    interval_s = PING_INTERVAL_S
    _request = b'{"id":"p","type":"ping"}\n'

    def __init__(self, daemon):
        self._trips_ms: list[float] = []
        self._lock = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(str(daemon.admin_socket))
        self._socket.sendall(b'{"id":"u","type":"unsubscribe"}\n')
        self._pending = b""
        while json.loads(self._read_line()).get("id") != "u":
            pass

    def _read_line(self):
        while b"\n" not in self._pending:
            if not select.select([self._socket], [], [], 60)[0]:
                raise TimeoutError("the daemon did not answer within 60 s")
            data = self._socket.recv(1 << 16)
            if not data:
                return b""
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def look(self):
        begin = time.perf_counter()
        self._socket.sendall(self._request)
        if not self._read_line():
            return False
        with self._lock:
            self._trips_ms.append((time.perf_counter() - begin) * 1000)
        return True

    def take(self):
        """The round trips since the last call."""
        with self._lock:
            taken, self._trips_ms = self._trips_ms, []
        return taken

    def __exit__(self, *problem):
        super().__exit__(*problem)
        self._socket.close()


class Memory(_Onlooker):
    """The peak of a process's anonymous memory: heap, stacks and buffers, not mapped files and not the page cache."""

    interval_s = MEMORY_INTERVAL_S

    def __init__(self, pid):
        self._status = pathlib.Path(f"/proc/{pid}/status")
        self.peak_bytes = 0

    def look(self):
        try:
            text = self._status.read_text()
        except (FileNotFoundError, ProcessLookupError):
            return False
        line = next((line for line in text.splitlines() if line.startswith("RssAnon:")), None)
        if line is None:
            return False  # it has ended
        self.peak_bytes = max(self.peak_bytes, int(line.split()[1]) * 1024)
        return True
