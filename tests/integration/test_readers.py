"""Readers as other people write them, in three languages and in the shell: they see what our own client sees, and believe
only exact types."""

import json
import os
import pathlib
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import ggufd
import process
import story
from origin import Origin
from readers import strict_structs

READERS = pathlib.Path(__file__).resolve().parents[1] / "support/readers"
FRAME = {"id": "admin", "type": "status", "model": "tiny"}

# Lines, and whether encoding/json takes them into the struct of reader.go.
FITTING = ("{}", "null", '{"seq":5}', '{"seq":-0}', '{"seq":null}', '{"pid":null}', '{"id":null,"vision":null}', '{"SEQ":5}',
           '{"Vision":true}', '{"unknown":1e999}', '{"unknown":{"seq":1.5}}', '{"seq":9223372036854775807}',
           '{"seq":-9223372036854775808}', '{"total_bytes":null}', ' {"n_ctx" : 512} ', '{"id":"\\ud800"}', '{"seq":2,"seq":1}')
UNFIT = ('{"seq":1.0}', '{"seq":1e3}', '{"seq":"1"}', '{"seq":true}', '{"seq":[]}', '{"seq":{}}', '{"seq":9223372036854775808}',
         '{"seq":-9223372036854775809}', '{"SEQ":1.0}', '{"vision":1}', '{"vision":"true"}', '{"vision":[]}', '{"id":5}',
         '{"id":true}', '{"id":["a"]}', '{"total_bytes":"null"}', '{"gpu_layers":0.0}', "[]", "5", '"a"', "{", '{"seq":NaN}',
         '{"seq":01}', '{"seq":1}{}', "{'seq':1}", '{"seq":1,}', '{"seq":1.5,"seq":1}')


def names(events):
    return [event.get("phase") or event["status"] for event in events]


