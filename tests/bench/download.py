"""A download beside what one would type instead: same origin, same run, interleaved, medians.

    ./dev bench download --size-mb 2147 --runs 5
    ./dev bench download --only slow --slow-size-mb 512

plain   from nginx on loopback: curl, curl and sha256sum, aria2c, and ggufd until three moments of the same run: the digest is
        known (the first `verify`), the blob is stored and synced (`mmap`), the model is ready. Its time begins with its exec.
slow    nginx gives each connection 20 MB/s.
watched one more plain run with two onlookers: round trips of `ping` each 5 ms on a connection without events, and the
        daemon's anonymous memory (RssAnon of /proc/<pid>/status, every 10 ms) up to `mmap`, before the KV cache is there.

CPU seconds are user and system time of the children, for ggufd of its process at the moment in question.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import ggufd  # noqa: E402
import measure  # noqa: E402
import nginx  # noqa: E402
import onlookers  # noqa: E402

GIB = 1 << 30
SLOW_MB_PER_S = 20
LIMIT_S = 3600

# The moments of one run of ggufd: what the row is called, and the event.
MOMENTS = (
    ("ggufd, digest known", lambda event: event.get("phase") == "verify"),
    ("ggufd, stored and synced", lambda event: event.get("phase") == "mmap"),
    ("ggufd, ready", lambda event: event["status"] == "ready"),
)
CURL, CURL_SHA, ARIA2 = "curl -o", "curl -o && sha256sum", "aria2c -x8 (not verified)"
# Which row, and at most how much of curl -o's time in the same run.
AIMS = {"plain": (MOMENTS[0][0], 0.8), "slow": (MOMENTS[1][0], 0.25)}


class Download:
    def __init__(self, folder, size_mb):
        self.web = folder / "web"
        self.web.mkdir(parents=True)
        self.model = ggufd.make_model(self.web / "model.gguf", size_mb=size_mb)
        self.target = folder / "target"

    def prepare(self):
        shutil.rmtree(self.target, ignore_errors=True)
        self.target.mkdir()
        measure.prepare(self.model.size_bytes + GIB)

    def commands(self, url):
        """(row, shell line with $0 the URL and $1 the file)."""
        yield CURL, 'curl -sS -o "$1" "$0"'
        yield CURL_SHA, 'curl -sS -o "$1" "$0" && sha256sum "$1"'
        if shutil.which("aria2c"):
            yield ARIA2, 'aria2c -q -x8 -s8 --allow-overwrite=true -d "$(dirname "$1")" -o model.gguf "$0"'

    def command(self, line, url):
        subprocess.run(["sh", "-c", line, url, str(self.target / "model.gguf")], check=True, stdout=subprocess.DEVNULL)

    def daemon(self, url):
        config = {"models": [{"name": "m", "source": url, "sha256": self.model.sha256, "engine": "resident", "n_ctx": 512}],
                  "memory_headroom_bytes": 0}
        return ggufd.Daemon(self.target, config)

    def time_daemon(self, url, results):
        """One run; each of `results` gets the time and the CPU time at its moment."""
        begin = time.perf_counter()
        daemon = self.daemon(url)
        with daemon.connect() as client:
            for result, (_, is_it) in zip(results, MOMENTS):
                event = client.until(lambda event: is_it(event) or event["status"] == "error", limit_s=LIMIT_S)  # noqa: B023
                if event["status"] == "error":
                    sys.exit(f"download: {event['message']}\n{daemon.stderr()}")
                result.wall_s.append(time.perf_counter() - begin)
                result.cpu_s.append(measure.cpu_s(daemon.process.pid))
        daemon.stop()

    def race(self, url, runs, with_sha):
        """Every way in every round, so that a machine that slows down slows all of them."""
        peers = [(measure.Result(name), line) for name, line in self.commands(url) if with_sha or name != CURL_SHA]
        ours = [measure.Result(name) for name, _ in MOMENTS]
        for _ in range(runs):
            for result, line in peers:
                self.prepare()
                measure.measure(result, lambda: self.command(line, url))  # noqa: B023
            self.prepare()
            self.time_daemon(url, ours)
        return [result for result, _ in peers] + ours

    def watched(self, url):
        """Round trips in milliseconds while it downloads and while it is idle, and the peak of anonymous memory."""
        self.prepare()
        daemon = self.daemon(url)
        with daemon.connect() as client, onlookers.Pings(daemon) as pings, onlookers.Memory(daemon.process.pid) as memory:
            client.until(lambda event: event.get("phase") == "mmap" or event["status"] == "error", limit_s=LIMIT_S)
            busy, peak = pings.take(), memory.peak_bytes
            if client.events[-1]["status"] != "ready":
                client.until_status("ready", "error")
            pings.take()
            time.sleep(2)  # the idle time that is measured
            idle = pings.take()
        daemon.stop()
        return {"busy_ms": busy, "idle_ms": idle, "rss_anon_peak_bytes": peak}


def median_of(results, name):
    return next((statistics.median(result.wall_s) for result in results if result.name == name), None)


def table(title, results, size_bytes, aim):
    """Markdown, ready for docs/benchmarks.md."""
    curl = median_of(results, CURL)
    lines = [f"### {title}", "", f"| {size_bytes / (1 << 20):,.0f} MiB, median of {len(results[0].wall_s)} | wall s | min–max |"
             " CPU s a GiB | against `curl -o` |", "|---|---|---|---|---|"]
    for result in results:
        wall = statistics.median(result.wall_s)
        lines.append(f"| {result.name} | {wall:.2f} | {min(result.wall_s):.2f}–{max(result.wall_s):.2f} |"
                     f" {statistics.median(result.cpu_s) * GIB / size_bytes:.2f} | {wall / curl:.2f} |")
    name, limit = aim
    ratio = median_of(results, name) / curl
    lines += ["", f"Aim: {name} at most {limit:g} of `curl -o`; it is {ratio:.2f}: {verdict(ratio <= limit)}."]
    return "\n".join(lines)


def verdict(holds):
    return "reached" if holds else "missed"


def table_of_watched(watched):
    lines = ["### While it runs", "", "| | p50 ms | p99 ms | worst ms | pings |", "|---|---|---|---|---|"]
    for name, key in (("`ping` during the download", "busy_ms"), ("`ping` when idle", "idle_ms")):
        trips = sorted(watched[key])
        lines.append(f"| {name} | {measure.percentile(trips, 50):.2f} | {measure.percentile(trips, 99):.2f} | {trips[-1]:.2f} |"
                     f" {len(trips)} |")
    lag = measure.percentile(sorted(watched["busy_ms"]), 99)
    mib = watched["rss_anon_peak_bytes"] / (1 << 20)
    lines += ["", f"Aim: p99 below 2 ms, round trip and client included; it is {lag:.2f}: {verdict(lag < 2)}.",
              f"Peak of anonymous memory: {mib:.1f} MiB. Aim: below 64 MiB: {verdict(mib < 64)}."]
    return "\n".join(lines)


def plain(folder, arguments):
    bench = Download(folder / "plain", arguments.size_mb)
    with nginx.Nginx(bench.web) as server:
        url = server.url("model.gguf")
        results = bench.race(url, arguments.runs, with_sha=True) if "plain" in arguments.only else []
        watched = bench.watched(url) if "watched" in arguments.only else None
    shutil.rmtree(folder / "plain")
    return bench.model.size_bytes, results, watched


def slow(folder, arguments):
    bench = Download(folder / "slow", arguments.slow_size_mb)
    with nginx.Nginx(bench.web, extra=f"limit_rate {SLOW_MB_PER_S * 1000}k;") as server:
        results = bench.race(server.url("model.gguf"), arguments.slow_runs, with_sha=False)
    return bench.model.size_bytes, results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--size-mb", type=int, default=2147)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--slow-size-mb", type=int, default=512)
    parser.add_argument("--slow-runs", type=int, default=3)
    parser.add_argument("--only", action="append", choices=("plain", "slow", "watched"), default=[])
    parser.add_argument("--folder", help="where to work (default: the temporary folder)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    arguments.only = arguments.only or ["plain", "slow", "watched"]
    os.environ["GGUFD_BIN_DIR"] = arguments.bin
    if nginx.find() is None:
        sys.exit("download: nginx is not here; ./dev deps unpacks it into build/tools")
    told, numbers = [], {}
    with tempfile.TemporaryDirectory(prefix="ggufd-", dir=arguments.folder) as folder:
        folder = pathlib.Path(folder)
        if {"plain", "watched"} & set(arguments.only):
            size_bytes, results, watched = plain(folder, arguments)
            if results:
                told.append(table("Plain, over loopback", results, size_bytes, AIMS["plain"]))
                numbers["plain"] = measure.as_dict(results, size_bytes)
            if watched:
                told.append(table_of_watched(watched))
                numbers["watched"] = watched
        if "slow" in arguments.only:
            size_bytes, results = slow(folder, arguments)
            told.append(table(f"{SLOW_MB_PER_S} MB/s a connection", results, size_bytes, AIMS["slow"]))
            numbers["slow"] = measure.as_dict(results, size_bytes)
    print(json.dumps(numbers) if arguments.json else "\n\n".join(told))


if __name__ == "__main__":
    main()
