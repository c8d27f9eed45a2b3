"""More clients than there is room for, more descriptors than there are, more bytes than anybody may have held for them."""

import contextlib
import json
import shutil
import unittest

import ggufd
import story
from origin import Origin
from readers import witness

DESCRIPTORS = 300
CLIENTS = 400
HELD_LIMIT_BYTES = 64 * witness.MIB
KIB = 1024


def assert_busy(test, client):
    """One line that says so, made for this connection only, then the end."""
    frame = client.read_frame()
    test.assertIsNotNone(frame, "the connection ended without a word")
    test.assertEqual({key: value for key, value in frame.items() if key != "message"},
                     {"id": "admin", "type": "status", "status": "warning", "code": "busy"})
    test.assertGreater(len(frame["message"].split()), 3, "a message is a sentence")
    test.assertIsNone(client.read_frame())


class MaxSubscribers(witness.WitnessedTest):
    def configuration(self):
        return super().configuration() | {"admin": {"max_subscribers": 4}}

    def test_one_too_many_is_told_so(self):
        third, fourth = self.connect(self.daemon), self.connect(self.daemon)
        self.assertEqual(third.ask("ping")["type"], "response")
        self.assertEqual(fourth.ask("ping")["type"], "response")
        for _ in range(20):
            with self.daemon.connect() as refused:
                assert_busy(self, refused)
        self.assert_unharmed()
        for client in (third, fourth):
            client.until_status("unloaded")

    def test_a_place_that_is_free_is_given_again(self):
        for _ in range(3):
            held = [self.connect(self.daemon) for _ in range(2)]
            self.wait_for_subscribers(4)
            with self.daemon.connect() as refused:
                assert_busy(self, refused)
            witness.close_all(held)
            self.wait_for_subscribers(2)

    def test_who_wants_no_events_holds_a_place_too(self):
        held = [self.connect(self.daemon) for _ in range(2)]
        for client in held:
            self.assertEqual(client.ask("unsubscribe")["type"], "response")
        with self.daemon.connect() as refused:
            assert_busy(self, refused)

    def test_what_a_refused_one_sends_is_not_served(self):
        held = [self.connect(self.daemon) for _ in range(2)]
        self.assertEqual([client.ask("ping")["type"] for client in held], ["response"] * 2)
        with self.daemon.connect() as refused:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                refused.send(b'{"id":"d","type":"drain"}\n' * 100)
            self.assertEqual([frame["code"] for frame in refused.read_to_end()], ["busy"])

    def test_a_crowd_of_them_takes_no_memory(self):
        held = [self.connect(self.daemon) for _ in range(2)]
        self.assertEqual([client.ask("ping")["type"] for client in held], ["response"] * 2)

        def attack():
            with witness.Crowd(self.path, 100) as crowd:
                self.assertTrue(crowd.read(lambda: len(crowd.ended) == 100), "each refused connection ends")
                self.assertEqual(len(crowd.refused()), 100)

        self.assert_memory_settles(attack, others=2)