class ReaderTest(ggufd.DaemonTest):
    """A model behind an origin that is loaded when it is asked for, and a client of ours that listens from the first moment."""

    def setUp(self):
        super().setUp()
        self.file = self.model(size_mb=1)
        self.origin = self.enterContext(Origin(self.web))
        self.daemon = self.start(self.config_for(self.origin.url("model.gguf"), self.file, load="manual"))
        self.path = str(self.daemon.admin_socket)
        self.client = self.connect(self.daemon)
        self.client.until_status("starting")
        self.client.ask("ping")

    def run_program(self, *command, stdin=subprocess.DEVNULL):
        child = subprocess.Popen(process.tied_to_us([str(word) for word in command]), stdin=stdin, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
        self.addCleanup(child.stderr.close)
        self.addCleanup(child.stdout.close)
        self.addCleanup(process.end, child)
        return child

    def wait_until_connected(self, count=2):
        """Until the daemon knows of so many readers, our client being one."""
        with self.daemon.connect() as asker:
            asker.ask("unsubscribe")
            process.wait_until(lambda: asker.ask("status")["subscribers"] >= count, self.daemon.process, ggufd.LIMIT_S,
                               "the readers to connect")

    def load(self):
        """Our client's last event is then the one that tells of it; likewise below."""
        self.assertEqual(self.client.ask("load", wait=True).get("state"), "ready", self.daemon.stderr())
        self.assertEqual(self.client.events[-1]["status"], "ready")

    def unload(self):
        self.assertEqual(self.client.ask("unload", wait=True).get("state"), "uninitialized")
        self.assertEqual(self.client.events[-1]["status"], "unloaded")


class Languages:
    """What holds for a reader in any language."""

    def command(self):
        """How it is started."""
        raise NotImplementedError

    def finish(self, reader):
        """The JSON that it prints."""
        out, errors = reader.communicate(timeout=ggufd.LIMIT_S)
        self.assertEqual(reader.returncode, 0, errors.decode())
        self.assertEqual(out.count(b"\n"), 1)
        return json.loads(out)

    def watch(self):
        """What a reader sees of one whole bring-up: the same as our client."""
        reader = self.run_program(*self.command(), self.path, "watch")
        self.wait_until_connected()
        self.load()
        seen = self.finish(reader)
        told = self.client.events[-len(seen["seqs"]):]
        self.assertEqual(seen["seqs"][1:], [event["seq"] for event in told][1:])
        self.assertEqual(seen["names"], names(told))
        self.assertEqual(seen["names"][0], "starting")
        self.assertLessEqual({"checking_local", "download", "verify", "mmap", "kv_cache", "capabilities"}, set(seen["names"]))
        self.assertEqual(seen["names"][-1], "ready")
        return seen

    def test_a_whole_bring_up(self):
        totals = self.watch()["totals"]
        self.assertLessEqual(set(totals), {None, self.file.size_bytes})
        self.assertEqual(totals[-1], self.file.size_bytes)

    def test_a_source_that_does_not_tell_its_length(self):
        self.origin.fault("/model.gguf", chunked=True, throttle_bytes_per_second=4_000_000)
        totals = self.watch()["totals"]
        self.assertGreater(totals.count(None), 1, "it stays unknown while bytes come")
        self.assertEqual(totals[-1], self.file.size_bytes)

    def test_three_requests_in_one_write(self):
        self.load()
        seen = self.finish(self.run_program(*self.command(), self.path, "ask"))
        answers = seen["answers"]
        self.assertEqual({request_id: answer["type"] for request_id, answer in answers.items()}, dict.fromkeys("spb", "response"))
        self.assertEqual([(model["name"], model["state"]) for model in answers["s"]["models"]], [("tiny", "ready")])
        self.assertEqual((answers["p"]["protocol"], answers["p"]["pid"]), (1, self.daemon.process.pid))
        told = [event for event in self.client.events if "seq" in event]
        self.assertEqual(seen["seqs"], list(range(1, told[-1]["seq"] + 1)))
        self.assertEqual(seen["names"][-len(told):], names(told))

    def test_the_end_before_ready_is_a_failure(self):
        reader = self.run_program(*self.command(), self.path, "watch")
        self.wait_until_connected()
        self.stop(self.daemon)
        _, errors = reader.communicate(timeout=ggufd.LIMIT_S)
        self.assertEqual(reader.returncode, 1)
        self.assertIn(b"ended too soon", errors)

    def told(self, *frames):
        """A reader's exit code after a daemon that is none has told it `frames` and closed."""
        path = str(self.folder / "other.sock")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            pathlib.Path(path).unlink(missing_ok=True)
            listener.bind(path)
            listener.listen()
            listener.settimeout(ggufd.LIMIT_S)
            reader = self.run_program(*self.command(), path, "watch")
            with listener.accept()[0] as connection:
                connection.sendall(b"".join(frame + b"\n" for frame in frames))
        reader.communicate(timeout=ggufd.LIMIT_S)
        return reader.returncode

    def test_what_these_readers_refuse(self):
        """So that the tests above can fail."""
        ready = json.dumps(FRAME | {"status": "ready", "load_ms": 1, "seq": 9, "later": [1.5, None]}).encode()
        self.assertEqual(self.told(b'{"id":"admin","type":"status","status":"soaring","phase":"loop"}', ready), 0)
        self.assertEqual(self.told(ready.replace(b'"ready"', b'"Ready"')), 1)
        self.assertEqual(self.told(ready.replace(b'"ready"', b'"ready "')), 1)
        for wrong in (b'"seq":9.5', b'"seq":"9"', b'"n_ctx":512.5', b'"vision":1', b'"vision":"true"', b'"path":5',
                      b'"total_bytes":"5"', b'"total_bytes":0.5', b'"gpu_layers":true', b'"vram_total_bytes":"0"'):
            with self.subTest(wrong):
                self.assertEqual(self.told(b'{"id":"admin","type":"status","status":"x",' + wrong + b"}", ready), 2)


class Python(Languages, ReaderTest):
    def command(self):
        return sys.executable, "-B", READERS / "reader.py"


@unittest.skipUnless(shutil.which("node"), "node is not here")
class Node(Languages, ReaderTest):
    def command(self):
        return "node", READERS / "reader.js"


def find_go():
    """On PATH, or where `./dev test` unpacks it."""
    unpacked = pathlib.Path(__file__).resolve().parents[2] / "build/tools/go/usr/lib/go-1.19/bin/go"
    return shutil.which("go") or (str(unpacked) if os.access(unpacked, os.X_OK) else None)


@unittest.skipUnless(find_go(), "go is not here; strict_structs.py stands in for its encoding/json")
class Go(Languages, ReaderTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.build = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="ggufd-")))
        settings = {"GO111MODULE": "off", "GOFLAGS": "", "GOCACHE": cls.build / "cache", "GOPATH": cls.build / "path"}
        subprocess.run([find_go(), "build", "-o", str(cls.build / "reader"), str(READERS / "reader.go")], check=True, timeout=300,
                       env=ggufd.environment(cls.build, **settings))

    def command(self):
        return (self.build / "reader",)

    def test_its_structs_are_those_that_stand_in_for_it(self):
        reader = self.run_program(*self.command(), "-", "structs", stdin=subprocess.PIPE)
        out, _ = reader.communicate("".join(line + "\n" for line in (*FITTING, *UNFIT)).encode(), timeout=ggufd.LIMIT_S)
        self.assertEqual(out.split(), [b"true"] * len(FITTING) + [b"false"] * len(UNFIT))


