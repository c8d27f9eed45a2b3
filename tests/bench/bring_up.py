"""From a URL on loopback to verified bytes and to ready, beside what one would type instead; and the second start.

    ./dev bench bring_up --size-mb 2048 --runs 3

Every way runs in every round, so that a machine that slows down slows all of them. Files are on the disk of --folder; the
page cache holds the origin's file. ggufd's time runs from its start to the named event and includes its start and stop.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import ggufd  # noqa: E402
import measure  # noqa: E402
import nginx  # noqa: E402


class BringUp:
    def __init__(self, folder, size_mb):
        self.folder = folder
        self.web = folder / "web"
        self.web.mkdir()
        self.model = ggufd.make_model(self.web / "model.gguf", size_mb=size_mb)
        self.target = folder / "target"

    def prepare(self):
        """A round begins without the downloaded file; nothing of it is measured."""
        shutil.rmtree(self.target, ignore_errors=True)
        self.target.mkdir()
        measure.prepare(self.model.size_bytes + (1 << 30))

    def command(self, line, url):
        subprocess.run(["sh", "-c", line, url, str(self.target / "model.gguf")], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    def daemon_until(self, url, wanted):
        config = {"models": [{"name": "m", "source": url, "sha256": self.model.sha256, "engine": "resident", "n_ctx": 512}],
                  "memory_headroom_bytes": 0}
        daemon = ggufd.Daemon(self.target, config)
        with daemon.connect() as client:
            event = client.until(lambda event: event["status"] in ("ready", "error") or wanted(event), limit_s=600)
        if event["status"] == "error":
            sys.exit(f"bring_up: {event['message']}")
        daemon.stop()

    def ways(self, url):
        """(name, action, whether it needs a fresh folder)."""
        yield "curl -o", lambda: self.command('curl -sS -o "$1" "$0"', url), True
        yield "curl -o && sha256sum", lambda: self.command('curl -sS -o "$1" "$0" && sha256sum "$1"', url), True
        if shutil.which("aria2c"):
            line = 'aria2c -q -x8 -s8 --allow-overwrite=true -d "$(dirname "$1")" -o model.gguf "$0"'
            yield "aria2c -x8 (not verified)", lambda: self.command(line, url), True
        yield "ggufd, verified and stored", lambda: self.daemon_until(url, lambda e: e.get("phase") == "mmap"), True
        yield "ggufd, ready", lambda: self.daemon_until(url, lambda e: False), True
        yield "ggufd, ready, second start", lambda: self.daemon_until(url, lambda e: False), False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--size-mb", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", help="where to work (default: the temporary folder)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    os.environ["GGUFD_BIN_DIR"] = arguments.bin
    if nginx.find() is None:
        sys.exit("bring_up: nginx is not here; ./dev deps unpacks it into build/tools")
    with tempfile.TemporaryDirectory(prefix="ggufd-", dir=arguments.folder) as folder:
        bench = BringUp(pathlib.Path(folder), arguments.size_mb)
        with nginx.Nginx(bench.web) as server:
            ways = list(bench.ways(server.url("model.gguf")))
            results = [measure.Result(name) for name, _, _ in ways]
            for _ in range(arguments.runs):
                for result, (_, action, fresh) in zip(results, ways):
                    if fresh:
                        bench.prepare()
                    measure.measure(result, action)
        measure.show("From an origin on loopback", results, bench.model.size_bytes, arguments.json)


if __name__ == "__main__":
    main()
