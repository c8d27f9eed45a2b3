#!/usr/bin/env python3
"""Makes docs/images/watch.svg: `ggufctl watch` beside a real daemon, one model ready and one on its way.

    GGUFD_BIN_DIR=build/release/bin python3 tests/support/picture_of_watch.py
"""

from __future__ import annotations

import pathlib
import shutil
import tempfile

import ggufd
import terminal_picture
from origin import Origin

OUT = pathlib.Path(__file__).resolve().parents[2] / "docs/images/watch.svg"
SIZE_MB, BYTES_PER_SECOND = 400, 40_000_000


def draw(folder):
    web = folder / "web"
    web.mkdir()
    small = ggufd.make_model(web / "embedding.gguf")
    large = ggufd.make_model(web / "chat.gguf", size_mb=SIZE_MB)
    with Origin(web) as origin:
        daemon = ggufd.Daemon(folder, {
            "models": [{"name": "chat", "source": origin.url("chat.gguf"), "sha256": large.sha256, "engine": "resident"},
                       {"name": "embedding", "source": str(small.path), "engine": "resident"}],
            "fetch": {"bytes_per_second": BYTES_PER_SECOND}})
        try:
            with daemon.connect() as client:
                client.until_status("ready")
            command = [str(ggufd.bin_dir() / "ggufctl"), "--runtime-dir", str(daemon.runtime_dir), "watch"]
            return terminal_picture.record(command, columns=110, rows=6, wanted=" 43%", limit_s=60)
        finally:
            daemon.stop()


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ggufd-", dir="/tmp"))
    try:
        screen = draw(folder)
    finally:
        shutil.rmtree(folder)
    text = screen.text()
    if "43%" not in text or "ready" not in text:
        raise SystemExit(f"that is not the picture that was meant:\n{text}")
    # The folder of this run is nobody's.
    OUT.write_text(screen.svg("ggufctl watch: one model ready, one downloading").replace(str(folder / "run"), "/run/user/1000/ggufd"))
    print(text)


if __name__ == "__main__":
    main()
