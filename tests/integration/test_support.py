"""The tests' own tools: the origin misbehaves as it is told to, and the checks of a story notice what is wrong."""

import copy
import gzip
import http.client
import json
import pathlib
import random
import ssl
import tempfile
import threading
import unittest
import urllib.error
import urllib.request

import nginx
import story
import tls
from origin import Origin


def get(url, first=None, last=None, context=None):
    request = urllib.request.Request(url)
    if first is not None:
        request.add_header("Range", f"bytes={first}-{'' if last is None else last}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    with opener.open(request, timeout=20) as answer:
        return answer.read()


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
        with self.assertRaises(urllib.error.HTTPError) as refused:
            get(self.url, 1_000_000)
        self.assertEqual(refused.exception.code, 416)
        refused.exception.close()
        self.assertEqual([request.status for request in self.origin.requests("/file")], [200, 206, 206, 416])

    def test_nothing_outside_the_folder(self):
        for name in ("absent", "../" * 10 + "etc/passwd"):
            with self.subTest(name=name), self.assertRaises(urllib.error.HTTPError) as refused:
                get(self.origin.url(name))
            refused.exception.close()

    def test_a_byte_is_flipped_once_or_always(self):
        self.origin.fault("/file", flip_at=500_000, times=1)
        self.assertEqual(get(self.url, 0, 99), self.data[:100], "a range without the byte does not use it up")
        spoilt = get(self.url)
        self.assertEqual([at for at in range(len(spoilt)) if spoilt[at] != self.data[at]], [500_000])
        self.assertEqual(get(self.url), self.data)
        self.origin.fault("/file", flip_at=500_000)
        self.assertNotEqual(get(self.url), self.data)
        self.assertNotEqual(get(self.url), self.data)

    def test_a_cut_connection(self):
        self.origin.fault("/file", cut_at=600_000, times=1)
        with self.assertRaises((http.client.IncompleteRead, ConnectionResetError)):
            get(self.url)
        self.assertEqual(get(self.url), self.data)

    def test_a_wrong_length(self):
        self.origin.fault("/file", content_length_off_by=10)
        with self.assertRaises(http.client.IncompleteRead):
            get(self.url)

    def test_a_status_once(self):
        self.origin.fault("/file", status=503, retry_after_s=7, times=1)
        with self.assertRaises(urllib.error.HTTPError) as refused:
            get(self.url)
        self.assertEqual((refused.exception.code, refused.exception.headers["Retry-After"]), (503, "7"))
        refused.exception.close()
        self.assertEqual(get(self.url), self.data)

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


def sample():
    """A bring-up as it should be told: a list of events from seq 1 on, a tenth of a second apart."""
    def download(count):
        return {"phase": "download", "downloaded_bytes": count, "total_bytes": 100, "source_url": "http://x/m",
                "bytes_per_second": 1, "resumed_bytes": 0, "connections": 1}

    def hashed(count):
        return {"phase": "verify", "path": "/m", "verified_bytes": count, "total_bytes": 100}

    def mapped(count):
        return {"phase": "mmap", "path": "/m", "resident_bytes": count, "total_bytes": 100, "integrity": "hashed"}

    flags = dict.fromkeys(("v2", "vision", "audio", "tools", "thinking", "embed", "rerank", "generate"), False)
    told = [{"phase": "checking_local", "path": "/m"}, *map(download, range(0, 101, 10)), hashed(0), hashed(100), mapped(0),
            mapped(100), {"phase": "kv_cache", "n_ctx": 512, "bytes": 5, "kv_type_k": "f16", "kv_type_v": "f16"}]
    events = [{"status": "loading_model"} | details for details in told]
    events += [{"status": "capabilities", "backend": "resident", "wire_version": 1, "accelerator": "cpu", "gpu_layers": 0,
                "n_ctx": 512} | flags, {"status": "ready", "load_ms": 5}]
    envelope = {"id": "admin", "type": "status", "model": "tiny"}
    return [envelope | event | {"seq": seq, "ts": f"2026-05-18T00:00:{seq / 10:06.3f}Z"} for seq, event in enumerate(events, 1)]


class StoryChecks(unittest.TestCase):
    def assert_caught(self, change):
        events = copy.deepcopy(sample())
        change(events)
        with self.assertRaises(AssertionError):
            story.check_all(events, "tiny")

    def test_a_good_story_passes(self):
        story.check_all(sample(), "tiny")

    def test_each_broken_promise_is_noticed(self):
        # Positions in the sample: 0 checking_local, 1..11 download, 12 and 13 verify, 14 and 15 mmap, 16 kv_cache.
        def renumber(events):
            for seq, event in enumerate(events, 1):
                event["seq"] = seq

        broken = {
            "a lost event": lambda events: events.pop(5),
            "a missing step": lambda events: (events.pop(16), renumber(events)),
            "steps in another order": lambda events: (events.insert(1, events.pop(16)), renumber(events)),
            "progress that runs backwards": lambda events: events[6].update(downloaded_bytes=10),
            "more than the whole": lambda events: events[15].update(resident_bytes=101),
            "a total that changes": lambda events: events[6].update(total_bytes=99),
            "a phase without its last event": lambda events: (events.pop(11), renumber(events)),
            "a phase without its first event": lambda events: (events.pop(1), renumber(events)),
            "a key that is missing": lambda events: events[16].pop("kv_type_k"),
            "a number that is a string": lambda events: events[16].update(bytes="5"),
            "a flag that is a number": lambda events: events[17].update(tools=0),
            "a number that is a flag": lambda events: events[17].update(n_ctx=True),
            "a time without milliseconds": lambda events: events[3].update(ts="2026-05-18T00:00:01Z"),
            "an event without its model": lambda events: events[3].pop("model"),
            "an unknown phase": lambda events: events[3].update(phase="guessing"),
        }
        for what, change in broken.items():
            with self.subTest(what):
                self.assert_caught(change)

    def test_too_many_events_a_second_are_noticed(self):
        events = copy.deepcopy(sample())
        extra = [events[5] | {"downloaded_bytes": 40} for _ in range(4)]
        events[5:6] = extra
        for seq, event in enumerate(events, 1):
            event["seq"] = seq
        for event in events[1:15]:
            event["ts"] = "2026-05-18T00:00:01.000Z"
        with self.assertRaises(AssertionError):
            story.check_all(events, "tiny")


if __name__ == "__main__":
    unittest.main()
