"""What the tests of downloads share: a model behind an origin, small segments, and questions about what was asked."""

from __future__ import annotations

import json

import ggufd
import story
from origin import Origin

KIB = 1024
# Small enough that a model of some megabytes has many segments.
SEGMENT_BYTES = 256 * KIB
CONNECTIONS = 4
PATH = "/model.gguf"


def asked_ranges(requests):
    """(first, end) of every GET that was answered with bytes of the file."""
    return [(request.first, request.last + 1) for request in requests
            if request.method == "GET" and request.status in (200, 206)]


def offsets(ranges):
    """The ranges without overlaps, sorted."""
    joined: list[list[int]] = []
    for first, end in sorted(ranges):
        if joined and first <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([first, end])
    return [tuple(one) for one in joined]


def size(ranges):
    """Bytes in ranges, overlaps counted once."""
    return sum(end - first for first, end in offsets(ranges))


def common(ranges, others):
    """Bytes that are in both."""
    return size(ranges) + size(others) - size([*ranges, *others])


def asked_twice(requests):
    """Bytes that were asked for more than once, as often as they were too many."""
    ranges = asked_ranges(requests)
    return sum(end - first for first, end in ranges) - size(ranges)


class FetchTest(ggufd.DaemonTest):
    """A model of `size_mb` at `self.source`, and ways to bring it up that look at everything that must hold."""

    size_mb = 4

    def setUp(self):
        super().setUp()
        self.file = self.model(size_mb=self.size_mb)
        self.origin = self.enterContext(Origin(self.web))
        self.source = self.origin.url("model.gguf")

    def config(self, source=None, model=None, fetch=None, **more):
        settings = {"segment_bytes": SEGMENT_BYTES, "connections": CONNECTIONS, "retries": 2, **(fetch or {})}
        return self.config_for(source or self.source, model or self.file, fetch=settings, **more)

    def config_without_digest(self, source=None, fetch=None, **more):
        """pin: first-use"""
        config = self.config(source, fetch=fetch, pin="first-use", **more)
        del config["models"][0]["sha256"]
        return config

    def ends_well(self, config=None, model=None, **more):
        """Brings the model up; the whole story, the blob and what is left in the store are right. Returns the client."""
        daemon, client, outcome = self.bring_up(config or self.config(), **more)
        self.assert_ready(outcome, daemon)
        story.check_all(client.events, "tiny")
        self.assert_stored(model or self.file)
        self.stop(daemon)
        return client

    def ends_in(self, codes, config=None, **more):
        """The load fails with one of `codes`, without a blob, and the daemon lives on. Returns the client and the error."""
        daemon, client, outcome = self.bring_up(config or self.config(), **more)
        self.assert_error(outcome, *([codes] if isinstance(codes, str) else codes))
        story.check_all(client.events, "tiny")
        self.assertEqual(list(self.store.glob("blobs/sha256/*/*/data")), [], "no blob where the bytes are wrong")
        self.assertFalse((self.runtime_dir / "infer.sock").exists())
        self.assertEqual(client.ask("ping")["type"], "response", "an error stops one model, not the daemon")
        self.stop(daemon)
        return client, outcome

    def assert_stored(self, model):
        self.assertEqual(ggufd.model_file(self.blob(model)).sha256, model.sha256)
        self.assertEqual(list(self.store.glob("blobs/sha256/*/.partial-*")), [], "nothing of the download stays behind")

    def interrupted(self, config=None, sent_bytes=None, **more):
        """A download that is killed when so many bytes have been sent and something has been journalled. Returns the
        ranges that the journal then tells."""
        daemon = self.start(config or self.config(), **more)
        client = self.connect(daemon)
        self.origin.wait_until_sent(PATH, sent_bytes or self.file.size_bytes // 2)
        client.until(lambda event: event.get("downloaded_bytes", 0) >= 2 * CONNECTIONS * SEGMENT_BYTES)
        self.kill(daemon)
        client.close()
        return self.journalled()

    def kill(self, daemon):
        """SIGKILL; what it had asked for is on record when this returns."""
        daemon.kill()
        self.origin.record.wait_until_quiet()

    def journal(self):
        """The one partial's journal.json, or None."""
        found = list(self.store.glob("blobs/sha256/*/.partial-*/journal.json"))
        self.assertLessEqual(len(found), 1, found)
        return json.loads(found[0].read_text()) if found else None

    def journalled(self):
        """(first, end) of what the journal says is on the disk."""
        journal = self.journal()
        return [(one["begin"], one["end"]) for one in journal["finished"]] if journal else []

    def resumed_bytes(self, client):
        return self.phases_of(client, "download")[0]["resumed_bytes"]

    def warning(self, client, code):
        """The one warning of that code."""
        told = [event for event in client.events if event["status"] == "warning" and event["code"] == code]
        self.assertEqual(len(told), 1, story.warnings(client.events))
        return told[0]["message"]

    def evidence(self):
        """The quarantine's .json files."""
        return [json.loads(path.with_suffix(".json").read_text()) for path in self.quarantined()]
