"""Clients that come in crowds, die, listen to nothing or leave half-way: nobody else notices."""

import contextlib
import json
import pathlib
import socket
import subprocess
import sys
import time
import unittest

import ggufd
import process
from readers import witness

DOOMED = pathlib.Path(__file__).resolve().parents[1] / "support/readers/doomed.py"
PING = b'{"id":"p","type":"ping"}\n'
KIB = 1024
IDLE_S = 2
IDLE_CLIENTS = 300
# Of what a client asks for and does not take: the socket's own buffers and what the daemon reads ahead.
UNREAD_LIMIT_BYTES = 4 << 20


def context_switches(pid):
    """Of all its threads."""
    return sum(int(line.split()[1]) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
               for line in (task / "status").read_text().splitlines() if "ctxt_switches" in line)


class Floods(witness.WitnessedTest):
    def test_connections_that_are_closed_at_once(self):
        def attack():
            for _ in range(5_000):
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                    connection.connect(self.path)

        self.assert_memory_settles(attack, rounds=1)
        self.wait_for_descriptors(at_most=64)

    def test_a_thousand_that_stay(self):
        witness.raise_descriptor_limit(1_000)

        def attack():
            with contextlib.ExitStack() as held:
                for _ in range(1_000):
                    held.enter_context(contextlib.closing(self.raw()))
                self.wait_for_subscribers(1_002)
                self.assert_unharmed()
            self.wait_for_subscribers(2)

        self.assert_memory_settles(attack)
        self.wait_for_descriptors(at_most=64)

    def test_each_of_a_thousand_is_told_everything(self):
        witness.raise_descriptor_limit(1_000)
        with witness.Crowd(self.path, 1_000) as crowd:
            self.wait_for_subscribers(1_002)
            self.assert_unharmed()

            def all_have_heard():
                return all(told.count(b"\n") > 1 and b'"unloaded"' in told for told in crowd.told.values())

            self.assertTrue(crowd.read(all_have_heard), "somebody was not told the end")
            live = [[frame for frame in crowd.frames(one) if frame.get("model")] for one in crowd.told]
            for one in live:
                self.assertEqual(one, live[0])
            self.assertEqual(live[0], [event for event in self.witness.events if event.get("model")])

    def test_a_thousand_requests_and_gone(self):
        request = b'{"id":"z","type":"status"}\n' * 500 + PING * 500

        def attack():
            for _ in range(5):
                connection = self.raw()
                connection.sendall(request)
                connection.close()

        self.assert_memory_settles(attack)