@unittest.skipUnless(shutil.which("prlimit"), "prlimit (util-linux) is not here")
class FewDescriptors(witness.WitnessedTest):
    """The daemon may open 300 files, and 400 clients come."""

    def prefix(self):
        return ("prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}")

    def configuration(self):
        self.origin = self.enterContext(Origin(self.web))
        return self.config_for(self.origin.url("model.gguf"), self.file, load="manual", fetch={"connections": 4, "retries": 3})

    def crowd(self):
        crowd = self.enterContext(witness.Crowd(self.path, CLIENTS))
        crowd.read(lambda: not crowd.waiting(), limit_s=2)  # who waits in the backlog hears nothing
        self.assertGreater(len(crowd.served()), DESCRIPTORS // 2)
        self.assertLess(len(crowd.served()), DESCRIPTORS)
        for one in crowd.refused():
            self.assertTrue(crowd.read(lambda one=one: one in crowd.ended), "who is refused is closed")
            [frame] = crowd.frames(one)
            self.assertNotIn("seq", frame)
        silent = sum(not crowd.told[one] and self.was_accepted(one) for one in crowd.ended)
        self.assertEqual(silent, 0, "nobody is closed without a word")
        return crowd

    @staticmethod
    def was_accepted(connection):
        with contextlib.suppress(OSError):
            return bool(connection.getpeername())
        return False

    def test_a_bring_up_while_there_are_too_many(self):
        """Sockets, files, the mapping and infer.sock: all that a bring-up needs is there."""
        crowd = self.crowd()
        self.assert_unharmed()
        served = crowd.served()
        self.assertTrue(crowd.read(lambda: all(b'"unloaded"' in crowd.told[one] for one in served)))
        for one in served:
            story.check_sequence(crowd.frames(one))

    def test_a_download_under_way_goes_on(self):
        """Even where its connection breaks and a new one is needed."""
        half = self.file.size_bytes // 2
        self.origin.fault("/model.gguf", stall_at=half, cut_at=half + 100 * KIB, times=2)
        self.asker.send(b'{"id":"l","type":"load","wait":true}\n')
        self.origin.wait_until_stalled("/model.gguf")
        self.crowd()
        self.origin.faults.release_all()
        self.assertEqual(self.asker.answer("l").get("state"), "ready")
        self.assertEqual(self.asker.ask("unload", wait=True)["state"], "uninitialized")
        self.witness.until_status("unloaded")

    def test_when_some_go_others_are_served(self):
        crowd = self.crowd()
        waiting, leaving = crowd.waiting(), crowd.served()[:150]
        crowd.leave(leaving)
        self.assertTrue(crowd.read(lambda: all(crowd.told[one] for one in waiting if one not in crowd.ended)),
                        "who waited in the backlog is served")
        client = self.wait_for(self.served_one, "a place")
        self.assertEqual(client.ask("ping")["type"], "response")
        self.assert_unharmed()

    def served_one(self):
        """A new connection, where it is served."""
        client = self.connect(self.daemon)
        frame = client.read_frame()
        return client if frame is not None and frame.get("code") != "busy" else client.close()

    def test_requests_are_answered_meanwhile(self):
        crowd = self.crowd()
        some = crowd.served()[:20]
        for number, one in enumerate(some):
            one.send(b'{"id":"m%d","type":"ping"}\n' % number)
        self.assertTrue(crowd.read(lambda: all(b'"response"' in crowd.told[one] for one in some)))


def hold(connection, data):
    """Sends it, unless the daemon has closed the connection."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(data)


def is_closed(connection):
    connection.setblocking(False)
    try:
        while connection.recv(1 << 16):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        pass
    return True


class HeldBytes(witness.StalledTest):
    """What the daemon keeps for all clients together has a limit, and it is the greediest that goes."""

    def wait_for_closed(self, at_least, connections):
        """Until so many are closed, while others are answered; how many are."""
        def closed():
            self.assertEqual(self.asker.ask("ping")["type"], "response")
            return sum(map(is_closed, connections))

        self.wait_for(lambda: closed() >= at_least, f"{at_least} connections to be closed")
        return closed()

    def test_unfinished_lines(self):
        each = 62 * KIB
        count = HELD_LIMIT_BYTES // each + 150
        witness.raise_descriptor_limit(count)
        modest = self.connect(self.daemon)
        modest.send(b'{"id":"modest","type":"pi')
        before = witness.memory_bytes(self.daemon.process.pid)
        greedy = [self.raw() for _ in range(count)]
        for connection in greedy:
            hold(connection, b'{"id":"' + b"x" * each)
        closed = self.wait_for_closed(100, greedy)
        self.assertLess(closed, count // 2, "those that do not fit into the limit, and no more")
        if not witness.is_sanitized(self.daemon.process.pid):
            self.assertLess(witness.memory_bytes(self.daemon.process.pid) - before, 2 * HELD_LIMIT_BYTES)
        modest.send(b'ng"}\n')
        self.assertEqual(modest.answer("modest")["type"], "response", "who holds little is left alone")
        self.wait_for_log("is closed")
        witness.close_all(greedy)
        self.wait_for_subscribers(3)

    def test_ids_of_requests_that_wait(self):
        """1,024 requests may wait on one connection, each with an id of 8 KiB: nine such connections are too much."""
        connections = [self.raw() for _ in range(12)]
        for connection in connections:
            for number in range(1_000):
                hold(connection, json.dumps({"id": f"{number:0>8000}", "type": "load", "wait": True}).encode() + b"\n")
        self.assertLess(self.wait_for_closed(3, connections), 6)
        witness.close_all(connections)


if __name__ == "__main__":
    unittest.main()
