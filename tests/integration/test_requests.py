"""Requests on the admin socket: what is asked, what is answered, and that bad input harms nobody."""

import json
import os
import random
import signal
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


class FileRequests(ggufd.DaemonTest):
    """A model behind an origin that is brought up on request only, and a client."""

    def setUp(self):
        super().setUp()
        self.file = self.model(size_mb=4)
        self.origin = self.enterContext(Origin(self.web))
        self.config = self.config_for(self.origin.url("model.gguf"), self.file, load="manual")

    def serve(self):
        self.daemon = self.start(self.config)
        self.client = self.connect(self.daemon)
        self.client.until_status("starting")

    def state(self):
        [model] = self.client.ask("status", model="tiny")["models"]
        return model["state"]

    def assert_file(self, answer, path=None):
        self.assertEqual(answer["type"], "response", answer)
        self.assertEqual((answer["sha256"], answer["bytes"]), (self.file.sha256, self.file.size_bytes))
        self.assertEqual(answer["path"], str(path or self.blob(self.file)))

    def spoil(self):
        blob = self.blob(self.file)
        blob.chmod(0o644)
        with blob.open("r+b") as file:
            file.seek(self.file.size_bytes // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 0xFF]))


class Pull(FileRequests):
    def test_a_model_is_fetched_and_verified_and_not_loaded(self):
        self.serve()
        self.assert_file(self.client.ask("pull", model="tiny"))
        self.assertEqual(self.state(), "uninitialized")
        told = [event.get("phase", event["status"]) for event in self.client.events if event.get("model") == "tiny"]
        self.assertIn("download", told)
        self.assertEqual(told[-1], "unloaded", "who comes later does not see a download that goes on")
        with self.daemon.connect() as late:
            self.assertEqual(late.until_status("unloaded")["reason"], "request")
        manifest = json.loads((self.store / "manifests/tiny.json").read_text())
        self.assertEqual(manifest["blob"], f"sha256:{self.file.sha256}")
        self.assert_file(self.client.ask("pull", model="tiny"))
        self.assertEqual(self.client.ask("load", model="tiny", wait=True)["state"], "ready")
        self.stop(self.daemon)

    def test_without_waiting_the_answer_comes_at_once(self):
        self.serve()
        self.origin.fault("/model.gguf", stall_at=self.file.size_bytes // 2)
        answer = self.client.ask("pull", model="tiny", wait=False)
        self.assertEqual(set(answer), {"id", "type"})
        self.origin.wait_until_stalled("/model.gguf")
        [model] = self.client.ask("status")["models"]
        self.assertEqual((model["phase"], model["availability"]["code"]), ("download", 10))
        self.origin.clear("/model.gguf")
        self.client.until_status("unloaded")
        self.stop(self.daemon)

    def test_a_client_that_leaves_does_not_end_it(self):
        self.serve()
        self.origin.fault("/model.gguf", stall_at=self.file.size_bytes // 2)
        with self.daemon.connect() as other:
            other.send(b'{"id":"p","type":"pull","model":"tiny"}\n')
            self.origin.wait_until_stalled("/model.gguf")
        self.origin.clear("/model.gguf")
        self.client.until_status("unloaded")
        self.assertTrue(self.blob(self.file).exists())
        self.stop(self.daemon)

    def test_cancel_ends_it_and_keeps_what_has_come(self):
        self.serve()
        self.origin.fault("/model.gguf", stall_at=self.file.size_bytes // 2)
        self.client.send(b'{"id":"p","type":"pull","model":"tiny"}\n')
        self.origin.wait_until_stalled("/model.gguf")
        self.assertEqual(self.client.ask("cancel", model="tiny", wait=True)["state"], "uninitialized")
        self.assertEqual(self.client.answer("p")["code"], "cancelled")
        self.assertTrue(list(self.store.glob("blobs/sha256/*/.partial-*/data.tmp")))
        self.origin.clear("/model.gguf")
        self.assert_file(self.client.ask("pull", model="tiny"))
        self.stop(self.daemon)

    def test_a_stop_of_the_daemon_ends_it(self):
        self.serve()
        self.origin.fault("/model.gguf", stall_at=self.file.size_bytes // 2)
        self.client.send(b'{"id":"p","type":"pull","model":"tiny"}\n')
        self.origin.wait_until_stalled("/model.gguf")
        self.daemon.signal(signal.SIGTERM)
        self.assertEqual(self.client.answer("p")["code"], "cancelled")
        self.assertEqual(self.daemon.wait(), 0)

    def test_a_source_under_a_name(self):
        self.serve()
        source = self.origin.url("model.gguf")
        self.assert_file(self.client.ask("pull", source=source, sha256=self.file.sha256, name="mine"))
        self.assert_file(self.client.ask("pull", source=source, name="first-use"))
        self.assertEqual({file.name for file in (self.store / "manifests").iterdir()}, {"mine.json", "first-use.json"})
        self.assertNotIn("mine", {event.get("model") for event in self.client.events})
        wrong = self.client.ask("pull", source=source, sha256="0" * 64, name="wrong")
        self.assertEqual((wrong["type"], wrong["code"]), ("error", "sha256_mismatch"), wrong)
        self.stop(self.daemon)

    def test_what_cannot_be_meant_is_refused(self):
        self.serve()
        url = "https://example.org/m.gguf"
        for fields, code in (({}, "missing_field"), ({"source": url}, "missing_field"), ({"name": "n"}, "missing_field"),
                             ({"model": "nobody"}, "unknown_model"), ({"model": "tiny", "source": url}, "bad_field"),
                             ({"source": "nonsense", "name": "n"}, "bad_field"),
                             ({"source": "/etc/passwd", "name": "n"}, "bad_field"),
                             ({"source": "http://example.org/m.gguf", "name": "n"}, "bad_field"),
                             ({"source": url, "name": "../n"}, "bad_field"), ({"source": url, "name": "tiny"}, "bad_field"),
                             ({"source": url, "name": "n", "sha256": "12"}, "bad_field")):
            with self.subTest(fields=fields):
                answer = self.client.ask("pull", **fields)
                self.assertEqual((answer["type"], answer["code"]), ("error", code), answer)
        self.stop(self.daemon)


class Verify(FileRequests):
    def test_a_good_blob_of_a_model_that_is_ready(self):
        self.serve()
        self.client.ask("load", model="tiny", wait=True)
        stamp = self.blob(self.file).with_name("verified.json")
        before = json.loads(stamp.read_text())
        self.assert_file(self.client.ask("verify", model="tiny"))
        self.assertGreater(json.loads(stamp.read_text())["verified_at"], before["verified_at"])
        self.assertEqual(self.state(), "ready")
        self.stop(self.daemon)

    def test_a_bad_blob_goes_to_quarantine_and_the_model_stays_ready(self):
        self.serve()
        self.client.ask("load", model="tiny", wait=True)
        self.spoil()
        answer = self.client.ask("verify", model="tiny")
        self.assertEqual((answer["type"], answer["code"]), ("error", "sha256_mismatch"), answer)
        [quarantined] = self.quarantined()
        self.assertIn(str(quarantined), answer["message"])
        self.assertEqual(self.warnings(), ["sha256_mismatch"], "the warning is published before the answer")
        self.assertEqual(self.state(), "ready")
        self.assertEqual(self.client.ask("verify", model="tiny")["code"], "not_in_store")
        self.stop(self.daemon)

    def warnings(self):
        return [event["code"] for event in self.client.events if event["status"] == "warning"]

    def test_what_is_not_there_or_not_known(self):
        self.serve()
        self.assertEqual(self.client.ask("verify", model="tiny")["code"], "not_in_store")
        self.assertEqual(self.client.ask("verify", model="nobody")["code"], "unknown_model")
        self.assertEqual(self.client.ask("verify")["code"], "missing_field")
        self.stop(self.daemon)


class Scrub(FileRequests):
    def test_a_blob_that_has_gone_bad_is_found(self):
        self.serve()
        self.client.ask("pull", model="tiny")
        self.stop(self.daemon)
        self.spoil()
        self.config["scrub_interval_h"] = 24
        daemon = self.start(self.config)
        client = self.connect(daemon)
        warning = client.until_status("warning", model="tiny")
        self.assertEqual(warning["code"], "sha256_mismatch")
        [quarantined] = self.quarantined()
        self.assertIn(str(quarantined), warning["message"])
        self.stop(daemon)


class Reload(FileRequests):
    def write(self, **changes):
        self.daemon.config_file.write_text(json.dumps(self.config | changes))

    def test_what_can_be_applied_is_and_the_rest_is_named(self):
        self.serve()
        self.assertEqual(self.client.ask("reload")["state"], "uninitialized")
        self.write(auto_pull=False)
        self.assertEqual(self.client.ask("reload", model="tiny")["type"], "response")
        refused = self.client.ask("load", model="tiny", wait=True)
        self.assertEqual(refused["code"], "not_in_store", refused)
        self.write(default_model="tiny", models=[self.config["models"][0] | {"n_ctx": 64}])
        self.assertEqual(self.client.ask("reload")["type"], "response")
        [warning] = [event for event in self.client.events if event["status"] == "warning"]
        self.assertEqual((warning["code"], warning.get("model")), ("reload_incomplete", None))
        self.assertIn("models[0].n_ctx", warning["message"])
        self.assertEqual(self.client.ask("load", model="tiny", wait=True)["state"], "ready")
        self.stop(self.daemon)

    def test_a_bad_file_changes_nothing(self):
        self.serve()
        for text in ("{", json.dumps(self.config | {"auto_pul": False, "evict": 7})):
            self.daemon.config_file.write_text(text)
            answer = self.client.ask("reload")
            self.assertEqual((answer["type"], answer["code"]), ("error", "bad_config"), answer)
            warning = [event for event in self.client.events if event["status"] == "warning"][-1]
            self.assertEqual((warning["code"], warning["message"]), ("bad_config", answer["message"]))
        self.assertIn("/auto_pul", answer["message"])
        self.assertIn("/evict", answer["message"])
        self.assertEqual(self.client.ask("load", model="tiny", wait=True)["state"], "ready")
        self.stop(self.daemon)

    def test_sighup_is_the_same(self):
        self.serve()
        self.daemon.config_file.write_text("[]")
        self.daemon.signal(signal.SIGHUP)
        self.assertEqual(self.client.until_status("warning")["code"], "bad_config")
        self.write(drop_cache=True)
        self.daemon.signal(signal.SIGHUP)
        warning = self.client.until_status("warning")
        self.assertEqual(warning["code"], "reload_incomplete")
        self.assertIn("drop_cache", warning["message"])
        self.stop(self.daemon)

    def test_a_model_that_is_not_configured(self):
        self.serve()
        self.assertEqual(self.client.ask("reload", model="nobody")["code"], "unknown_model")
        self.stop(self.daemon)


if __name__ == "__main__":
    unittest.main()
