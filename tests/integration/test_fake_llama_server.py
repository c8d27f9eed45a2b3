"""The fake llama-server behaves as the real one where a supervisor looks: readiness, refusals, ends, its diary."""

import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import unittest

import process
from ggufd import bin_dir

FAKE = pathlib.Path(__file__).resolve().parent.parent / "support" / "fake_llama_server.py"
LIMIT_S = 20


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=LIMIT_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(LIMIT_S)
        try:
            self.sock.connect(str(self.path))
        except OSError:
            self.close()
            raise


class Fake:
    """A running one, with its log in a file."""

    def __init__(self, test, *arguments, mood="", descriptors=(), variables=None):
        self.folder = test.folder
        self.log_path = self.folder / "log"
        self.diary_path = self.folder / "diary"
        self.socket_path = self.folder / "s.sock"
        environment = {"PATH": os.environ["PATH"], "GGML_FAKE_MOOD": mood, "GGML_FAKE_DIARY": str(self.diary_path),
                       **(variables or {})}
        given = arguments or ("--model", test.model, "--host", self.socket_path)
        with open(self.log_path, "wb") as log:
            self.child = subprocess.Popen(process.tied_to_us([FAKE, *map(str, given)]), stdin=subprocess.DEVNULL,
                                          stdout=log, stderr=log, env=environment, pass_fds=descriptors)
        test.addCleanup(process.end, self.child)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_for_log(self, text):
        process.wait_until(lambda: text in self.log(), self.child, LIMIT_S, f"{text!r} in {self.log()!r}")
        return self

    def wait_until_ready(self):
        return self.wait_for_log("listening on ")

    def ask(self, method, path, body=None):
        """(status, document)"""
        with contextlib.closing(UnixConnection(self.socket_path)) as connection:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def diary(self):
        return [json.loads(line) for line in self.diary_path.read_text().splitlines()]

    def end(self):
        return self.child.wait(LIMIT_S)


