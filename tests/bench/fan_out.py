"""One event to many readers over Unix sockets: ggufd's admin room, redis's pub/sub and a bare loop of writes.

    ./dev bench fan_out
    ./dev bench fan_out --quick
    ./dev bench fan_out --subscribers 1000 --runs 5 --json

Frames are a download's, as the protocol encodes them, about 330 bytes. In each round, each way has processes of its own: a
server, one process that holds all the readers (epoll, large reads, no parsing), and for redis one that publishes. They stay open
while the others are measured, and take turns. Figures are medians of the rounds, those of steady streams of all turns.

bursts   500 frames at once, again once every reader has all of the former (a single one at 10,000 readers). A reader that is
         behind is spared superseded progress, and a frame that is not sent costs nothing; so here loading_model and restarting
         take turns: every frame is a change that nobody may miss, and 500 are less than the 1,024 that one may be behind.
         ggufd publishes them within one turn of its loop, redis reads them from a pipelining client's socket, about 50 at a
         time: "ggufd, 50 a turn" is ggufd at that pace. The bare loop does it in the first round only.
steady   10 frames a second, changes too.
progress 2,000 frames of real progress, 50 a turn, then `ready`: how many were sent to a reader on average, since the rest was
         superseded, and how long after its publication the last one had `ready`.
stuck    nine tenths of the readers without and with the last tenth, which connects and never reads; its sockets are full before
         the measuring begins.

frames/s  frames that readers have got, by the time from the first one's publication to the last one's reading.
CPU       of the process that broadcasts, user and system: of redis that is redis-server without its publisher.
p50, p99  from a frame's publication to the end of the read() that brought it, on the clock that all processes share; of redis
          that includes the way to the server.
memory    anonymous memory of the server (RssAnon) after the bursts, less that before the first connection, by the number of
          readers. The kernel's buffers and its own structures for sockets are not in it.

The readers and redis's publisher share the machine's cores with the server. redis-server is looked for on PATH and in
build/tools/redis, where `./dev` unpacks it; without it the other rows are shown.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import pathlib
import resource
import select
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import redis_server  # noqa: E402

LIMIT_S = 60  # for any one thing that a process is told to do
BURST_FRAMES, TURN_FRAMES, WARM_UP_FRAMES = 500, 50, 100
STEADY_INTERVAL_MS = 100
STEADY_TURNS = 3  # of each way in a round
FRAMES_A_RUN = 1_000_000  # delivered in bursts, but for few readers, where there are MAX_BURSTS bursts
MAX_BURSTS = 40
STUCK_FILL_FRAMES = 4000  # of 330 bytes: more than a socket's buffer holds
MIN_READERS_FOR_MEMORY = 1000
OURS, OURS_PACED, REDIS, LOOP = "ggufd", "ggufd, 50 a turn", "redis pub/sub", "bare loop of writes"


def verdict(holds):
    return "reached" if holds else "missed"


def raise_file_limit():
    """Inherited by every process that is started."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def cpu_ns(pid):
    """Of all threads of a running process, to the nanosecond: its CPU clock, as clock_getcpuclockid(3) makes it."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def rss_anon_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no RssAnon in /proc/<pid>/status")


class Program:
    """A fan_out_bench: takes lines on stdin, answers with a line of JSON each."""

    def __init__(self, binary, *arguments):
        self.name = str(arguments[0])
        self.process = subprocess.Popen([binary, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.unread = b""

    def tell(self, line):
        self.process.stdin.write(line.encode() + b"\n")

    def hear(self, limit_s=LIMIT_S):
        end = time.monotonic() + limit_s
        while b"\n" not in self.unread:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise RuntimeError(f"{self.name} has not answered within {limit_s:g} s")
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                raise RuntimeError(f"{self.name} has ended")
            self.unread += piece
        line, self.unread = self.unread.split(b"\n", 1)
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Session:
    """One way with its server and its readers, from start to end."""

    def __init__(self, bench, way, readers, stuck=0):
        self.bench = bench
        self.way = way
        self.readers = readers
        self.stuck = stuck
        self.published = 0

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="ggufd-")
        self.open = []
        try:
            self.start(pathlib.Path(self.folder.name))
        except BaseException as failure:
            self.__exit__(failure)
            raise
        return self

    def __exit__(self, failure=None, *_):
        for process in reversed(self.open):
            process.close()
        self.folder.cleanup()
        ends = [process.process.returncode for process in self.open]
        if failure is None and any(ends):
            raise RuntimeError(f"{self.way}: the processes ended with {ends}")

    def opened(self, process):
        self.open.append(process)
        return process

    def start(self, folder):
        path, stamps = folder / "socket", folder / "stamps"
        stamps.touch()
        verb = {OURS: "serve-ggufd", LOOP: "write-loop", REDIS: "redis-publish"}[self.way]
        if self.way == REDIS:
            server = self.opened(redis_server.RedisServer(self.bench.redis, folder, path, self.bench.max_files - 64))
        self.publisher = self.opened(Program(self.bench.binary, verb, path, stamps))
        self.publisher.hear()
        self.server_pid = server.pid if self.way == REDIS else self.publisher.process.pid
        self.memory_before = rss_anon_bytes(self.server_pid)
        options = ["--readers", self.readers, "--stuck", self.stuck] + (["--redis"] if self.way == REDIS else [])
        self.reader = self.opened(Program(self.bench.binary, "read", path, stamps, *options))
        self.reader.hear()

    def publish(self, command, count):
        """Until every reader has all of it: the nanoseconds from the first publication to the last reading."""
        self.published += count
        self.reader.tell(f"expect {self.published}")
        self.publisher.tell(command)
        begin = self.publisher.hear()["begin_ns"]
        return self.reader.hear()["last_read_ns"] - begin

    def report(self):
        self.reader.tell("report")
        return self.reader.hear()

    def measured(self, publish):
        """`publish` returns nanoseconds of wall time."""
        self.report()
        cpu = cpu_ns(self.server_pid)
        wall_ns = publish()
        cpu = cpu_ns(self.server_pid) - cpu
        told = self.report()
        return {"frames": told["frames"], "wall_s": wall_ns / 1e9, "frames_per_s": told["frames"] / wall_ns * 1e9,
                "cpu_us_per_frame": cpu / 1e3 / told["frames"], "p50_ms": told["p50_ns"] / 1e6, "p99_ms": told["p99_ns"] / 1e6,
                "worst_ms": told["worst_ns"] / 1e6}

    def bursts(self, per_turn=BURST_FRAMES):
        number = max(1, min(MAX_BURSTS, FRAMES_A_RUN // (self.readers * BURST_FRAMES)))
        command = f"burst {BURST_FRAMES} {per_turn}"
        return self.measured(lambda: sum(self.publish(command, BURST_FRAMES) for _ in range(number)))

    def steady(self, seconds):
        count = max(1, round(seconds * 1000 / STEADY_INTERVAL_MS))
        return self.measured(lambda: self.publish(f"steady {count} {STEADY_INTERVAL_MS}", count))

    def progress(self, count=2000):
        """The last thing of a session: readers differ in what they have got."""
        def publish():
            self.reader.tell(f"expect-end {self.published + count}")
            self.reader.hear()
            self.publisher.tell(f"progress {count} {TURN_FRAMES}")
            begin = self.publisher.hear()["begin_ns"]
            return self.reader.hear()["last_read_ns"] - begin
        return self.measured(publish) | {"published": count + 1}

    def warm_up(self):
        self.publish(f"burst {WARM_UP_FRAMES} {TURN_FRAMES}", WARM_UP_FRAMES)

    def memory_bytes(self):
        return rss_anon_bytes(self.server_pid) - self.memory_before


class Bench:
    def __init__(self, arguments, max_files):
        self.binary = str(pathlib.Path(arguments.bin).resolve() / "fan_out_bench")
        self.redis = redis_server.find()
        self.max_files = max_files
        self.runs = arguments.runs
        self.steady_s = arguments.steady_s
        self.ways = [OURS] + ([REDIS] if self.redis else []) + [LOOP]

    def race(self, readers):
        """{way: {what: [figures of each round or, of steady, of each turn]}}"""
        rows = collections.defaultdict(lambda: collections.defaultdict(list))
        for number in range(self.runs):
            with contextlib.ExitStack() as sessions:
                ways = {way: sessions.enter_context(Session(self, way, readers)) for way in self.ways}
                for way, session in ways.items():
                    session.warm_up()
                    # A write a frame and reader takes long, and nothing is held against it.
                    if way == LOOP and number > 0:
                        continue
                    rows[way]["bursts"].append(session.bursts())
                    rows[way]["memory_bytes"].append(session.memory_bytes())
                    if way == OURS:
                        rows[OURS_PACED]["bursts"].append(session.bursts(TURN_FRAMES))
                for _ in range(STEADY_TURNS):
                    for way, session in ways.items():
                        rows[way]["steady"].append(session.steady(self.steady_s))
                rows[OURS]["progress"].append(ways[OURS].progress())
        return rows

    def with_stuck(self, all_readers):
        """{"without"|"with": {what: [...]}}: the same number of reading readers both times."""
        stuck = all_readers // 10
        rows = collections.defaultdict(lambda: collections.defaultdict(list))
        for _ in range(self.runs):
            with contextlib.ExitStack() as sessions:
                pair = {name: sessions.enter_context(Session(self, OURS, all_readers - stuck, number))
                        for name, number in (("without", 0), ("with", stuck))}
                for session in pair.values():
                    for _ in range(STUCK_FILL_FRAMES // BURST_FRAMES):
                        session.publish(f"burst {BURST_FRAMES} {TURN_FRAMES}", BURST_FRAMES)
                for _ in range(STEADY_TURNS):
                    for name, session in pair.items():
                        rows[name]["bursts"].append(session.bursts())
                        rows[name]["steady"].append(session.steady(self.steady_s))
        return {"readers": all_readers - stuck, "stuck": stuck, "rows": rows}


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def cells(runs, keys):
    return [f"{median(runs, key):.3f}" for key in keys] if runs else ["–"] * len(keys)


def table(readers, rows):
    """Markdown, ready for docs/benchmarks.md."""
    lines = [f"### {readers:,} subscriber{'s' if readers > 1 else ''}", "",
             f"| median of {len(rows[OURS]['bursts'])} rounds | bursts: million frames/s | min–max | CPU µs a frame | p50 ms |"
             " p99 ms | steady: CPU µs a frame | p50 ms | p99 ms | KiB a subscriber |", "|---" * 10 + "|"]
    for way in (OURS, OURS_PACED, REDIS, LOOP):
        if way not in rows:
            continue
        bursts, steady, memory = rows[way]["bursts"], rows[way]["steady"], rows[way]["memory_bytes"]
        rates = [run["frames_per_s"] / 1e6 for run in bursts]
        row = [way, f"{statistics.median(rates):.2f}", f"{min(rates):.2f}–{max(rates):.2f}",
               *cells(bursts, ("cpu_us_per_frame", "p50_ms", "p99_ms")), *cells(steady, ("cpu_us_per_frame", "p50_ms", "p99_ms")),
               f"{statistics.median(memory) / 1024 / readers:.2f}" if memory and readers >= MIN_READERS_FOR_MEMORY else "–"]
        lines.append(f"| {' | '.join(row)} |")
    progress = rows[OURS]["progress"]
    got = statistics.median(run["frames"] / readers for run in progress)
    lines += ["", f"Progress: of {progress[0]['published']:,} frames a reader was sent {got:,.0f} on average, at"
              f" {median(progress, 'cpu_us_per_frame'):.3f} µs of CPU each; it had the last one after"
              f" {median(progress, 'p50_ms'):.1f} ms (p50), {median(progress, 'p99_ms'):.1f} ms (p99)."]
    return "\n".join(lines)


def ratio(rows, peer, what, key):
    return median(rows[OURS][what], key) / median(rows[peer][what], key)


def aims(readers, rows):
    lines = [f"### Aims, at {readers:,}", ""]
    if REDIS in rows:
        rate, cpu = ratio(rows, REDIS, "bursts", "frames_per_s"), ratio(rows, REDIS, "bursts", "cpu_us_per_frame")
        lines.append(f"- bursts, against redis: at least 2 times its frames a second, it is {rate:.2f}: {verdict(rate >= 2)};"
                     f" at most 0.5 of its CPU a frame, it is {cpu:.2f}: {verdict(cpu <= 0.5)}.")
    else:
        lines.append("- bursts, against redis: not measured, there is no redis-server here.")
    parts = []
    for name, key in (("CPU a frame", "cpu_us_per_frame"), ("p50", "p50_ms"), ("p99", "p99_ms")):
        value = ratio(rows, LOOP, "steady", key)
        parts.append(f"{name} {value:.2f}: {verdict(value <= 1.2)}")
    lines.append(f"- steady, against the bare loop: at most 1.2 times. {'; '.join(parts)}.")
    return "\n".join(lines)


def table_of_stuck(told):
    rows = told["rows"]
    lines = [f"### {told['readers']:,} readers, and {told['stuck']:,} that are stuck", "",
             f"| median of {len(rows['with']['steady'])} turns | without: p50 ms | p99 ms | with: p50 ms | p99 ms |"
             " p99 with by without |",
             "|---" * 6 + "|"]
    changes = {}
    for what in ("bursts", "steady"):
        changes[what] = median(rows["with"][what], "p99_ms") / median(rows["without"][what], "p99_ms")
        row = [what, *cells(rows["without"][what], ("p50_ms", "p99_ms")), *cells(rows["with"][what], ("p50_ms", "p99_ms")),
               f"{changes[what]:.2f}"]
        lines.append(f"| {' | '.join(row)} |")
    holds = all(change < 1.1 for change in changes.values())
    return "\n".join(lines + ["", f"Aim: the others' p99 grows by less than 10 %: {verdict(holds)}."])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--subscribers", type=int, action="append", default=[], help="may be repeated (1, 100, 1000, 10000)")
    parser.add_argument("--steady-s", type=float, default=1, help="length of one way's turn; it has three in a round")
    parser.add_argument("--only", choices=("race", "stuck"))
    parser.add_argument("--quick", action="store_true", help="one round, not more than 1,000 subscribers")
    parser.add_argument("--json", action="store_true", help="every round's figures")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.runs = 1
    sizes = arguments.subscribers or ([1, 100, 1000] if arguments.quick else [1, 100, 1000, 10_000])
    bench = Bench(arguments, raise_file_limit())
    if not bench.redis:
        print("fan_out: there is no redis-server on PATH or in build/tools/redis; its rows are left out", file=sys.stderr)
    told, numbers = [], {"subscribers": {}, "cores": os.cpu_count()}
    reference = 1000 if 1000 in sizes else max(sizes)
    if arguments.only != "stuck":
        for readers in sizes:
            rows = bench.race(readers)
            numbers["subscribers"][readers] = rows
            told.append(table(readers, rows))
        told.append(aims(reference, numbers["subscribers"][reference]))
    if arguments.only != "race" and reference >= 10:
        numbers["stuck"] = bench.with_stuck(reference)
        told.append(table_of_stuck(numbers["stuck"]))
    print(json.dumps(numbers) if arguments.json else "\n\n".join(told))


if __name__ == "__main__":
    main()
