"""HTTP: health and readiness, on http.sock and on http.tcp, and what clients may do to it."""

import http.client
import json
import os
import re
import select
import signal
import socket
import stat
import unittest

import ggufd
import process
import web
from origin import Origin


class Health(web.HttpTest):
    def test_before_while_and_after_a_load(self):
        model = self.model(size_mb=8)
        with Origin(self.web) as origin:
            origin.fault(f"/{model.name}", stall_at=1 << 20)
            daemon = self.start(self.config_for(origin.url(model.name), model))
            client = self.connect(daemon)
            client.until_phase("download")
            origin.wait_until_stalled(f"/{model.name}")
            answer = self.ask("/health")
            self.assertEqual((answer.status, answer.json()["status"], answer.json()["availability"]["name"]),
                             (503, "starting", "DOWNLOADING"))
            self.assertEqual(web.unpack(self.ask("/health", Accept="application/msgpack").body), {"s": 10, "m": None})
            self.assertEqual((self.ask("/ready").status, self.ask("/ready").text), (503, "starting\n"))
            origin.clear(f"/{model.name}")
            client.until_status("ready")
        answer = self.ask("/health")
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "application/json"))
        document = answer.json()
        model_document = {"status": "ok", "model": "tiny", "backend": "resident", "warm_up_state": "ready", "state": "ready",
                          "availability": {"code": 200, "name": "ENABLED", "message": None}}
        self.assertEqual(document, model_document | {"models": [model_document]})
        self.assertEqual((self.ask("/ready").status, self.ask("/ready").text), (200, "ready\n"))
        self.assertEqual(client.ask("unload", wait=True)["state"], "uninitialized")
        answer = self.ask("/health")
        self.assertEqual((answer.status, answer.json()["status"], answer.json()["availability"]["code"]), (503, "starting", 0))
        self.assertEqual((self.ask("/ready").status, self.ask("/ready").text), (503, "starting\n"))

    def test_a_load_that_failed_for_good(self):
        daemon = self.start(self.config_for(self.folder / "missing.gguf"))
        outcome = self.connect(daemon).until_outcome()
        self.assertEqual(outcome["status"], "error")
        answer = self.ask("/health")
        self.assertEqual(answer.status, 503)
        document = answer.json()
        self.assertEqual((document["status"], document["warm_up_state"], document["state"]), ("unhealthy", "unhealthy", "error"))
        self.assertEqual(document["availability"], {"code": 500, "name": "ERROR", "message": outcome["message"]})
        self.assertEqual(web.unpack(self.ask("/health", Accept="application/msgpack").body), {"s": 500, "m": outcome["message"]})
        self.assertEqual(self.ask("/health", Accept="text/plain").text, f"ERROR {outcome['message']}")
        self.assertEqual((self.ask("/ready").status, self.ask("/ready").text), (503, "unhealthy\n"))

    def test_forms(self):
        self.start_ready()
        answer = self.ask("/health", Accept="application/msgpack")
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "application/msgpack"))
        self.assertEqual(web.unpack(answer.body), {"s": 200, "m": None})
        answer = self.ask("/health", Accept="text/plain")
        self.assertEqual((answer.text, answer.headers["Content-Type"]), ("ENABLED ", "text/plain; charset=utf-8"))

    def test_head_has_the_header_and_no_body(self):
        self.start_ready()
        for path in ("/health", "/ready", "/metrics"):
            with self.subTest(path):
                answer = self.ask(path, method="HEAD")
                self.assertEqual((answer.status, answer.body), (200, b""))
                self.assertGreater(int(answer.headers["Content-Length"]), 0)
        answer = self.ask("/events", method="HEAD")
        self.assertEqual((answer.status, answer.headers["Content-Type"], answer.body), (200, "text/event-stream", b""))

    def test_models_that_are_not_loaded_at_boot_are_not_waited_for(self):
        _, client = self.start_manual()
        client.ask("ping")
        answer = self.ask("/health")
        self.assertEqual((answer.status, answer.json()["state"], answer.json()["availability"]["name"]),
                         (200, "uninitialized", "NONE"))
        self.assertEqual(self.ask("/ready").status, 200)

    def test_an_error_of_a_model_that_is_not_loaded_at_boot_is_not_in_the_way(self):
        config = self.config_for(self.model().path)
        config["models"].append(config["models"][0] | {"name": "other", "source": str(self.folder / "missing.gguf"),
                                                       "load": "manual"})
        client = self.connect(self.start(config))
        client.until_status("ready")
        self.assertEqual(client.ask("load", model="other", wait=True)["code"], "bad_source")
        self.assertEqual((self.ask("/ready").status, self.ask("/ready").text), (200, "ready\n"))
        client.ask("unload", model="tiny", wait=True)
        self.assertEqual((self.ask("/ready").status, self.ask("/ready").text), (503, "starting\n"))

    def test_without_a_model(self):
        self.connect(self.start({"models": []})).until_status("starting")
        answer = self.ask("/health")
        self.assertEqual((answer.status, answer.json()["model"], answer.json()["models"]), (200, None, []))
        self.assertEqual(self.ask("/ready").status, 200)

    def test_it_is_what_ggufctl_says(self):
        self.start_ready()
        code, printed, _ = ggufd.run_program("ggufctl", "--runtime-dir", str(self.runtime_dir), "health", folder=self.folder)
        self.assertEqual((code, json.loads(printed)), (0, self.ask("/health").json()))


