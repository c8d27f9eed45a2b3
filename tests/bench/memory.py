"""Bringing a model's memory in: a cold file, a KV cache, and the loop meanwhile.

    ./dev bench memory --size-mb 3222 --kv-mb 4295 --runs 5
    ./dev bench memory --only watched

prefault  a file that is not in the page cache: ggufd's way, beside one MADV_POPULATE_READ of the whole mapping, and plain reads
          by one thread and by four. The same run, interleaved (memory_bench).
kv        memory for the KV cache: ggufd's way, beside one MADV_POPULATE_WRITE and a memset, and the former alone.
watched   round trips of `ping` to a ggufd that loads the cold file, apart for the phase `mmap` and the phase `kv_cache`. The
          model is loaded, unloaded and dropped from the page cache again --loads times.

The file is written once. Dropping it from the page cache takes a file system on a disk: --folder must not be a tmpfs.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import ggufd  # noqa: E402
import measure  # noqa: E402
import onlookers  # noqa: E402

MIB = 1 << 20
GIB = 1 << 30
LIMIT_S = 3600
PREFAULT_AIM, KV_AIM, LAG_AIM_MS = 0.95, 0.9, 2


def make_file(path, size_mb):
    subprocess.run([str(ggufd.bin_dir() / "make_gguf"), str(path), "--size-mb", str(size_mb)], check=True)
    os.sync()


def drop_from_page_cache(path):
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def memory_bench(*arguments):
    done = subprocess.run([str(ggufd.bin_dir() / "memory_bench"), *map(str, arguments)], check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def median_s(numbers, way):
    return statistics.median(numbers["ways"][way]["wall_s"])


def table(title, numbers, rivals, aim):
    """Markdown, ready for docs/benchmarks.md. `rivals`: the ways of which the best is what ours is held against."""
    best = min(rivals, key=lambda way: median_s(numbers, way))
    lines = [f"### {title}", "",
             f"| {numbers['bytes'] / MIB:,.0f} MiB, median of {len(numbers['ways']['ggufd']['wall_s'])} | wall s | min–max | MB/s |"
             f" CPU s | against {best} |", "|---|---|---|---|---|---|"]
    for way, times in numbers["ways"].items():
        wall = median_s(numbers, way)
        lines.append(f"| {way} | {wall:.2f} | {min(times['wall_s']):.2f}–{max(times['wall_s']):.2f} |"
                     f" {numbers['bytes'] / 1e6 / wall:,.0f} | {statistics.median(times['cpu_s']):.2f} |"
                     f" {median_s(numbers, best) / wall:.2f} |")
    ratio = median_s(numbers, best) / median_s(numbers, "ggufd")
    lines += ["", f"Aim: at least {aim:g} of the throughput of {best}; it is {ratio:.2f}: {verdict(ratio >= aim)}."]
    return "\n".join(lines)


def verdict(holds):
    return "reached" if holds else "missed"


def prefault(path, arguments):
    measure.prepare(path.stat().st_size + GIB)
    numbers = memory_bench("prefault", path, "--choice", arguments.choice, "--runs", arguments.runs)
    warm = max(max(times["resident_before"]) for times in numbers["ways"].values())
    told = table("Cold file", numbers, [way for way in numbers["ways"] if way != "ggufd"], PREFAULT_AIM)
    return f"{told}\nAt most {warm / MIB:,.1f} MiB of the file were in memory at the beginning.", numbers


def kv(arguments):
    measure.prepare(arguments.kv_mb * 1000 * 1000 + GIB)
    numbers = memory_bench("kv", arguments.kv_mb * 1000 * 1000, "--runs", arguments.runs)
    return table("KV cache", numbers, ["populate and memset"], KV_AIM), numbers


class Watched:
    """A ggufd that loads one local model when it is told to."""

    def __init__(self, folder, model):
        self.folder = folder
        self.model = model

    def daemon(self, n_ctx):
        entry = {"name": "m", "source": str(self.model), "engine": "resident", "n_ctx": n_ctx, "load": "manual"}
        return ggufd.Daemon(self.folder, {"models": [entry], "memory_headroom_bytes": 0})

    def load(self, client):
        client.ask("load", model="m")
        return client.until(lambda event: event["status"] in ("ready", "error"), limit_s=LIMIT_S)

    def require_ready(self, daemon, event):
        if event["status"] != "ready":
            sys.exit(f"memory: {event.get('message')}\n{daemon.stderr()}")

    def n_ctx_of(self, kv_bytes):
        """Hashes the file, too, so that the next start finds it known."""
        daemon = self.daemon(256)
        with daemon.connect() as client:
            self.require_ready(daemon, self.load(client))
            least = next(event["bytes"] for event in client.events if event.get("phase") == "kv_cache")
        daemon.stop()
        return -(-kv_bytes // least) * 256

    def watch(self, kv_bytes, loads):
        """Milliseconds: while the file is read, while the KV cache is allocated, and when nothing is."""
        trips = {"mmap": [], "kv_cache": [], "idle": []}
        daemon = self.daemon(self.n_ctx_of(kv_bytes))
        measure.prepare(self.model.stat().st_size + kv_bytes + GIB)
        with daemon.connect() as client, onlookers.Pings(daemon) as pings:
            for _ in range(loads):
                drop_from_page_cache(self.model)
                client.ask("load", model="m")
                client.until(lambda event: event.get("phase") == "mmap" or event["status"] == "error", limit_s=LIMIT_S)
                pings.take()
                for phase, end in (("mmap", "kv_cache"), ("kv_cache", "capabilities")):
                    event = client.until(lambda event: end in (event.get("phase"), event["status"])  # noqa: B023
                                         or event["status"] == "error", limit_s=LIMIT_S)
                    if event["status"] == "error":
                        self.require_ready(daemon, event)
                    trips[phase] += pings.take()
                client.ask("unload", model="m", wait=True, limit_s=LIMIT_S)
                pings.take()
            time.sleep(2)  # the idle time that is measured
            trips["idle"] = pings.take()
        daemon.stop()
        return trips


def table_of_watched(trips):
    lines = ["### The loop meanwhile", "", "| round trips of `ping` | p50 ms | p99 ms | worst ms | pings |", "|---|---|---|---|---|"]
    for name, key in (("while the file is read", "mmap"), ("while the KV cache is allocated", "kv_cache"), ("idle", "idle")):
        ordered = sorted(trips[key])
        lines.append(f"| {name} | {measure.percentile(ordered, 50):.2f} | {measure.percentile(ordered, 99):.2f} |"
                     f" {ordered[-1]:.2f} | {len(ordered)} |")
    lag = max(measure.percentile(sorted(trips[key]), 99) for key in ("mmap", "kv_cache"))
    lines += ["", f"Aim: p99 below {LAG_AIM_MS} ms, round trip and client included; it is {lag:.2f}: {verdict(lag < LAG_AIM_MS)}."]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--size-mb", type=int, default=3222)
    parser.add_argument("--kv-mb", type=int, default=4295)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--loads", type=int, default=3)
    parser.add_argument("--choice", choices=("automatic", "populate", "pread"), default="automatic", help="ggufd's way")
    parser.add_argument("--only", action="append", choices=("prefault", "kv", "watched"), default=[])
    parser.add_argument("--folder", help="where to work (default: the temporary folder)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    arguments.only = arguments.only or ["prefault", "kv", "watched"]
    os.environ["GGUFD_BIN_DIR"] = arguments.bin
    told, numbers = [], {}
    with tempfile.TemporaryDirectory(prefix="ggufd-", dir=arguments.folder) as folder:
        model = pathlib.Path(folder) / "model.gguf"
        if {"prefault", "watched"} & set(arguments.only):
            make_file(model, arguments.size_mb)
        if "prefault" in arguments.only:
            text, numbers["prefault"] = prefault(model, arguments)
            told.append(text)
        if "kv" in arguments.only:
            text, numbers["kv"] = kv(arguments)
            told.append(text)
        if "watched" in arguments.only:
            numbers["watched"] = Watched(pathlib.Path(folder) / "daemon", model).watch(arguments.kv_mb * 1000 * 1000,
                                                                                       arguments.loads)
            told.append(table_of_watched(numbers["watched"]))
    print(json.dumps(numbers) if arguments.json else "\n\n".join(told))


if __name__ == "__main__":
    main()
