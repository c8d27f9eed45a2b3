"""The arrows between the rooms of the source tree: who may include whom (docs/architecture.md)."""

import pathlib
import re
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# A room may include itself and the rooms that stand here. "daemon" is the files directly in daemon/.
MAY_INCLUDE = {
    "protocol": set(),
    "loop": {"protocol"},
    "config": {"protocol"},
    "gguf": {"protocol"},
    "store": {"protocol"},
    "memory": {"store", "gguf", "protocol"},
    "fetch": {"loop", "store", "config", "protocol"},
    "engine": {"fetch", "loop", "config", "protocol"},
    "model": {"engine", "fetch", "store", "memory", "gguf", "loop", "config", "protocol"},
    "doctor": {"engine", "fetch", "store", "memory", "gguf", "loop", "config", "protocol"},
    "admin": {"model", "doctor", "engine", "store", "memory", "gguf", "loop", "config", "protocol"},
    "http": {"model", "admin", "memory", "loop", "config", "protocol"},
    "service": {"loop", "config", "protocol"},
    "ctl": {"doctor", "engine", "fetch", "store", "memory", "gguf", "loop", "config", "protocol"},
}
MAY_INCLUDE["daemon"] = set(MAY_INCLUDE)

# A library that has a room of its own shows up nowhere else.
LIBRARY_ROOMS = {
    "uv.h": {"loop", "fetch", "http", "daemon"},
    "curl/": {"fetch"},
    "openssl/": {"store", "fetch"},
    "microhttpd.h": {"http"},
    "msgpack.hpp": {"http"},
    "CLI/": {"ctl", "daemon"},
}

INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)


def room_of(path, root):
    parts = path.relative_to(root).parts
    if parts[0] == "protocol":
        return "protocol"
    return parts[1] if len(parts) > 2 else "daemon"


def sources(root):
    for folder in ("protocol", "daemon"):
        for pattern in ("*.h", "*.cpp"):
            yield from sorted((root / folder).rglob(pattern))


def violations(root):
    """One sentence for every include that points the wrong way."""
    found = []
    for path in sources(root):
        room, where = room_of(path, root), path.relative_to(root)
        if room not in MAY_INCLUDE:
            found.append(f"{where}: the room {room} is not in the table")
            continue
        for ours, library in INCLUDE.findall(path.read_text()):
            if ours:
                found += wrong_arrow(root, room, where, ours)
            found += [f"{where}: <{library}> belongs to {sorted(rooms)}" for prefix, rooms in LIBRARY_ROOMS.items()
                      if library.startswith(prefix) and room not in rooms]
    return found


def wrong_arrow(root, room, where, included):
    if ".." in included:
        return [f'{where}: "{included}" climbs out of its folder']
    if not any((base / included).is_file() for base in (root, root / "daemon")):
        return [f'{where}: "{included}" is not written from an include root']
    target = included.split("/")[0] if "/" in included else "daemon"
    if target != room and target not in MAY_INCLUDE[room]:
        return [f'{where}: {room} may not include {target} ("{included}")']
    return []


class Arrows(unittest.TestCase):
    def test_every_include_points_the_right_way(self):
        self.assertGreater(len(list(sources(ROOT))), 0)
        self.assertEqual(violations(ROOT), [])

    def test_the_table_has_no_circle(self):
        settled = set()
        while len(settled) < len(MAY_INCLUDE):
            free = {room for room, allowed in MAY_INCLUDE.items() if room not in settled and allowed - {room} <= settled}
            self.assertTrue(free, f"a circle among {sorted(set(MAY_INCLUDE) - settled)}")
            settled |= free


class TheCheckItself(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        for name in ("protocol/error.h", "daemon/gguf/reader.h", "daemon/model/model.h", "daemon/daemon.h"):
            self.write(name, "#pragma once\n")

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def test_right_arrows_are_silent(self):
        self.write("daemon/model/model.cpp", '#include "gguf/reader.h"\n#include "protocol/error.h"\n#include <vector>\n')
        self.write("daemon/daemon.cpp", '#include "daemon.h"\n#include "model/model.h"\n')
        self.assertEqual(violations(self.root), [])

    def test_wrong_arrows_are_named(self):
        for name, text, words in (
            ("daemon/gguf/reader.cpp", '#include "model/model.h"\n', "gguf may not include model"),
            ("protocol/frame.cpp", '#include "gguf/reader.h"\n', "protocol may not include gguf"),
            ("daemon/model/model.cpp", '#include "daemon.h"\n', "model may not include daemon"),
            ("daemon/model/step.cpp", '#include "../gguf/reader.h"\n', "climbs"),
            ("daemon/model/near.cpp", '#include "mapping.h"\n', "not written from an include root"),
            ("daemon/gguf/net.cpp", "#include <curl/curl.h>\n", "belongs to"),
            ("daemon/attic/old.cpp", "\n", "the room attic is not in the table"),
        ):
            with self.subTest(name):
                self.write(name, text)
                found = violations(self.root)
                self.assertEqual(len(found), 1, found)
                self.assertIn(words, found[0])
                (self.root / name).unlink()


if __name__ == "__main__":
    unittest.main()
