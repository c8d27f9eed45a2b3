"""What the status page is made of: `/` itself, /status and /doctor, and their headers. test_page.py looks at it in a browser."""

import base64
import hashlib
import json
import re
import signal
import threading
import unittest

import web
from origin import Origin

WEIGHT_MAX_BYTES = 60_000


def inline(html, element):
    return re.search(rf"<{element}[^>]*>(.*)</{element}>", html, re.DOTALL)[1]


class Html(web.HttpTest):
    def setUp(self):
        super().setUp()
        self.connect(self.start({"models": []})).until_status("starting")

    def test_the_page_and_its_headers(self):
        answer = self.ask("/")
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "text/html; charset=utf-8"))
        self.assertTrue(answer.text.startswith("<!doctype html>\n"))
        self.assertTrue(answer.text.endswith("</html>\n"))
        self.assertLess(len(answer.body), WEIGHT_MAX_BYTES)
        self.assertEqual(int(answer.headers["Content-Length"]), len(answer.body))
        for name, value in (("Cache-Control", "no-cache"), ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer")):
            self.assertEqual(answer.headers[name], value)

    def test_only_its_own_script_and_style_may_run(self):
        answer = self.ask("/")
        policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
        self.assertEqual((policy["default-src"], policy["connect-src"], policy["frame-ancestors"]), ("'none'", "'self'", "'none'"))
        for directive, element in (("script-src", "script"), ("style-src", "style")):
            digest = base64.b64encode(hashlib.sha256(inline(answer.text, element).encode()).digest()).decode()
            self.assertEqual(policy[directive], f"'sha256-{digest}'")

    def test_it_names_nobody_else(self):
        found = [url for url in re.findall(r"https?://[^'\" )]+", self.ask("/").text) if url != "http://www.w3.org/2000/svg"]
        self.assertEqual(found, [])

    def test_who_has_it_is_not_sent_it_again(self):
        tag = self.ask("/").headers["ETag"]
        self.assertRegex(tag, r'^"[0-9a-f]{32}"$')
        for field in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            with self.subTest(field):
                answer = self.ask("/", If_None_Match=field)
                self.assertEqual((answer.status, answer.body, answer.headers["ETag"]), (304, b"", tag))
        self.assertEqual(self.ask("/", If_None_Match='"other"').status, 200)

    def test_head(self):
        answer = self.ask("/", method="HEAD")
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertGreater(int(answer.headers["Content-Length"]), 10_000)
        answer = self.ask("/status", method="HEAD")
        self.assertEqual((answer.status, answer.headers["Content-Type"], answer.body), (200, "application/json", b""))

    def test_nothing_is_changed_by_it(self):
        for path in ("/", "/status", "/doctor"):
            self.assertEqual(self.ask(path, method="POST").status, 405)


class Status(web.HttpTest):
    def test_it_is_what_the_admin_socket_answers(self):
        _, client = self.start_ready()
        answer = self.ask("/status")
        self.assertEqual((answer.status, answer.headers["Content-Type"], answer.headers["Cache-Control"]),
                         (200, "application/json", "no-store"))
        document = answer.json()
        told = client.ask("status")
        self.assertEqual({key: document[key] for key in ("models", "default_model", "subscribers", "seq")},
                         {key: told[key] for key in ("models", "default_model", "subscribers", "seq")})
        self.assertEqual(document["version"], client.ask("ping")["version"])
        self.assertNotIn("id", document)
        self.assertLess(document["started"], document["now"])
        self.assertIs(document["doctor"], True)

    def test_memory(self):
        self.start_ready(size_mb=8)
        document = self.ask("/status").json()
        memory = document["memory"]
        with open("/proc/meminfo", encoding="ascii") as file:
            machine = dict(line.split(":") for line in file)
        self.assertLessEqual(memory["total_bytes"], int(machine["MemTotal"].split()[0]) * 1024)
        self.assertGreater(memory["available_bytes"], 0)
        self.assertLessEqual(memory["available_bytes"], memory["total_bytes"])
        self.assertEqual(memory["available_bytes"], min(limit["bytes"] for limit in memory["limits"]))
        self.assertEqual(memory["limits"][0]["name"], "MemAvailable")
        # The pages of its file can be dropped, so the kernel takes them for free.
        self.assertGreaterEqual(memory["held_bytes"], document["models"][0]["bytes"] // 2)

    def test_everybody_is_answered_at_once(self):
        self.start_ready()
        answers = []
        askers = [threading.Thread(target=lambda: answers.append(self.ask("/status"))) for _ in range(60)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
        self.assertEqual([answer.status for answer in answers], [200] * 60)
        self.assertEqual(self.metrics()["ggufd_http_requests_total", (("path", "/status"), ("code", "200"))], 60)

    def test_a_connection_is_good_for_more(self):
        self.start_ready()
        paths = ["/status", "/nothing", "/", "/status", "/ready"] * 10
        asked = b"".join(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode() for path in paths)
        answers = self.raw(asked + b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        self.assertEqual(re.findall(rb"HTTP/1\.1 (\d+)", answers), [b"200", b"404", b"200", b"200", b"200"] * 10 + [b"200"])

    def test_who_goes_before_the_answer_harms_nobody(self):
        self.start_ready()
        for _ in range(50):
            connection = web.UnixConnection(self.http_socket)
            connection.connect()
            connection.sock.sendall(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
            connection.close()
        self.assertEqual(self.ask("/status").status, 200)

    def test_beside_events(self):
        """What is told to streams wakes nobody who waits for a page."""
        model = self.model(size_mb=8)
        with Origin(self.web) as origin:
            origin.throttle(f"/{model.name}", 8 << 20)
            client = self.connect(self.start(self.config_for(origin.url(model.name), model)))
            client.until_phase("download")
            phases = set()

            def is_ready(frame):
                phases.add(self.ask("/status").json()["models"][0].get("phase"))
                return frame["status"] == "ready"

            self.events().until(is_ready)
        self.assertIn("download", phases)

    def test_a_stop_answers_who_still_asks(self):
        daemon, _ = self.start_ready()
        connections = [web.UnixConnection(self.http_socket) for _ in range(20)]
        for connection in connections:
            self.addCleanup(connection.close)
            connection.connect()
        for connection in connections:
            connection.sock.sendall(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(), 0)

    def test_doctor_is_what_the_admin_socket_answers(self):
        daemon, _ = self.start_ready()
        answer = self.ask("/doctor")
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "application/json"))
        document = json.loads(answer.text)
        with daemon.connect() as client:
            told = client.ask("doctor")
        self.assertEqual(document["ok"], told["ok"])
        self.assertEqual([(check["group"], check["name"]) for check in document["checks"]],
                         [(check["group"], check["name"]) for check in told["checks"]])


if __name__ == "__main__":
    unittest.main()
