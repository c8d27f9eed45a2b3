"""What the benchmark drivers share: timed commands, medians, one table. Not a driver itself (`./dev bench` skips it)."""

from __future__ import annotations

import dataclasses
import json
import mmap
import os
import pathlib
import resource
import statistics
import time


@dataclasses.dataclass
class Result:
    """Wall and CPU seconds of each run of one way to do a thing. CPU is that of the children, user and system."""

    name: str
    wall_s: list[float] = dataclasses.field(default_factory=list)
    cpu_s: list[float] = dataclasses.field(default_factory=list)


def prepare(free_bytes):
    """A round begins with everything on the disk, and with as much memory at hand as every other.

    On a virtual machine free memory may have gone back to the host, and whoever runs first pays for getting it again."""
    os.sync()
    with mmap.mmap(-1, free_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE):
        pass


def percentile(ordered, percent):
    """Of a sorted list: the value that `percent` of them do not exceed."""
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def cpu_s(pid):
    """User and system time of a running process so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def as_dict(results, bytes_moved):
    return {"bytes": bytes_moved, "results": [dataclasses.asdict(result) for result in results]}


def _children_cpu_s():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(result, action):
    """Runs `action`, whose children have been waited for when it returns."""
    cpu, wall = _children_cpu_s(), time.perf_counter()
    action()
    result.wall_s.append(time.perf_counter() - wall)
    result.cpu_s.append(_children_cpu_s() - cpu)


def show(title, results, bytes_moved, as_json=False):
    """A table of medians with the range of the wall times, or the same as JSON."""
    if as_json:
        print(json.dumps({"title": title} | as_dict(results, bytes_moved)))
        return
    print(f"\n{title} ({bytes_moved / (1 << 20):,.0f} MiB, {os.cpu_count()} cores, median of {len(results[0].wall_s)})")
    print(f"  {'':34} {'wall s':>8} {'min–max':>15} {'CPU s':>8} {'MiB/s':>8}")
    for result in results:
        wall = statistics.median(result.wall_s)
        span = f"{min(result.wall_s):.2f}–{max(result.wall_s):.2f}"
        print(f"  {result.name:34} {wall:8.2f} {span:>15} {statistics.median(result.cpu_s):8.2f} "
              f"{bytes_moved / (1 << 20) / wall:8,.0f}")