class Deaths(witness.WitnessedTest):
    def kill_at(self, point):
        child = subprocess.Popen(process.tied_to_us([sys.executable, "-B", str(DOOMED), self.path, point]),
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        with child.stdout:
            self.assertEqual(child.stdout.readline(), b"here\n")
            child.kill()
            child.wait()

    def test_killed_at_every_point(self):
        for point in ("connected", "half", "asked", "waiting", "flooded"):
            with self.subTest(point):
                for _ in range(3):
                    self.kill_at(point)
                self.assert_unharmed()
        self.wait_for_subscribers(2)
        self.wait_for_descriptors(at_most=64)

    def test_a_request_outlives_its_asker(self):
        self.kill_at("waiting")
        self.witness.until_status("ready")
        self.assertEqual(self.asker.ask("status")["models"][0]["state"], "ready")
        self.asker.ask("unload", wait=True)
        self.witness.until_status("unloaded")

    def test_what_was_sent_before_the_end_is_served(self):
        """`printf … | socat -u - UNIX-CONNECT:…` is gone as soon as it has written, its snapshot unread."""
        for _ in range(50):
            with self.raw() as connection:
                connection.sendall(b'{"id":"l","type":"cancel","model":"tiny"}\n')
        self.assertEqual(self.asker.ask("ping")["type"], "response")
        self.wait_for_subscribers(2)
        self.asker.ask("cancel", wait=True)
        self.asker.ask("load", wait=True)
        self.wait_for_log("load asked for by")
        self.assertEqual(self.daemon.stderr().count("asked for by"), 52, "each of the fifty was served")
        self.asker.ask("unload", wait=True)
        self.witness.until_status("unloaded")

    def test_closed_with_everything_unread(self):
        """close() over unread bytes is what a reset is on this kind of socket."""
        for count in range(0, 60, 3):
            connection = self.raw()
            connection.sendall(b'{"id":"z","type":"subscribe","since":0}\n' * count)
            connection.close()
        self.assert_unharmed()
        self.wait_for_subscribers(2)

    def test_reading_stops_in_the_middle_of_a_frame(self):
        for count in (1, 7, 40):
            connection = self.raw()
            connection.sendall(PING)
            self.assertEqual(len(connection.recv(count)), count)
            connection.shutdown(socket.SHUT_RD)
            connection.sendall(PING)
            connection.close()
        self.assert_unharmed()


class Unread(witness.WitnessedTest):
    def flood(self, connection, request):
        """Sends `request` again and again until nothing more is taken; how many bytes were. It is over when the daemon has
        answered others since, and still takes nothing."""
        connection.setblocking(False)
        sent = 0
        while sent < 64 * UNREAD_LIMIT_BYTES:
            try:
                sent += connection.send(request)
            except BlockingIOError:
                self.asker.ask("ping")
                try:
                    sent += connection.send(request)
                except BlockingIOError:
                    return sent
        return sent

    def test_who_asks_for_ever_and_reads_nothing_is_paused(self):
        for verb in ("ping", "status", "subscribe", "nonsense"):
            with self.subTest(verb):
                line = b'{"id":"%b","type":"%b"}\n' % (b"i" * 500, verb.encode())
                connection = self.raw()
                self.assertLess(self.flood(connection, line * 100), UNREAD_LIMIT_BYTES)
                self.assert_unharmed()
                connection.close()

    def test_fifty_of_them_take_little_memory(self):
        def attack():
            mutes = [self.raw() for _ in range(50)]
            for mute in mutes:
                self.flood(mute, b'{"id":"f","type":"subscribe","since":0}\n{"id":"g","type":"status"}\n' * 100)
            grown.append(witness.memory_bytes(self.daemon.process.pid))
            witness.close_all(mutes)

        grown = [witness.memory_bytes(self.daemon.process.pid)]
        self.assert_memory_settles(attack, rounds=2)
        if not witness.is_sanitized(self.daemon.process.pid):
            self.assertLess(max(grown) - grown[0], 64 * witness.MIB)

    def test_who_reads_again_gets_every_answer(self):
        connection = self.connect(self.daemon)
        total = 20_000
        requests = b"".join(b'{"id":"%d","type":"ping"}\n' % number for number in range(total))
        connection.socket.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < len(requests):
                sent += connection.socket.send(requests[sent:sent + 64 * KIB])
        self.asker.ask("ping")
        whole = requests[:sent].count(b"\n")
        self.assertGreater(whole, 1_000)
        answers = []
        while len(answers) < whole:
            frame = connection.read_frame()
            self.assertIsNotNone(frame, "the connection was closed")
            if frame["type"] != "status":
                answers.append(frame["id"])
        self.assertEqual(answers, [str(number) for number in range(whole)])


class HalfClosed(witness.WitnessedTest):
    def test_who_ends_its_side_is_told_on(self):
        client = self.connect(self.daemon)
        client.socket.shutdown(socket.SHUT_WR)
        self.assert_unharmed()
        client.until_status("unloaded")
        self.assertEqual([event for event in client.events if event.get("model")],
                         [event for event in self.witness.events if event.get("model")])

    def test_who_ends_its_side_in_a_line_is_told_on(self):
        client = self.connect(self.daemon)
        client.send(PING + b'{"id":"half","ty')
        client.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(client.answer("p")["type"], "response")
        self.assert_unharmed()
        client.until_status("unloaded")

    def test_an_answer_that_comes_late(self):
        client = self.connect(self.daemon)
        client.send(b'{"id":"l","type":"load","wait":true}\n')
        client.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(client.answer("l").get("state"), "ready")

    def test_they_cost_nothing_while_nothing_happens(self):
        clients = [self.raw() for _ in range(IDLE_CLIENTS)]
        self.wait_for_subscribers(IDLE_CLIENTS + 2)
        for client in clients:
            client.shutdown(socket.SHUT_WR)
        self.assert_unharmed()
        if witness.is_sanitized(self.daemon.process.pid):
            return
        counted = []
        while len(counted) < 4 and 0 not in counted:  # what the load began, such as its threads' rest, may still end
            before = context_switches(self.daemon.process.pid)
            time.sleep(IDLE_S)  # the time that is measured
            counted.append(context_switches(self.daemon.process.pid) - before)
        self.assertIn(0, counted)


class SlowRequests(witness.StalledTest):
    def test_what_is_asked_behind_a_slow_one_is_answered_first(self):
        for slow in (b'"type":"pull","model":"tiny"', b'"type":"load","wait":true'):
            with self.subTest(slow):
                client = self.connect(self.daemon)
                pings = b"".join(b'{"id":"n%d","type":"ping"}\n' % number for number in range(100))
                client.send(b'{"id":"slow",' + slow + b"}\n" + pings + b'{"id":"s","type":"status"}\n')
                self.assertEqual([client.answer(f"n{number}")["type"] for number in range(100)], ["response"] * 100)
                self.assertEqual(client.answer("s")["type"], "response")
                self.origin.wait_until_stalled("/model.gguf")
                self.assertEqual(client.ask("ping")["type"], "response")
                self.assertFalse(client._answers.get("slow"), "its source has not gone on")
                self.asker.ask("cancel", wait=True)
                self.assertEqual(client.answer("slow")["code"], "cancelled")
                client.close()

    def test_a_thousand_that_wait_end_with_their_asker(self):
        """What they asked for goes on for the others."""
        client = self.connect(self.daemon)
        client.send(b"".join(b'{"id":"%d","type":"load","wait":true}\n' % number for number in range(1_500)))
        for number in range(1_024, 1_500):
            self.assertEqual(client.answer(str(number))["code"], "busy", "more than 1,024 do not wait on one connection")
        self.asker.send(b'{"id":"mine","type":"load","wait":true}\n')
        client.close()
        self.asker.ask("ping")
        self.origin.clear("/model.gguf")
        self.assertEqual(self.asker.answer("mine").get("state"), "ready")
        self.asker.ask("unload", wait=True)
        self.witness.until_status("unloaded")

    def test_a_thousand_pulls(self):
        """From a client that is gone: they leave the others room to load what they want."""
        other = self.model("other.gguf", size_mb=1, seed=2)
        self.origin.fault("/other.gguf", stall_at=other.size_bytes // 2)
        asked = {"type": "pull", "source": self.origin.url("other.gguf"), "sha256": other.sha256}
        client = self.connect(self.daemon)
        client.send(b"".join(json.dumps({"id": str(number), "name": f"n{number}", **asked}).encode() + b"\n"
                             for number in range(1_000)))
        self.assertEqual(client.ask("ping")["type"], "response")
        client.close()
        self.origin.clear("/model.gguf")
        self.assert_unharmed()
        self.origin.clear("/other.gguf")

    def test_who_asked_is_in_the_log(self):
        child = subprocess.Popen(process.tied_to_us([sys.executable, "-B", str(DOOMED), self.path, "asked"]),
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.addCleanup(process.end, child)
        with child.stdout:
            self.assertEqual(child.stdout.readline(), b"here\n")
        self.witness.until_phase("download")
        self.wait_for_log("load asked for by")
        [line] = [line for line in self.daemon.stderr().splitlines() if "load asked for by" in line]
        self.assertRegex(line, rf"uid {pathlib.Path(self.path).stat().st_uid}\b.*pid {child.pid}\b")


if __name__ == "__main__":
    unittest.main()
