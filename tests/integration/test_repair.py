"""A complete file with the wrong digest: what differs is fetched again before anything is thrown away."""

import re
import shutil
import unittest

import fetching
import story
from fetching import PATH, SEGMENT_BYTES
from origin import Origin


def names_a_range_with(message, offset):
    """Whether two neighbouring numbers of the sentence are a range that contains `offset`."""
    numbers = [int(word) for word in re.findall(r"\d+", message)]
    return any(first <= offset <= last and last - first <= SEGMENT_BYTES for first, last in zip(numbers, numbers[1:]))


class Repair(fetching.FetchTest):
    def setUp(self):
        super().setUp()
        self.at = self.file.size_bytes // 2 + 12_345

    def assert_repaired(self, client, at=None):
        told = story.warnings(client.events)
        self.assertEqual([code for code in told if code.startswith("repair")], ["repairing", "repaired"])
        self.assertEqual(self.quarantined(), [])
        message = self.warning(client, "repaired")
        self.assertTrue(names_a_range_with(message, self.at if at is None else at), message)

    def test_a_byte_that_was_wrong_once(self):
        self.origin.fault(PATH, flip_at=self.at, times=1)
        self.assert_repaired(self.ends_well())

    def test_the_first_and_the_last_byte(self):
        for at in (0, self.file.size_bytes - 1):
            with self.subTest(at=at):
                self.origin.fault(PATH, flip_at=at, times=1)
                self.assert_repaired(self.ends_well(), at)
                shutil.rmtree(self.store)

    def test_a_mirror_that_is_always_wrong_beside_one_that_is_right(self):
        self.origin.fault(PATH, flip_at=self.at)
        with Origin(self.web) as right:
            self.assert_repaired(self.ends_well(self.config([self.source, right.url("model.gguf")])))
            self.assertTrue(right.requests(PATH))

    def test_a_source_without_ranges_is_quarantined_and_fetched_afresh(self):
        self.origin.fault(PATH, flip_at=self.at, times=1, ignore_range=True)
        client = self.ends_well()
        self.assertNotIn("repaired", story.warnings(client.events))
        self.assertEqual(story.steps(client.events).count("quarantine"), 1)
        self.assertEqual(len(self.quarantined()), 1)

    def test_a_source_that_is_always_wrong(self):
        self.origin.fault(PATH, flip_at=self.at)
        client, error = self.ends_in("sha256_mismatch")
        self.assertIn(self.file.sha256[:12], error["message"])
        self.assertEqual(story.steps(client.events).count("quarantine"), len(self.quarantined()))
        self.assertGreaterEqual(len(self.quarantined()), 1)
        for evidence in self.evidence():
            self.assertEqual((evidence["expected"], evidence.get("differing_ranges", [])), (self.file.sha256, []))
            self.assertEqual((evidence["url"], evidence["size"]), (self.source, self.file.size_bytes))

    def test_two_mirrors_that_are_wrong_at_different_places(self):
        elsewhere = self.at - 2 * SEGMENT_BYTES
        self.origin.fault(PATH, flip_at=self.at)
        with Origin(self.web) as other:
            other.fault(PATH, flip_at=elsewhere)
            self.ends_in("sha256_mismatch", self.config([self.source, other.url("model.gguf")]))
        told = [one for evidence in self.evidence() for one in evidence.get("differing_ranges", [])]
        self.assertTrue(told, "the mirrors differ, and the evidence says where")
        for one in told:
            self.assertTrue(any(one["begin"] <= at < one["end"] for at in (self.at, elsewhere)), one)

    def test_a_kill_while_it_is_repaired(self):
        self.origin.throttle(PATH, 4_000_000)
        self.origin.fault(PATH, flip_at=self.at, times=1)
        daemon = self.start(self.config())
        client = self.connect(daemon)
        client.until(lambda event: event.get("code") == "repairing")
        self.kill(daemon)
        self.ends_well()
        self.assertEqual(self.quarantined(), [])


if __name__ == "__main__":
    unittest.main()
