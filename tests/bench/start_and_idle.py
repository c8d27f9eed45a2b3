"""From exec to the first frame that a subscriber reads; and what an idle daemon costs.

    ./dev bench start_and_idle --runs 15 --idle-s 10

The start is timed beside the start and end of /bin/true, which is what a process costs here at all. Idle is counted, not timed:
the context switches and the CPU time of all the daemon's threads while a model is ready and nobody asks for anything.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import ggufd  # noqa: E402


def first_frame_ms(binary, folder):
    """Connects as soon as the socket is there; the loop around connect() is the only wait."""
    runtime = folder / "run"
    begin = time.perf_counter()
    process = subprocess.Popen([binary, "--runtime-dir", runtime, "--store", folder / "store", "--config", folder / "config.json"],
                               stderr=subprocess.DEVNULL)
    try:
        while True:
            with socket.socket(socket.AF_UNIX) as client:
                try:
                    client.connect(str(runtime / "admin.sock"))
                except (FileNotFoundError, ConnectionRefusedError):
                    if process.poll() is not None or time.perf_counter() - begin > 20:
                        sys.exit("start_and_idle: ggufd did not start")
                    continue
                client.makefile("rb").readline()
                return (time.perf_counter() - begin) * 1000
    finally:
        process.terminate()
        process.wait()


def true_ms():
    begin = time.perf_counter()
    subprocess.run(["/bin/true"], check=True)
    return (time.perf_counter() - begin) * 1000


def switches_and_cpu_ticks(pid):
    switches = ticks = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if "ctxt_switches" in line:
                switches += int(line.split()[1])
        fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return switches, ticks


def idle(folder, seconds, subscribers):
    model = ggufd.make_model(folder / "model.gguf", size_mb=8)
    daemon = ggufd.Daemon(folder, {"models": [{"name": "m", "source": str(model.path), "engine": "resident", "n_ctx": 512}]})
    clients = [daemon.connect() for _ in range(subscribers)]
    for client in clients:
        client.until_status("ready")
    before = switches_and_cpu_ticks(daemon.process.pid)
    time.sleep(seconds)  # the time that is measured
    after = switches_and_cpu_ticks(daemon.process.pid)
    for client in clients:
        client.close()
    daemon.stop()
    return {"seconds": seconds, "subscribers": subscribers, "context_switches": after[0] - before[0],
            "cpu_ticks": after[1] - before[1]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--idle-s", type=float, default=10)
    parser.add_argument("--subscribers", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    os.environ["GGUFD_BIN_DIR"] = arguments.bin
    binary = str(pathlib.Path(arguments.bin).resolve() / "ggufd")
    starts, peers = [], []
    for _ in range(arguments.runs):
        with tempfile.TemporaryDirectory(prefix="ggufd-") as folder:
            folder = pathlib.Path(folder)
            (folder / "config.json").write_text("{}")
            starts.append(first_frame_ms(binary, folder))
            peers.append(true_ms())
    with tempfile.TemporaryDirectory(prefix="ggufd-") as folder:
        quiet = idle(pathlib.Path(folder), arguments.idle_s, arguments.subscribers)
    if arguments.json:
        print(json.dumps({"first_frame_ms": starts, "true_ms": peers, "idle": quiet}))
        return
    print(f"\nFrom exec to the first frame ({os.cpu_count()} cores, median of {arguments.runs})")
    print(f"  ggufd      {statistics.median(starts):6.1f} ms  ({min(starts):.1f}–{max(starts):.1f})")
    print(f"  /bin/true  {statistics.median(peers):6.1f} ms  ({min(peers):.1f}–{max(peers):.1f})")
    print(f"\nIdle, a model ready, {quiet['subscribers']} subscribers, {quiet['seconds']:g} s")
    print(f"  {quiet['context_switches']} context switches, {quiet['cpu_ticks'] * 10} ms of CPU")


if __name__ == "__main__":
    main()