class FakeLlamaServer(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="fake-", dir="/tmp")  # short: a socket is in it
        self.addCleanup(self.temporary.cleanup)
        self.folder = pathlib.Path(self.temporary.name)
        self.model = self.folder / "model.gguf"
        subprocess.run([bin_dir() / "make_gguf", self.model, "--size-mb", "1"], check=True, stdout=subprocess.DEVNULL)

    def start(self, *arguments, **options):
        return Fake(self, *arguments, **options)

    def test_it_loads_a_model_and_answers(self):
        fake = self.start("--model", self.model, "--host", self.folder / "s.sock", "-c", "512", "-np", "2", "-ngl", "0", "-t",
                          "2", "-ctk", "q8_0", "-ctv", "q8_0", "--no-kv-unified", "-lv", "4").wait_until_ready()
        self.assertEqual(fake.ask("GET", "/health"), (200, {"status": "ok"}))
        self.assertEqual(fake.ask("GET", "/props")[1]["total_slots"], 2)
        self.assertEqual([slot["is_processing"] for slot in fake.ask("GET", "/slots")[1]], [False, False])
        self.assertTrue(fake.ask("POST", "/completion", {"prompt": "a", "n_predict": 1})[1]["content"])
        chat = fake.ask("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]})[1]
        self.assertTrue(chat["choices"][0]["message"]["content"])
        self.assertEqual(fake.ask("GET", "/nowhere")[0], 404)
        for line in ("(mmap = true", "CPU_Mapped model buffer size =", "KV buffer size =", "warming up the model",
                     f"listening on unix://{fake.socket_path}"):
            self.assertIn(line, fake.log())
        fake.child.terminate()
        self.assertEqual(fake.end(), 0)

    def test_it_says_that_it_loads_until_it_has(self):
        fake = self.start(mood="slow_load=600")
        process.wait_until(fake.socket_path.exists, fake.child, LIMIT_S, "the socket")
        code, document = process.wait_until(lambda: self.answer(fake), fake.child, LIMIT_S, "an answer")
        self.assertEqual((code, document["error"]["message"]), (503, "Loading model"))
        fake.child.terminate()
        self.assertEqual(fake.end(), -signal.SIGTERM, "the handlers come after the load")

    @staticmethod
    def answer(fake):
        try:
            return fake.ask("GET", "/health")
        except ConnectionRefusedError:
            return None  # bound, not yet listening

    def test_it_takes_a_model_from_a_descriptor_that_has_no_name_any_more(self):
        descriptor = os.open(self.model, os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        self.model.unlink()
        fake = self.start("--model", f"/proc/self/fd/{descriptor}", "--host", self.folder / "s.sock",
                          descriptors=[descriptor]).wait_until_ready()
        self.assertEqual(fake.ask("GET", "/health")[0], 200)

    def test_it_refuses_what_is_no_model(self):
        self.model.write_bytes(b"<html>" * 100)
        fake = self.start()
        self.assertEqual(fake.end(), 1)
        self.assertIn("invalid magic characters: '<htm', expected 'GGUF'", fake.log())
        self.assertIn("exiting due to model loading error", fake.log())

    def test_it_refuses_what_it_does_not_know_and_a_place_that_is_taken(self):
        for arguments, told in ((["--no-such-flag"], "invalid argument"), (["-c", "many"], "stoi"), (["-c"], "expected value")):
            with self.subTest(arguments=arguments):
                fake = self.start(*arguments)
                self.assertEqual(fake.end(), 1)
                self.assertIn(told, fake.log())
        (self.folder / "s.sock").write_text("")
        fake = self.start()
        self.assertEqual(fake.end(), 1)
        self.assertIn("couldn't bind HTTP server socket", fake.log())

    def test_an_old_build_knows_ports_only(self):
        fake = self.start(mood="old")
        self.assertEqual(fake.end(), 1)
        fake = self.start("--model", self.model, "--host", "127.0.0.1", "--port", "0", mood="old")
        fake.wait_for_log("main: server is listening on http://127.0.0.1:")
        port = int(fake.log().partition("listening on http://127.0.0.1:")[2].split()[0])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
        self.addCleanup(connection.close)
        connection.request("GET", "/health")
        self.assertEqual(connection.getresponse().status, 200)

    def test_moods_that_end_it(self):
        for mood, code in (("exit_at_start=3", 3), ("crash_at_load=139", -signal.SIGSEGV), ("crash_at_load=134", -signal.SIGABRT),
                           ("crash_after=0.01", -signal.SIGSEGV), ("crash_after=0.01:7", 7), ("cuda_oom", 1), ("bad_model", 1)):
            with self.subTest(mood=mood):
                (self.folder / "s.sock").unlink(missing_ok=True)
                self.assertEqual(self.start(mood=mood).end(), code)

    def test_out_of_the_cards_memory_is_in_the_log(self):
        fake = self.start(mood="cuda_oom")
        fake.end()
        self.assertIn("cudaMalloc failed: out of memory", fake.log())

    def test_flapping_stops_after_so_many_starts(self):
        for start in range(3):
            (self.folder / "s.sock").unlink(missing_ok=True)
            fake = self.start(mood="flap=2").wait_until_ready()
            if start < 2:
                self.assertEqual(fake.end(), -signal.SIGSEGV)
        self.assertEqual(fake.ask("GET", "/health")[0], 200)

    def test_a_hanging_one_takes_connections_and_answers_nothing(self):
        fake = self.start(mood="hang_after=0").wait_until_ready()
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(0.3)
            client.connect(str(fake.socket_path))
            client.sendall(b"GET /health HTTP/1.1\r\n\r\n")
            self.assertRaises(TimeoutError, client.recv, 1)
        self.assertIsNone(fake.child.poll())

    def test_one_that_ignores_sigterm_has_to_be_killed(self):
        fake = self.start(mood="ignore_sigterm").wait_until_ready()
        fake.child.terminate()
        self.assertEqual(fake.ask("GET", "/health")[0], 200)
        fake.child.kill()
        self.assertEqual(fake.end(), -signal.SIGKILL)

    def test_a_chatty_one_says_that_much_first(self):
        fake = self.start(mood="chatty=1000000").wait_until_ready()
        self.assertGreater(fake.log_path.stat().st_size, 990_000)

    def test_a_busy_slot_is_seen_and_streams_end(self):
        fake = self.start("--model", self.model, "--host", self.folder / "s.sock", "-np", "1", mood="busy=600").wait_until_ready()
        connection = UnixConnection(fake.socket_path)
        self.addCleanup(connection.close)
        connection.request("POST", "/completion", '{"prompt":"a","stream":true}')
        process.wait_until(lambda: fake.ask("GET", "/slots")[1][0]["is_processing"], fake.child, LIMIT_S, "a busy slot")

    def test_a_stream_is_events_to_the_last(self):
        fake = self.start().wait_until_ready()
        connection = UnixConnection(fake.socket_path)
        self.addCleanup(connection.close)
        connection.request("POST", "/completion", '{"prompt":"a","stream":true}')
        self.assertTrue(connection.getresponse().read().endswith(b"data: [DONE]\n\n"))

    def test_the_diary_says_how_it_was_started_and_what_it_was_sent(self):
        fake = self.start(variables={"LLAMA_ARG_PORT": "1"}).wait_until_ready()
        fake.child.terminate()
        fake.end()
        start, taken = fake.diary()
        self.assertEqual((start["event"], start["pid"], start["ppid"]), ("start", fake.child.pid, os.getpid()))
        self.assertEqual(start["environ"]["LLAMA_ARG_PORT"], "1")
        self.assertEqual(start["argv"][1:3], ["--model", str(self.model)])
        self.assertEqual(start["fds"]["0"], "/dev/null")
        self.assertEqual((taken["event"], taken["signal"]), ("signal", signal.SIGTERM))

    def test_version_and_help_are_of_the_build(self):
        for mood, build, known, unknown in (("", "9963", "--kv-unified", "--load-mode"), ("old", "4753", "--no-webui", ".sock"),
                                            ("load_mode", "9963", "--load-mode", "nothing"), ("no_unix", "9963", "--fit", ".sock")):
            with self.subTest(mood=mood):
                environment = {"PATH": os.environ["PATH"], "GGML_FAKE_MOOD": mood}
                version = subprocess.run([FAKE, "--version"], env=environment, capture_output=True, text=True, check=True)
                self.assertIn(f"version: {build} (", version.stderr)
                printed = subprocess.run([FAKE, "--help"], env=environment, capture_output=True, text=True, check=True).stdout
                self.assertIn(known, printed)
                self.assertNotIn(unknown, printed)


if __name__ == "__main__":
    unittest.main()
