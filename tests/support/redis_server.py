"""redis-server on a Unix socket, for a benchmark: nothing is kept, and a subscriber may be behind as far as it likes.

The program is looked for on PATH and in build/tools/redis, where `./dev` unpacks it.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import socket
import subprocess
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
LIMIT_S = 60  # for its start


def find():
    """The program's path, or None."""
    places = [shutil.which("redis-server"), REPOSITORY / "build/tools/redis/usr/bin/redis-server"]
    return next((str(place) for place in places if place and os.access(place, os.X_OK)), None)


class RedisServer:
    """Listens once it is made. `max_clients` must leave redis some of the process's descriptors, which are inherited."""

    def __init__(self, binary, folder, path, max_clients):
        self.log = folder / "redis.log"
        options = {"port": "0", "unixsocket": path, "daemonize": "no", "dir": folder, "logfile": self.log, "save": '""',
                   "appendonly": "no", "tcp-backlog": "4096", "maxclients": max_clients,
                   "client-output-buffer-limit": "pubsub 0 0 0"}
        self.process = subprocess.Popen([binary, "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.process.stdin.write("".join(f"{key} {value}\n" for key, value in options.items()).encode())
        self.process.stdin.close()
        self.pid = self.process.pid
        self._wait_until_it_listens(path)

    def _wait_until_it_listens(self, path):
        deadline = time.monotonic() + LIMIT_S
        while True:
            with socket.socket(socket.AF_UNIX) as client:
                try:
                    return client.connect(str(path))
                except (FileNotFoundError, ConnectionRefusedError):
                    if self.process.poll() is not None or time.monotonic() > deadline:
                        self.close()
                        told = self.log.read_text()[-2000:] if self.log.exists() else ""
                        raise RuntimeError(f"redis-server did not start\n{told}") from None
            time.sleep(0.005)  # there is nothing to wait on before the socket is there

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