class Requests(web.HttpTest):
    def setUp(self):
        super().setUp()
        self.daemon = self.start({"models": []})
        self.client = self.connect(self.daemon)
        self.client.until_status("starting")

    def assert_served(self):
        self.assertEqual(self.ask("/ready").status, 200)

    def test_the_socket_is_its_owners(self):
        self.assertEqual(stat.S_IMODE(os.stat(self.http_socket).st_mode), 0o600)

    def test_other_paths_and_methods(self):
        for path in ("/index.html", "/healthz", "/health/", "//health", "/../health", "/events/x", "/%00", "/health%00", "http://x/health"):
            with self.subTest(path):
                answer = self.ask(path)
                self.assertEqual(answer.status, 404)
                self.assertGreater(len(answer.text.split()), 3)
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"):
            with self.subTest(method):
                answer = self.ask("/health", method=method)
                self.assertEqual((answer.status, answer.headers["Allow"]), (405, "GET, HEAD"))
        self.assertEqual(self.ask("/ready?x=1&y=%20").status, 200)
        self.assertNotIn("Access-Control-Allow-Origin", self.ask("/health", Origin="http://example.org").headers)

    def test_bodies_are_refused(self):
        answer = self.raw(b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
        self.assertIn(b" 413 ", answer)
        self.assertIn(b"\r\nConnection: close\r\n", answer)
        chunked = b"GET /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        endless = self.raw(chunked + b"5\r\nhello\r\n" * 10000)
        self.assertEqual(endless.count(b"HTTP/1.1 "), 1)
        self.assertIn(b" 413 ", endless)
        self.assertIn(b" 405 ", self.raw(b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\nabc"))
        self.assert_served()

    def test_requests_of_one_connection_are_answered_in_order(self):
        connection = web.UnixConnection(self.http_socket)
        self.addCleanup(connection.close)
        for _ in range(50):
            self.assertEqual(self.ask("/ready", connection=connection).status, 200)
        paths = ["/ready", "/nothing", "/health"] * 20
        asked = b"".join(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode() for path in paths)
        answers = self.raw(asked + b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        self.assertEqual(re.findall(rb"HTTP/1\.1 (\d+)", answers), [b"200", b"404", b"200"] * 20 + [b"200"])

    def test_garbage_harms_nobody(self):
        for data in (b"\x00" * 100, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 9, b"GET\r\n\r\n",
                     b"\r\n" * 50 + b"x\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b'{"id":"1","type":"ping"}\n\r\n\r\n',
                     b"GET /health HTTP/1.1\r\nno colon\r\n\r\n",
                     b"GET /health HTTP/1.1\r\n\r\n", b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
                     b"GET /" + b"a" * 200_000):
            with self.subTest(data[:40]):
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                    client.connect(str(self.http_socket))
                    client.settimeout(ggufd.LIMIT_S)
                    try:
                        client.sendall(data)
                        client.shutdown(socket.SHUT_WR)
                        # Without the end of a line it may yet become a request: nothing is said to that.
                        answer = client.recv(1 << 16) if b"\n" in data or len(data) > (16 << 10) else b""
                    except (BrokenPipeError, ConnectionResetError):
                        answer = b""
                self.assertNotIn(b" 200 ", answer.split(b"\r\n")[0])
                self.assert_served()

    def test_a_header_of_64_kib_is_refused(self):
        answer = self.raw(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * (64 << 10) + b"\r\n\r\n")
        self.assertNotIn(b" 200 ", answer)
        self.assertRegex(answer, rb"^HTTP/1\.[01] 4\d\d ")
        self.assert_served()

    def test_http_1_0(self):
        answer = self.raw(b"GET /ready HTTP/1.0\r\n\r\n")
        self.assertRegex(answer, rb"^HTTP/1\.[01] 200 ")
        self.assertTrue(answer.endswith(b"\r\n\r\nready\n"), answer)

    def test_half_requests_and_silent_clients_hold_up_nobody(self):
        silent = []
        self.addCleanup(lambda: [client.close() for client in silent])
        for i in range(100):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            silent.append(client)
            client.connect(str(self.http_socket))
            client.sendall([b"", b"GET /hea", b"GET /health HTTP/1.1\r\nHost: x\r\n"][i % 3])
        self.assert_served()
        silent[1].settimeout(ggufd.LIMIT_S)
        silent[1].sendall(b"lth HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertIn(b" 200 ", silent[1].recv(4096))

    def test_300_connections(self):
        """256 are served at a time; the others are as soon as these have gone."""
        clients = []
        self.addCleanup(lambda: [client.close() for client in clients])
        for _ in range(300):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            clients.append(client)
            client.settimeout(ggufd.LIMIT_S)
            client.connect(str(self.http_socket))
            client.sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
        for client in clients[:256]:
            self.assertIn(b" 200 ", client.recv(4096))
        for client in clients[256:]:
            self.assertEqual(select.select([client], [], [], 0)[0], [], "it waits to be accepted")
        for client in clients[:256]:
            client.close()
        for client in clients[256:]:
            self.assertIn(b" 200 ", client.recv(4096))

    def test_a_second_daemon_after_a_kill(self):
        self.daemon.kill()
        self.assertTrue(self.http_socket.exists())
        daemon = self.start({"models": []})
        self.connect(daemon).until_status("starting")
        self.assert_served()
        self.stop(daemon)
        self.assertFalse(self.http_socket.exists())

    def test_what_is_no_socket_is_left_alone(self):
        self.stop(self.daemon)
        self.http_socket.write_text("precious")
        daemon = self.start({"models": []})
        self.assertEqual(daemon.wait(), 77)
        self.assertIn(str(self.http_socket), daemon.stderr())
        self.assertEqual(self.http_socket.read_text(), "precious")


class Draining(web.HttpTest):
    def test_a_daemon_that_stops_is_never_ready(self):
        """Behind `draining` it says so, or has gone; which of the two depends on how long unloading takes."""
        daemon, client = self.start_ready(size_mb=64)
        connection = web.UnixConnection(self.http_socket)
        self.addCleanup(connection.close)
        connection.connect()
        stream = self.events()
        daemon.signal(signal.SIGTERM)
        stream.until(lambda frame: frame["status"] == "draining")
        try:
            answer = self.ask("/ready", connection=connection)
        except (http.client.HTTPException, ConnectionError):
            return
        self.assertEqual((answer.status, answer.text), (503, "draining\n"))


class Tcp(web.HttpTest):
    def start_tcp(self, address="127.0.0.1:0", **more):
        daemon = self.start({"models": [], "http": {"tcp": address, **more}})
        self.connect(daemon).until_status("starting")
        found = process.wait_until(lambda: re.search(r"HTTP on (\S+):(\d+)", daemon.stderr()), daemon.process,
                                   ggufd.LIMIT_S, "the port")
        return daemon, found[1].strip("[]"), int(found[2])

    def over_tcp(self, host, port, path="/ready", **headers):
        connection = http.client.HTTPConnection(host, port, timeout=ggufd.LIMIT_S)
        try:
            return web.ask(connection, path, **headers)
        finally:
            connection.close()

    def test_on_loopback(self):
        _, host, port = self.start_tcp()
        self.assertEqual((host, self.over_tcp(host, port).status), ("127.0.0.1", 200))
        self.assertEqual(self.ask("/ready").status, 200, "the socket is served as well")

    def test_on_ipv6_loopback(self):
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", 0))
        except OSError:
            self.skipTest("this machine has no IPv6 loopback")
        _, host, port = self.start_tcp("[::1]:0")
        self.assertEqual(self.over_tcp(host, port).status, 200)

    def test_a_foreign_host_is_refused(self):
        _, host, port = self.start_tcp()
        for name in ("example.org", f"example.org:{port}", "127.0.0.1.example.org", ""):
            with self.subTest(name):
                for path in ("/ready", "/health", "/metrics", "/events", "/status", "/doctor", "/"):
                    answer = self.over_tcp(host, port, path, Host=name)
                    self.assertEqual(answer.status, 403)
                    self.assertGreater(len(answer.text.split()), 3)
        for name in ("localhost", f"localhost:{port}", "127.0.0.1", f"[::1]:{port}"):
            with self.subTest(name):
                self.assertEqual(self.over_tcp(host, port, Host=name).status, 200)
        self.assertEqual(self.ask("/ready", Host="example.org").status, 200, "only a browser has to be told, over TCP")

    def test_with_allow_remote_any_host_is_served(self):
        _, host, port = self.start_tcp(allow_remote=True)
        self.assertEqual(self.over_tcp(host, port, Host="models.example.org").status, 200)

    def test_an_address_that_is_taken_is_an_error_at_the_start(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            address = f"127.0.0.1:{other.getsockname()[1]}"
            daemon = self.start({"models": [], "http": {"tcp": address}})
            self.assertEqual(daemon.wait(), 70)
            self.assertIn(address, daemon.stderr())
            self.assertIn("http.tcp", daemon.stderr())


if __name__ == "__main__":
    unittest.main()
