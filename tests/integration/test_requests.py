"""Requests on the admin socket: what is asked, what is answered, and that bad input harms nobody."""

import json
import os
import random
import socket
import unittest

import ggufd
from origin import Origin


class RequestTest(ggufd.DaemonTest):
    """A daemon without a model, and a client that has taken its snapshot."""

    def setUp(self):
        super().setUp()
        self.daemon = self.start({"models": []})
        self.client = self.connect(self.daemon)
        self.client.until_status("starting")

    def error_to(self, line, request_id=""):
        self.client.send(line if isinstance(line, bytes) else line.encode() + b"\n")
        answer = self.client.answer(request_id)
        self.assertEqual((answer["type"], answer["id"]), ("error", request_id), answer)
        self.assertGreater(len(answer["message"].split()), 2, "a message is a sentence")
        self.assertEqual(self.client.ask("ping")["type"], "response", "bad input keeps the connection")
        return answer["code"]


class Answers(RequestTest):
    def test_ping(self):
        answer = self.client.ask("ping")
        self.assertEqual(answer["type"], "response")
        self.assertEqual((answer["protocol"], answer["pid"]), (1, self.daemon.process.pid))
        self.assertIsInstance(answer["uptime_s"], int)
        code, printed, _ = ggufd.run_program("ggufd", "--version", folder=self.folder)
        self.assertEqual(code, 0)
        self.assertIn(answer["version"], printed)

    def test_status_without_models(self):
        answer = self.client.ask("status")
        self.assertEqual((answer["type"], answer["models"], answer["subscribers"]), ("response", [], 1))
        self.assertIsInstance(answer["seq"], int)

    def test_any_string_is_an_id(self):
        for request_id in ("", "ü 🦙 \"\\\u0001", "x" * 1000):
            with self.subTest(request_id=request_id[:10]):
                self.client.send(json.dumps({"id": request_id, "type": "ping"}).encode() + b"\n")
                self.assertEqual(self.client.answer(request_id)["type"], "response")

    def test_unknown_keys_are_ignored(self):
        self.assertEqual(self.client.ask("ping", colour="blue", nested={"a": [1, None]})["type"], "response")

    def test_drain_ends_the_daemon_like_a_signal(self):
        self.assertEqual(self.client.ask("drain")["type"], "response")
        self.client.read_to_end()
        self.assertEqual(self.client.events[-1]["status"], "draining")
        self.assertEqual(self.daemon.wait(), 0)


class BadInput(RequestTest):
    def test_what_is_not_an_object_is_malformed_json(self):
        for line in ("{", "nonsense", '{"id":"a","type":"ping"', '[1]', '"ping"', "17", "null", '{"id":"a" "type":"ping"}',
                     '{"id":"a","type":"ping"} trailing', "[" * 5000):
            with self.subTest(line=line[:30]):
                self.assertEqual(self.error_to(line), "malformed_json")

    def test_bytes_that_are_not_utf8_are_malformed_json(self):
        for line in (b'{"id":"\xff","type":"ping"}\n', b"\x80\x81\n", b'{"id":"\xed\xa0\x80","type":"ping"}\n',
                     b'{"id":"a","type":"ping","x":"\xc0\xaf"}\n'):
            with self.subTest(line=line):
                self.assertEqual(self.error_to(line), "malformed_json")

    def test_a_missing_or_unusable_id_is_answered_with_an_empty_one(self):
        self.assertEqual(self.error_to('{"type":"ping"}'), "missing_field")
        for value in ("17", "null", "[]", "{}", "true"):
            with self.subTest(value=value):
                self.assertEqual(self.error_to(f'{{"id":{value},"type":"ping"}}'), "bad_field")

    def test_a_missing_type(self):
        self.assertEqual(self.error_to('{"id":"t"}', "t"), "missing_field")

    def test_a_type_that_is_no_string(self):
        self.assertEqual(self.error_to('{"id":"t","type":5}', "t"), "bad_field")

    def test_an_unknown_type(self):
        self.assertEqual(self.error_to('{"id":"t","type":"dance"}', "t"), "unknown_type")
        self.assertEqual(self.error_to('{"id":"u","type":""}', "u"), "unknown_type")

    def test_an_unknown_model(self):
        self.assertEqual(self.error_to('{"id":"s","type":"status","model":"nobody"}', "s"), "unknown_model")

    def test_a_field_of_the_wrong_type(self):
        self.assertEqual(self.error_to('{"id":"s","type":"subscribe","since":"yesterday"}', "s"), "bad_field")
        self.assertEqual(self.error_to('{"id":"m","type":"status","model":7}', "m"), "bad_field")

    def test_a_line_over_64_kib_is_answered_and_closed(self):
        for ending in (b"", b"\n"):
            with self.subTest(ending=ending):
                client = self.connect(self.daemon)
                try:
                    client.send(b"x" * (ggufd.FRAME_BYTES_MAX + 1) + ending)
                except BrokenPipeError:
                    pass  # it may be closed as soon as the limit is passed
                self.assertEqual(client.answer("")["code"], "frame_too_large")
                client.read_to_end()
                self.assertEqual(self.client.ask("ping")["type"], "response", "others are not disturbed")

    def test_a_line_of_just_64_kib_is_read(self):
        body = '{"id":"big","type":"ping","x":"'
        fill = ggufd.FRAME_BYTES_MAX - len(body) - len('"}\n')
        self.client.send((body + "y" * fill + '"}\n').encode())
        self.assertEqual(self.client.answer("big")["type"], "response")

    def test_random_bytes_stop_nobody(self):
        chance = random.Random(7)
        for _ in range(50):
            client = self.connect(self.daemon)
            try:
                client.send(chance.randbytes(chance.randrange(1, 5000)) + b"\n")
            except OSError:
                pass
            client.close()
        self.assertEqual(self.client.ask("ping")["type"], "response")


