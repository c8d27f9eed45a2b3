"""What `ggufctl status` takes from exec to exit, with a daemon there and a model ready.

    ./dev bench ctl --runs 200

Timed beside a program that does nothing (/bin/true), which is what a process costs here at all; curl, which asks http.sock for /health;
and, where it is here, socat, which connects, hands the same question over and does not wait for the answer. All of them in turns, one
of each a round, so that what else the machine does falls on all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import ggufd  # noqa: E402
import measure  # noqa: E402

REQUEST = b'{"id":"1","type":"status"}\n'


def elapsed_ms(command, **options):
    """Without a time limit: with one, Python waits in steps, and the times are multiples of them."""
    begin = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, **options)
    return (time.perf_counter() - begin) * 1000


def commands(binary, socket):
    found = {"ggufctl status": [binary, "--socket", socket, "status"],
             "ggufctl status --json": [binary, "--socket", socket, "status", "--json"],
             "ggufctl --version": [binary, "--version"],
             "/bin/true": ["/bin/true"]}
    # It ends when its input does, half a second later at most: -t 0 makes that at once.
    if shutil.which("socat"):
        found["socat"] = ["socat", "-t", "0", f"UNIX-CONNECT:{socket}", "STDIO"]
    if shutil.which("curl"):
        http = str(pathlib.Path(socket).with_name("http.sock"))
        found["curl /health"] = ["curl", "-s", "--unix-socket", http, "http://localhost/health"]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    os.environ["GGUFD_BIN_DIR"] = arguments.bin
    binary = str(pathlib.Path(arguments.bin).resolve() / "ggufctl")
    with tempfile.TemporaryDirectory(prefix="ggufd-") as folder:
        folder = pathlib.Path(folder)
        model = ggufd.make_model(folder / "model.gguf", size_mb=4)
        daemon = ggufd.Daemon(folder, {"models": [{"name": "m", "source": str(model.path), "engine": "resident", "n_ctx": 512}]})
        with daemon.connect() as client:
            client.until_status("ready")
        request = folder / "request"
        request.write_bytes(REQUEST)
        ways = commands(binary, str(daemon.admin_socket))
        times = {name: [] for name in ways}
        for run in range(arguments.runs + 3):
            for name, command in ways.items():
                with request.open("rb") as question:
                    taken = elapsed_ms(command, stdin=question)
                if run >= 3:  # the first ones read the programs from the disk
                    times[name].append(taken)
        daemon.stop()
    if arguments.json:
        print(json.dumps(times))
        return
    print(f"\nFrom exec to exit ({os.cpu_count()} cores, median of {arguments.runs}, in turns)")
    print(f"  {'':24} {'median ms':>10} {'10 % – 90 %':>15} {'minimum':>8}")
    for name, taken in times.items():
        taken.sort()
        span = f"{measure.percentile(taken, 10):.1f} – {measure.percentile(taken, 90):.1f}"
        print(f"  {name:24} {measure.percentile(taken, 50):10.1f} {span:>15} {taken[0]:8.1f}")


if __name__ == "__main__":
    main()