class StrictStructs(unittest.TestCase):
    def test_what_fits(self):
        for line in FITTING:
            with self.subTest(line):
                strict_structs.unmarshal(line, strict_structs.FRAME)

    def test_what_does_not(self):
        for line in UNFIT:
            with self.subTest(line), self.assertRaises(strict_structs.Mismatch):
                strict_structs.unmarshal(line, strict_structs.FRAME)

    def test_values(self):
        read = strict_structs.unmarshal(b'{"seq":5,"pid":null,"VISION":true,"n_ctx":1,"N_CTX":2}', strict_structs.FRAME)
        self.assertEqual((read["seq"], read["pid"], read["vision"], read["n_ctx"], read["total_bytes"], read["id"]),
                         (5, 0, True, 2, None, ""))

    def test_its_struct_is_that_of_the_reader_in_go(self):
        body = re.search(r"^type Frame struct \{\n(.*?)^\}", (READERS / "reader.go").read_text(), re.MULTILINE | re.DOTALL)[1]
        kinds = {"string": strict_structs.String(), "int64": strict_structs.Integer(), "bool": strict_structs.Bool(),
                 "*int64": strict_structs.Pointer(strict_structs.Integer())}
        fields = {key: kinds[kind] for kind, key in re.findall(r"^\s+\w+\s+(\S+)\s+`json:\"(\w+)\"`$", body, re.MULTILINE)}
        self.assertEqual(fields, strict_structs.FRAME.fields)

    def test_it_knows_every_key_of_a_story(self):
        keys = {key for kinds in (story.STATUS_KEYS, story.PHASE_KEYS) for keys in kinds.values() for key in keys}
        self.assertLessEqual(keys | set(story.OPTIONAL_KEYS), set(strict_structs.FRAME.fields))


class TypedFrames(ReaderTest):
    def test_every_frame_fits_typed_structs(self):
        for fault in ({"chunked": True, "throttle_bytes_per_second": 4_000_000}, {}):
            self.origin.fault("/model.gguf", **fault)
            self.load()
            self.client.ask("status")
            self.unload()
            shutil.rmtree(self.store / "blobs")
        self.client.ask("status", model="nobody")
        self.client.ask("subscribe", since=10**6)
        self.client.until_status("lagged")
        self.stop(self.daemon)
        self.client.read_to_end()
        for line in self.client.lines:
            read = strict_structs.unmarshal(line, strict_structs.FRAME)
            exact = {key: value for key, value in json.loads(line).items() if key in read}
            self.assertEqual({key: read[key] for key in exact}, exact)


