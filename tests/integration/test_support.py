"""The tests' own tools: the origin misbehaves as it is told to, the hub answers as the real one does."""

import contextlib
import gzip
import hashlib
import http.client
import json
import pathlib
import random
import ssl
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

import nginx
import tls
from hub import Hub
from origin import Origin


def ask(url, first=None, last=None, context=None, method="GET", **headers):
    """The answer and its body; redirects are followed, and a refusal raises HTTPError."""
    request = urllib.request.Request(url, method=method)
    if first is not None:
        request.add_header("Range", f"bytes={first}-{'' if last is None else last}")
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    with opener.open(request, timeout=20) as answer:
        return answer, answer.read()


def get(url, first=None, last=None, context=None, **headers):
    return ask(url, first, last, context, **headers)[1]


def refusal(url, **how):
    """The status and the headers of an answer that is none of the 2xx."""
    try:
        ask(url, **how)
    except urllib.error.HTTPError as refused:
        refused.close()
        return refused.code, refused.headers
    raise AssertionError(f"{url} was not refused")


class ServedFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.data = random.Random(1).randbytes(1_000_000)
        (self.folder / "file").write_bytes(self.data)


class OriginFaults(ServedFolder):
    def setUp(self):
        super().setUp()
        self.origin = self.enterContext(Origin(self.folder))
        self.url = self.origin.url("file")

    def test_the_whole_file_and_ranges_of_it(self):
        self.assertEqual(get(self.url), self.data)
        self.assertEqual(get(self.url, 10, 19), self.data[10:20])
        self.assertEqual(get(self.url, 999_999), self.data[-1:])
        self.assertEqual(refusal(self.url, first=1_000_000)[0], 416)
        self.assertEqual([request.status for request in self.origin.requests("/file")], [200, 206, 206, 416])

    def test_nothing_outside_the_folder(self):
        for name in ("absent", "../" * 10 + "etc/passwd"):
            with self.subTest(name=name):
                self.assertEqual(refusal(self.origin.url(name))[0], 404)

    def test_a_byte_is_flipped_once_or_always(self):
        self.origin.fault("/file", flip_at=500_000, times=1)
        self.assertEqual(get(self.url, 0, 99), self.data[:100], "a range without the byte does not use it up")
        spoilt = get(self.url)
        self.assertEqual([at for at in range(len(spoilt)) if spoilt[at] != self.data[at]], [500_000])
        self.assertEqual(get(self.url), self.data)
        self.origin.fault("/file", flip_at=500_000)
        self.assertNotEqual(get(self.url), self.data)
        self.assertNotEqual(get(self.url), self.data)

    def test_a_connection_that_ends_early(self):
        for end in ("cut_at", "close_at"):
            with self.subTest(end):
                self.origin.fault("/file", **{end: 600_000}, times=1)
                with self.assertRaises((http.client.IncompleteRead, ConnectionResetError)):
                    get(self.url)
                self.assertEqual(get(self.url), self.data)

    def test_every_connection_ends_early(self):
        self.origin.fault("/file", cut_after=400_000)
        for first in (0, 400_000):
            with self.assertRaises((http.client.IncompleteRead, ConnectionResetError)):
                get(self.url, first)
        self.assertEqual(get(self.url, 800_000), self.data[800_000:])

    def test_a_wrong_length(self):
        self.origin.fault("/file", content_length_off_by=10)
        with self.assertRaises(http.client.IncompleteRead):
            get(self.url)
        self.origin.fault("/file", content_length_off_by=-10)
        self.assertEqual(get(self.url), self.data[:-10])

    def test_a_status_once(self):
        self.origin.fault("/file", status=503, retry_after=7, rate_limit='"api";r=0;t=7', times=1)
        status, headers = refusal(self.url)
        self.assertEqual((status, headers["Retry-After"], headers["RateLimit"]), (503, "7", '"api";r=0;t=7'))
        self.assertEqual(get(self.url), self.data)

    def test_a_fault_that_begins_later(self):
        self.origin.fault("/file", status=403, skip=2)
        self.assertEqual([get(self.url, 0, 9) for _ in range(2)], [self.data[:10]] * 2)
        self.assertEqual(refusal(self.url)[0], 403)
        self.origin.fault("/file", status=403, from_offset=500_000)
        self.assertEqual(get(self.url), self.data)
        self.assertEqual(refusal(self.url, first=500_000)[0], 403)

    def test_a_fault_of_one_method(self):
        self.origin.fault("/file", status=405, method="HEAD")
        self.assertEqual(get(self.url), self.data)
        self.assertEqual(refusal(self.url, method="HEAD")[0], 405)

    def test_another_content_range(self):
        self.origin.fault("/file", content_range_first_off_by=100, content_range_total_off_by=1)
        answer, body = ask(self.url, 10, 19)
        self.assertEqual((answer.status, answer.headers["Content-Range"]), (206, "bytes 110-119/1000001"))
        self.assertEqual(body, self.data[10:20])

    def test_if_range(self):
        answer, _ = ask(self.url, 0, 9)
        for condition in (answer.headers["ETag"], answer.headers["Last-Modified"]):
            self.assertEqual(get(self.url, 0, 9, If_Range=condition), self.data[:10])
        self.assertEqual(get(self.url, 0, 9, If_Range='"another"'), self.data)
        self.origin.fault("/file", etag='"new"', skip=1)
        self.assertEqual(get(self.url, 0, 9, If_Range=answer.headers["ETag"]), self.data[:10])
        self.assertEqual(get(self.url, 0, 9, If_Range=answer.headers["ETag"]), self.data, "it has changed half-way")
        self.origin.fault("/file", etag='"new"', ignore_if_range=True)
        changed, body = ask(self.url, 0, 9, If_Range=answer.headers["ETag"])
        self.assertEqual((changed.status, changed.headers["ETag"], body), (206, '"new"', self.data[:10]))

    def test_no_validators(self):
        self.origin.fault("/file", no_validators=True)
        answer, body = ask(self.url, 0, 9)
        self.assertEqual((answer.headers["ETag"], answer.headers["Last-Modified"], body), (None, None, self.data[:10]))

    def test_a_body_without_an_end(self):
        for kind, begins_well in (("noise", False), ("gguf", True)):
            connection = http.client.HTTPConnection(self.origin.host, self.origin.port, timeout=20)
            with self.subTest(kind), contextlib.closing(connection) as client:
                self.origin.fault("/file", endless=kind)
                client.request("GET", "/file", headers={"Range": "bytes=0-9"})
                answer = client.getresponse()
                body = answer.read(3_000_000)
                self.assertEqual((answer.status, len(body)), (200, 3_000_000))
                self.assertEqual(body.startswith(self.data), begins_well)

    def test_other_bodies(self):
        self.origin.fault("/file", html=True)
        self.assertTrue(get(self.url).startswith(b"<!DOCTYPE html>"))
        self.origin.fault("/file", gzip=True)
        self.assertEqual(gzip.decompress(get(self.url)), self.data)
        self.origin.fault("/file", chunked=True)
        self.assertEqual(get(self.url, 5, 9), self.data)

    def test_a_stall_lasts_until_it_is_released(self):
        self.origin.fault("/file", stall_at=300_000)
        got = []
        fetcher = threading.Thread(target=lambda: got.append(get(self.url)))
        fetcher.start()
        self.origin.wait_until_stalled("/file")
        self.assertEqual(got, [])
        self.origin.clear("/file")
        fetcher.join(20)
        self.assertEqual(got, [self.data])

    def test_faults_over_http(self):
        request = urllib.request.Request(self.origin.url("-/faults/file"), data=json.dumps({"html": True}).encode(), method="PUT")
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20).close()
        self.assertIn(b"html", get(self.url))
        self.assertEqual(len(json.loads(get(self.origin.url("-/requests")))), 1)


    def test_what_was_asked_and_sent_is_on_record(self):
        get(self.url + "?a=1", 10, 19, X_Test="yes")
        request, = self.origin.requests("/file")
        self.assertEqual((request.method, request.query, request.range, request.header("x-test")),
                         ("GET", "a=1", "bytes=10-19", "yes"))
        self.assertEqual((request.first, request.last), (10, 19))
        self.origin.record.wait_until_quiet()
        self.origin.wait_until_sent("/file", 10)
        self.origin.wait_until_asked("/file")
        self.assertEqual(self.origin.sent_bytes("/file"), 10)
        with self.assertRaises(TimeoutError):
            self.origin.wait_until_sent("/file", 11, timeout_s=0.01)

    def test_a_throttle_beside_a_fault(self):
        self.origin.throttle("/file", 4_000_000)
        self.origin.fault("/file", flip_at=5, times=1)
        begin = time.monotonic()
        self.assertNotEqual(get(self.url), self.data)
        self.assertGreater(time.monotonic() - begin, 0.2)


