"""A download goes on where it was, whatever ended it, and begins anew where it must: after a kill, after a stop, after the
object at the source has changed.

GGUFD_KILL_ROUNDS says how often test_kill_at_random_points kills (default 5), GGUFD_KILL_SEED where.
"""

import os
import random
import shutil
import unittest

import fetching
import story
from fetching import CONNECTIONS, PATH, SEGMENT_BYTES, asked_ranges, common

ROUNDS = int(os.environ.get("GGUFD_KILL_ROUNDS", "5"))
SEED = int(os.environ.get("GGUFD_KILL_SEED", str(random.randrange(1 << 30))))


class KillAtRandomPoints(fetching.FetchTest):
    size_mb = 16

    def test_kill_at_random_points(self):
        print(f"GGUFD_KILL_SEED={SEED} GGUFD_KILL_ROUNDS={ROUNDS}", flush=True)
        self.random = random.Random(SEED)
        self.origin.throttle(PATH, 4_000_000)
        self.known = []  # what the journal told after the last kill
        self.asked = []  # what was asked for before it
        for left in range(ROUNDS, 0, -1):
            with self.subTest(round=ROUNDS - left, seed=SEED):
                self.one_round(left)
        self.origin.forget_requests()
        daemon, client, outcome = self.bring_up(self.config())
        self.assert_ready(outcome, daemon)
        story.check_all(client.events, "tiny")
        self.check_what_was_asked(self.resumed_bytes(client))
        self.assert_stored(self.file)
        self.stop(daemon)

    def one_round(self, left):
        self.origin.forget_requests()
        daemon = self.start(self.config())
        client = self.connect(daemon)
        missing = self.file.size_bytes - fetching.size(self.known)
        wanted = self.random.randrange(1, max(2, 2 * missing // (left + 1)))
        if self.random.randrange(5) == 0:  # at the end, while it is verified, stored or mapped
            client.until(lambda event: event.get("phase") in ("verify", "mmap") or event["status"] in ("ready", "error"))
        else:
            self.origin.wait_until_sent(PATH, min(wanted, missing))
        self.kill(daemon)
        self.check_what_was_asked(self.resumed(client))
        client.close()
        if self.blob(self.file).exists():
            self.assertEqual(self.blob(self.file).read_bytes(), self.file.path.read_bytes())
            shutil.rmtree(self.store)
            self.known, self.asked = [], []
            return
        self.asked = fetching.offsets(self.asked + asked_ranges(self.origin.requests(PATH)))
        self.known = self.journalled()

    def resumed(self, client):
        """What the first `download` said; None where the daemon was killed before it had said it, or before we heard it."""
        try:
            client.read_to_end()
        except AssertionError:
            pass  # a killed daemon may have written half a line
        return next((event["resumed_bytes"] for event in client.events if event.get("phase") == "download"), None)

    def check_what_was_asked(self, resumed_bytes):
        asked = asked_ranges(self.origin.requests(PATH))
        self.assertEqual(common(asked, self.known), 0, "what is journalled is not fetched again")
        self.assertLessEqual(common(asked, self.asked), CONNECTIONS * SEGMENT_BYTES, "one segment a connection at most")
        self.assertEqual(fetching.asked_twice(self.origin.requests(PATH)), 0)
        if resumed_bytes is not None:
            self.assertEqual(resumed_bytes, fetching.size(self.known))


class Resume(fetching.FetchTest):
    size_mb = 8

    def setUp(self):
        super().setUp()
        self.origin.throttle(PATH, 2_000_000)

    def goes_on(self, known, config=None):
        """Brings it up; what was journalled is not asked for again."""
        self.origin.forget_requests()
        client = self.ends_well(config)
        self.assertEqual(common(asked_ranges(self.origin.requests(PATH)), known), 0)
        self.assertEqual(self.resumed_bytes(client), fetching.size(known))
        self.assertNotIn("download_restarted", story.warnings(client.events))
        return client

    def begins_anew(self, config=None, is_told=True, model=None):
        self.origin.forget_requests()
        client = self.ends_well(config, model)
        self.assertEqual("download_restarted" in story.warnings(client.events), is_told)
        asked = asked_ranges(self.origin.requests(PATH))
        self.assertEqual(fetching.size(asked), (model or self.file).size_bytes, "every byte is asked for again")
        return client

    def test_after_a_kill(self):
        known = self.interrupted()
        self.assertGreater(fetching.size(known), 0)
        journal = self.journal()
        self.assertEqual((journal["url"], journal["size_bytes"]), (self.source, self.file.size_bytes))
        self.goes_on(known)
        conditions = {request.header("If-Range") for request in self.origin.requests(PATH)}
        self.assertEqual(conditions, {journal["etag"]}, "each request names the object that the bytes belong to")

    def test_after_a_stop(self):
        daemon = self.start(self.config())
        client = self.connect(daemon)
        client.until(lambda event: event.get("downloaded_bytes", 0) >= self.file.size_bytes // 2)
        self.stop(daemon)
        known = self.journalled()
        self.assertGreater(fetching.size(known), 0)
        self.goes_on(known)

    def test_with_a_date_where_there_is_no_strong_etag(self):
        self.origin.fault(PATH, etag='W/"weak"')
        known = self.interrupted()
        self.goes_on(known)
        for request in self.origin.requests(PATH):
            self.assertRegex(request.header("If-Range") or "", r"GMT$")

    def test_after_the_object_has_changed(self):
        self.interrupted()
        self.file.path.touch()  # the same bytes under another ETag
        self.begins_anew()

    def test_after_the_object_has_changed_its_bytes(self):
        config = self.config_without_digest()
        self.interrupted(config)
        self.file = self.model(size_mb=self.size_mb, seed=2)
        self.begins_anew(config)

    def test_a_source_that_ignores_if_range(self):
        self.interrupted()
        self.origin.fault(PATH, etag='"another"', ignore_if_range=True)
        self.begins_anew()

    def test_a_source_that_has_lost_its_ranges(self):
        self.interrupted()
        self.origin.fault(PATH, ignore_range=True)
        self.begins_anew()

    def test_a_journal_that_cannot_be_believed(self):
        damage = {"cut": lambda text: text[:-20], "empty": lambda _: "", "another schema": lambda text: text.replace(
            '"schema_version":1', '"schema_version":2'), "noise": lambda _: "\x00" * 100}
        for name, change in damage.items():
            with self.subTest(name):
                self.interrupted()
                path, = self.store.glob("blobs/sha256/*/.partial-*/journal.json")
                path.write_text(change(path.read_text()))
                self.begins_anew(is_told=False)
                shutil.rmtree(self.store)

    def test_data_that_is_shorter_than_the_journal_says(self):
        self.interrupted()
        path, = self.store.glob("blobs/sha256/*/.partial-*/data.tmp")
        os.truncate(path, 1000)
        self.begins_anew(is_told=False)

    def test_data_that_is_not_what_it_was_is_repaired(self):
        known = self.interrupted()
        path, = self.store.glob("blobs/sha256/*/.partial-*/data.tmp")
        with open(path, "r+b") as opened:
            opened.seek(known[0][0] + 1000)
            opened.write(b"\xa5" * 64)
        client = self.ends_well()
        self.assertIn("repaired", story.warnings(client.events))

    def test_local_damage_to_a_complete_partial_is_repaired(self):
        """A kill between the last byte and the blob: all is journalled, and nothing of it is known to be right."""
        daemon = self.start(self.config())
        client = self.connect(daemon)
        client.until_phase("verify")
        self.kill(daemon)
        client.close()
        if self.blob(self.file).exists():
            self.skipTest("it was stored before the kill came")
        path, = self.store.glob("blobs/sha256/*/.partial-*/data.tmp")
        with open(path, "r+b") as opened:
            opened.seek(1_000_000)
            opened.write(b"\xa5" * 64)
        self.ends_well()


class ChangesMeanwhile(fetching.FetchTest):
    """The object at the source is another one from some request on: everything begins anew, once, and ends well."""

    def restarts(self, config=None, **fault):
        self.origin.fault(PATH, **fault)
        client = self.ends_well(config)
        self.assertIn("download_restarted", story.warnings(client.events))
        self.assertGreaterEqual(fetching.asked_twice(self.origin.requests(PATH)), 1)

    def test_another_etag(self):
        self.restarts(etag='"another"', skip=3)

    def test_another_etag_with_206(self):
        self.restarts(etag='"another"', skip=3, ignore_if_range=True)

    def test_200_to_a_range(self):
        self.restarts(ignore_range=True, skip=3)

    def test_200_to_a_range_once(self):
        self.restarts(ignore_range=True, skip=3, times=1)

    def test_another_place_once(self):
        self.restarts(content_range_first_off_by=4096, skip=3, times=1)

    def test_another_size_once(self):
        self.restarts(content_range_total_off_by=4096, skip=3, times=1)


class NeverTheSame(fetching.FetchTest):
    """A source that contradicts itself without an end: an error, or the right bytes as one stream; never a wrong blob."""

    def ends_somehow(self, **fault):
        self.origin.fault(PATH, from_offset=1, **fault)
        daemon, client, outcome = self.bring_up(self.config())
        story.check_all(client.events, "tiny")
        if outcome["status"] == "error":
            self.assert_error(outcome, "network", "http_status", "size_mismatch", "sha256_mismatch")
            self.assertFalse(self.blob(self.file).exists())
        else:
            self.assert_stored(self.file)
        self.assertLess(self.origin.sent_bytes(), 20 * self.file.size_bytes)
        self.stop(daemon)

    def test_another_place_always(self):
        self.ends_somehow(content_range_first_off_by=4096)

    def test_another_size_always(self):
        self.ends_somehow(content_range_total_off_by=4096)

    def test_another_etag_beyond_an_offset(self):
        self.ends_somehow(etag='"another"')

    def test_no_ranges_beyond_an_offset(self):
        self.ends_somehow(ignore_range=True)


if __name__ == "__main__":
    unittest.main()