class Piped:
    """A child's lines with a time limit."""

    def __init__(self, child):
        self.child = child
        self._pending = b""

    def line(self):
        deadline = time.monotonic() + ggufd.LIMIT_S
        while b"\n" not in self._pending:
            if not select.select([self.child.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError("no line came in time")
            data = os.read(self.child.stdout.fileno(), 1 << 16)
            if not data:
                raise ggufd.ClosedByPeer(f"the program ended: {self.child.stderr.read().decode()}")
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def until(self, wanted):
        """The frames up to the first for which `wanted` holds."""
        found = []
        while not found or not wanted(found[-1]):
            found.append(json.loads(self.line()))
        return found


class Shell(ReaderTest):
    def piped(self, *command, stdin=subprocess.DEVNULL):
        if not shutil.which(command[0]):
            self.skipTest(f"{command[0]} is not here")
        return Piped(self.run_program(*command, stdin=stdin))

    def needs_bsd_netcat(self):
        if not shutil.which("nc") or b"-U" not in subprocess.run(["nc", "-h"], capture_output=True, check=False).stderr:
            self.skipTest("an nc that knows Unix sockets (netcat-openbsd) is not here")

    def assert_shows_everything(self, piped):
        """A bring-up and what follows it, as our client sees it."""
        self.wait_until_connected()
        self.load()
        shown = piped.until(lambda frame: frame["status"] == "ready")
        self.assertEqual(shown[1:], self.client.events[-len(shown) + 1:])
        self.assertEqual(names(shown)[0], "starting")
        before = len(self.client.events)
        self.unload()
        self.assertEqual(piped.until(lambda frame: frame["status"] == "unloaded"), self.client.events[before:])

    def test_socat_shows_everything(self):
        self.assert_shows_everything(self.piped("socat", "-u", f"UNIX-CONNECT:{self.path}", "-"))

    def test_socat_that_could_also_write_shows_everything(self):
        """Its stdin ends at once and it half-closes the connection; `-t` is how long it goes on reading after that."""
        self.assert_shows_everything(self.piped("socat", "-t", str(ggufd.LIMIT_S), "-", f"UNIX-CONNECT:{self.path}"))

    def test_nc_shows_everything(self):
        self.needs_bsd_netcat()
        for options in ("-U", "-UN", "-Ud"):
            with self.subTest(options):
                piped = self.piped("nc", options, self.path)
                self.wait_until_connected()
                self.assertEqual(json.loads(piped.line())["type"], "status")
                self.load()
                self.assertEqual(piped.until(lambda frame: frame["status"] == "ready")[-1], self.client.events[-1])
                self.unload()
                process.end(piped.child)

    def ask_through(self, *command):
        """One request through a pipe: what comes up to its answer."""
        piped = self.piped(*command, stdin=subprocess.PIPE)
        piped.child.stdin.write(b'{"id":"1","type":"ping"}\n')
        piped.child.stdin.close()
        shown = piped.until(lambda frame: frame["type"] != "status")
        self.assertEqual([frame["status"] for frame in shown[:-1]], ["starting"])
        self.assertEqual((shown[-1]["id"], shown[-1]["type"], shown[-1]["pid"]), ("1", "response", self.daemon.process.pid))

    def test_a_request_through_socat(self):
        self.ask_through("socat", "-t", str(ggufd.LIMIT_S), "-", f"UNIX-CONNECT:{self.path}")

    def test_a_request_through_nc(self):
        self.needs_bsd_netcat()
        for options in (["-U"], ["-N", "-U"], ["-q", "1", "-U"]):
            with self.subTest(options):
                self.ask_through("nc", *options, self.path)

    def test_jq_takes_every_line(self):
        source = self.piped("socat", "-u", f"UNIX-CONNECT:{self.path}", "-").child
        self.assert_shows_everything(self.piped("jq", "--unbuffered", "-c", ".", stdin=source.stdout))

    def test_jq_finds_the_one_that_counts(self):
        source = self.piped("socat", "-u", f"UNIX-CONNECT:{self.path}", "-").child
        found = self.piped("jq", "--unbuffered", "-c", 'select(.status=="ready")', stdin=source.stdout)
        self.wait_until_connected()
        self.load()
        self.assertEqual(json.loads(found.line()), self.client.events[-1])


if __name__ == "__main__":
    unittest.main()