class Links(ServedFolder):
    def setUp(self):
        super().setUp()
        self.origin = self.enterContext(Origin(self.folder))
        self.other = self.enterContext(Origin(self.folder, host="127.0.0.2"))

    def test_a_redirect_to_another_host(self):
        self.origin.fault("/file", redirect=self.other.url("file"))
        self.assertEqual(get(self.origin.url("file")), self.data)
        self.assertEqual([request.status for request in self.origin.requests() + self.other.requests()], [302, 200])

    def test_a_loop(self):
        self.origin.fault("/file", redirect="/file")
        self.assertEqual(refusal(self.origin.url("file"))[0], 302)

    def test_signed_links_are_good_for_so_many_gets(self):
        self.origin.sign("/file", uses=2, on=self.other)
        answer, body = ask(self.origin.url("file"))
        self.assertEqual(body, self.data)
        self.assertTrue(answer.url.startswith(self.other.url("signed/file") + "?sig="))
        ask(answer.url, method="HEAD")
        self.assertEqual(get(answer.url, 5, 9), self.data[5:10])
        self.assertEqual(refusal(answer.url)[0], 403)
        self.assertEqual(get(self.origin.url("file")), self.data, "the original gives a new one")

    def test_signed_links_expire_when_they_are_told_to(self):
        self.origin.sign("/file")
        answer, _ = ask(self.origin.url("file"))
        self.assertEqual(get(answer.url), self.data)
        self.origin.expire()
        self.assertEqual(refusal(answer.url)[0], 403)
        self.assertEqual(refusal(self.origin.url("signed/file"))[0], 403)