class Streams(RequestTest):
    def test_requests_in_one_write_are_answered_in_order(self):
        count = 500
        self.client.send(b"".join(b'{"id":"n%d","type":"ping"}\n' % number for number in range(count)))
        frames = [self.client.read_frame() for _ in range(count)]
        self.assertEqual([frame["id"] for frame in frames], [f"n{number}" for number in range(count)])
        self.assertEqual({frame["type"] for frame in frames}, {"response"})

    def test_a_request_that_comes_byte_by_byte(self):
        for byte in b'{"id":"slow","type":"ping"}\n':
            self.client.send(bytes([byte]))
        self.assertEqual(self.client.answer("slow")["type"], "response")

    def test_half_a_line_is_answered_when_it_is_whole(self):
        self.client.send(b'{"id":"first","type":"ping"}\n{"id":"half","ty')
        self.assertEqual(self.client.answer("first")["type"], "response")
        other = self.connect(self.daemon)
        self.assertEqual(other.ask("ping")["type"], "response", "half a line holds nobody up")
        self.client.send(b'pe":"ping"}\n')
        self.assertEqual(self.client.answer("half")["type"], "response")

    def test_a_client_that_closes_its_writing_side_still_gets_its_answer(self):
        client = self.connect(self.daemon)
        client.send(b'{"id":"last","type":"ping"}\n')
        client.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(client.answer("last")["type"], "response")

    def test_clients_that_die_at_any_point(self):
        request = b'{"id":"z","type":"status"}\n'
        for cut in range(len(request) + 1):
            client = self.connect(self.daemon)
            client.send(request[:cut])
            client.close()
        for _ in range(20):
            client = self.connect(self.daemon)
            client.send(request * 100)
            client.close()  # with answers still unread
        self.assertEqual(self.client.ask("ping")["type"], "response")
        descriptors = len(os.listdir(f"/proc/{self.daemon.process.pid}/fd"))
        self.assertLess(descriptors, 100, "connections that are gone hold no descriptor")

    def test_a_client_that_never_reads_holds_nobody_up(self):
        mute = self.connect(self.daemon, receive_buffer_bytes=4096)
        mute.socket.setblocking(False)
        flood = b'{"id":"f","type":"status"}\n' * 200
        try:
            for _ in range(2000):
                mute.socket.send(flood)
        except BlockingIOError:
            pass  # the daemon no longer reads from one that does not read itself
        except (BrokenPipeError, ConnectionResetError):
            pass  # or has closed it
        else:
            self.fail("the daemon took requests without end from a client that reads no answers")
        self.assertEqual(self.client.ask("ping")["type"], "response")


class StatusOfAModel(ggufd.DaemonTest):
    def test_it_follows_the_bring_up(self):
        file = self.model(size_mb=4)
        with Origin(self.web) as origin:
            origin.fault("/model.gguf", stall_at=file.size_bytes // 2)
            daemon = self.start(self.config_for(origin.url("model.gguf"), file))
            client = self.connect(daemon)
            origin.wait_until_stalled("/model.gguf")
            [model] = client.ask("status")["models"]
            self.assertEqual((model["name"], model["state"]), ("tiny", "loading"))
            self.assertEqual((model["status"], model["phase"]), ("loading_model", "download"))
            self.assertEqual((model["availability"]["code"], model["health"]), (10, "starting"))
            origin.clear("/model.gguf")
            ready = client.until_status("ready")
        [model] = client.ask("status")["models"]
        self.assertEqual((model["state"], model["status"]), ("ready", "ready"))
        self.assertNotIn("phase", model)
        self.assertEqual((model["availability"]["code"], model["health"]), (200, "ok"))
        self.assertEqual((model["sha256"], model["bytes"]), (file.sha256, file.size_bytes))
        self.assertEqual((model["load_ms"], model["load_count"]), (ready["load_ms"], 1))
        self.assertEqual(model["memory"]["mapped"], file.size_bytes)
        self.assertGreater(model["memory"]["kv"], 0)
        self.assertIn("engine", model)
        self.assertIn("since", model)
        self.stop(daemon)

    def test_a_failed_load(self):
        daemon, client, outcome = self.bring_up(self.config_for(self.web / "none.gguf", sha256="0" * 64))
        self.assertEqual(outcome["status"], "error")
        [model] = client.ask("status")["models"]
        self.assertEqual((model["state"], model["status"]), ("error", "error"))
        self.assertEqual((model["availability"]["code"], model["health"]), (500, "unhealthy"))
        self.stop(daemon)


if __name__ == "__main__":
    unittest.main()
