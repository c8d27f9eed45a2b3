"""What passes is tried again, with patience and an end; what is a judgement is not."""

import email.utils
import shutil
import time
import unittest

import fetching
import origin as origins
from fetching import PATH


class Passing(fetching.FetchTest):
    def gap_s(self):
        """Seconds between the first two requests."""
        first, second = self.origin.requests(PATH)[:2]
        return second.at_s - first.at_s

    def test_a_server_that_is_busy_three_times(self):
        self.origin.fault(PATH, status=503, times=3)
        self.ends_well(self.config(fetch={"retries": 3}))
        self.assertEqual([request.status for request in self.origin.requests(PATH)][:4], [503, 503, 503, 206])

    def test_statuses_that_pass(self):
        for status in (408, 425, 429, 500, 502, 504):
            with self.subTest(status=status):
                self.origin.fault(PATH, status=status, times=1)
                self.ends_well()
                self.forget()

    def forget(self):
        """The store and the record begin anew."""
        shutil.rmtree(self.store)
        self.origin.forget_requests()

    def test_it_waits_as_long_as_it_is_asked_to(self):
        ways = {"Retry-After with 429": {"status": 429, "retry_after": 2},
                "Retry-After with 503": {"status": 503, "retry_after": 2},
                "RateLimit": {"status": 429, "rate_limit": '"api";r=0;t=2'}}
        for name, fault in ways.items():
            with self.subTest(name):
                self.origin.fault(PATH, times=1, **fault)
                self.ends_well()
                self.assertGreaterEqual(self.gap_s(), 1.95)
                self.forget()

    def test_it_waits_until_a_date(self):
        until_s = int(time.time()) + 6
        self.origin.fault(PATH, status=429, retry_after=email.utils.formatdate(until_s, usegmt=True), times=1)
        self.ends_well()
        # Both clocks are this machine's; the daemon takes the date's from one and waits by the other.
        second = self.origin.requests(PATH)[1]
        self.assertGreaterEqual(time.time() - (time.monotonic() - second.at_s), until_s - 0.1)

    def test_back_off_grows(self):
        self.origin.fault(PATH, status=503)
        self.ends_in("http_status", self.config(fetch={"retries": 3}))
        at = [request.at_s for request in self.origin.requests(PATH)]
        self.assertEqual(len(at), 4, "the first and three more")
        # 0.5, 1 and 2 s with jitter.
        self.assertGreater(at[3] - at[0], 1.2)
        self.assertGreater(at[3] - at[2], at[1] - at[0])

    def test_a_new_byte_makes_the_count_begin_anew(self):
        self.origin.fault(PATH, cut_after=700_000)
        client = self.ends_well(self.config(fetch={"retries": 1, "connections": 1, "segment_bytes": 1 << 30}))
        self.assertGreaterEqual(len(self.origin.requests(PATH)), 5)
        self.assertEqual(fetching.story.warnings(client.events), [])

    def test_cuts_of_either_kind(self):
        for end in ("cut_at", "close_at"):
            with self.subTest(end):
                self.origin.fault(PATH, **{end: self.file.size_bytes // 2}, times=2)
                client = self.ends_well()
                self.assertNotIn("download_restarted", fetching.story.warnings(client.events))
                self.forget()

    def test_cuts_without_a_byte_end_as_network(self):
        self.origin.fault(PATH, cut_at=0)
        self.ends_in("network", self.config(fetch={"retries": 2}))
        self.assertEqual(len(self.origin.requests(PATH)), 3)

    def test_nobody_listens(self):
        port = origins.refused_port()
        _, error = self.ends_in("network", self.config(f"http://127.0.0.1:{port}/model.gguf", fetch={"retries": 1}))
        self.assertIn(str(port), error["message"])

    def test_a_stall(self):
        self.origin.fault(PATH, stall_at=self.file.size_bytes // 2, times=1)
        self.ends_well(self.config(fetch={"stall_timeout_s": 1}))

    def test_a_trickle_is_a_stall(self):
        self.origin.fault(PATH, throttle_bytes_per_second=200, times=1)
        self.ends_well(self.config(fetch={"stall_timeout_s": 2}))

    def test_stalls_without_an_end(self):
        self.origin.fault(PATH, stall_at=0)
        self.ends_in("network", self.config(fetch={"stall_timeout_s": 1, "retries": 1}))

    def test_zero_retries(self):
        self.origin.fault(PATH, status=503)
        self.ends_in("http_status", self.config(fetch={"retries": 0}))
        self.assertEqual(len(self.origin.requests(PATH)), 1)


class Judged(fetching.FetchTest):
    def test_it_is_not_asked_again(self):
        for status in (400, 401, 403, 404, 410, 416, 451, 501):
            with self.subTest(status=status):
                self.origin.forget_requests()
                self.origin.fault(PATH, status=status)
                _, error = self.ends_in("http_status")
                self.assertIn(str(status), error["message"])
                self.assertEqual(len(self.origin.requests(PATH)), 1)


class ExpiredLinks(fetching.FetchTest):
    """The source redirects to a link that is good for a while; the bytes come from there."""

    signed = "/signed" + PATH

    def test_the_link_is_asked_directly(self):
        self.origin.sign(PATH)
        self.ends_well()
        self.assertEqual(len(self.origin.requests(PATH)), 1, "one redirect is enough")
        self.assertGreater(len(self.origin.requests(self.signed)), 4)

    def test_an_expired_link_is_resolved_again(self):
        self.origin.sign(PATH, uses=4)
        client = self.ends_well()
        self.assertGreater(len(self.origin.requests(PATH)), 2)
        self.assertNotIn("download_restarted", fetching.story.warnings(client.events), "it is the same object")
        self.assertEqual(fetching.asked_twice(self.origin.requests(self.signed)), 0)

    def test_another_object_behind_the_new_link_begins_anew(self):
        self.origin.sign(PATH, uses=4)
        self.origin.fault(self.signed, etag='"another"', skip=4)
        client = self.ends_well(self.config(fetch={"connections": 1}))
        self.assertIn("download_restarted", fetching.story.warnings(client.events))

    def test_links_that_are_never_good_end(self):
        self.origin.sign(PATH, uses=0)
        self.ends_in("http_status")
        self.assertLessEqual(len(self.origin.requests()), 12)

    def test_a_source_that_forbids_meanwhile_is_judged(self):
        self.origin.throttle(self.signed, 2_000_000)
        self.origin.sign(PATH)
        daemon = self.start(self.config())
        client = self.connect(daemon)
        self.origin.wait_until_sent(self.signed, 1_000_000)
        self.origin.fault(PATH, status=403)
        self.origin.expire()
        self.assert_error(client.until_outcome(), "http_status")
        self.assertTrue(list(self.store.glob("blobs/sha256/*/.partial-*/data.tmp")), "what has come is kept")
        self.stop(daemon)


if __name__ == "__main__":
    unittest.main()