class HubAnswers(ServedFolder):
    def hub(self, **how):
        return self.enterContext(Hub(self.folder / "hub", **how))

    def head(self, hub, path, **headers):
        """Status and headers, redirects not followed."""
        with contextlib.closing(http.client.HTTPConnection(hub.front.host, hub.front.port, timeout=20)) as client:
            client.request("HEAD", path, headers=headers)
            answer = client.getresponse()
            return answer.status, answer.headers

    def test_metadata_and_bytes(self):
        hub = self.hub()
        commit = hub.publish("org/repo", "sub/file", self.folder / "file")
        for revision in ("main", commit):
            status, headers = self.head(hub, f"/org/repo/resolve/{revision}/sub/file")
            self.assertEqual((status, headers["X-Repo-Commit"]), (302, commit))
            self.assertEqual(headers["X-Linked-Etag"], f'"{hashlib.sha256(self.data).hexdigest()}"')
            self.assertEqual(headers["X-Linked-Size"], str(len(self.data)))
            self.assertEqual(get(f"{hub.endpoint}/org/repo/resolve/{revision}/sub/file"), self.data)
        self.assertEqual({request.path for request in hub.gets()}, {hub.cdn_path("org/repo", commit, "sub/file")})
        self.assertEqual(self.head(hub, "/org/repo/resolve/main/absent")[0], 404)

    def test_a_branch_moves_and_its_commits_stay(self):
        hub = self.hub()
        old = hub.publish("org/repo", "file", self.folder / "file", revision="refs/pr/1")
        (self.folder / "file").write_bytes(b"new")
        new = hub.publish("org/repo", "file", self.folder / "file", revision="refs/pr/1")
        self.assertEqual(get(f"{hub.endpoint}/org/repo/resolve/refs%2Fpr%2F1/file"), b"new")
        self.assertEqual(get(f"{hub.endpoint}/org/repo/resolve/{old}/file"), self.data)
        self.assertNotEqual(old, new)

    def test_it_wants_its_token(self):
        hub = self.hub(token="secret", tells_digest=False)
        hub.publish("org/repo", "file", self.folder / "file")
        path = "/org/repo/resolve/main/file"
        self.assertEqual(self.head(hub, path)[0], 401)
        self.assertEqual(self.head(hub, path, Authorization="Bearer wrong")[0], 401)
        status, headers = self.head(hub, path, Authorization="Bearer secret")
        self.assertEqual((status, headers["X-Linked-Etag"]), (302, None))

    def test_a_renamed_repository_is_a_relative_redirect(self):
        hub = self.hub()
        hub.publish("org/repo", "file", self.folder / "file")
        hub.rename("old/name", "org/repo")
        status, headers = self.head(hub, "/old/name/resolve/main/file")
        self.assertEqual((status, headers["Location"]), (307, "/org/repo/resolve/main/file"))


class Servers(ServedFolder):
    def test_tls_with_a_throwaway_authority(self):
        certificate = tls.make_certificate(self.folder / "tls")
        with Origin(self.folder, tls=(certificate.chain_file, certificate.key_file)) as origin:
            trusting = ssl.create_default_context(cafile=certificate.ca_file)
            self.assertEqual(get(origin.url("file"), context=trusting), self.data)
            with self.assertRaises(urllib.error.URLError):
                get(origin.url("file"))

    @unittest.skipUnless(nginx.find(), "nginx is not here")
    def test_nginx(self):
        with nginx.Nginx(self.folder) as server:
            self.assertEqual(get(server.url("file"), 1, 3), self.data[1:4])
            server.wait_for_request("/file")


if __name__ == "__main__":
    unittest.main()
