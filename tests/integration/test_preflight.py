"""What can't be used is refused before gigabytes are fetched: memory, the header, the disk."""

import struct
import unittest

import fetching
import ggufd
from fetching import PATH

MB = 1_000_000
HUGE_CONTEXT = 1 << 27  # tokens: a KV cache of terabytes
# The segments are those of the default, so that the first request is for the whole file.
WHOLE_FILE = {"segment_bytes": 64 << 20}


class BeforeTheBulk(fetching.FetchTest):
    size_mb = 64

    def setUp(self):
        super().setUp()
        # Slow enough that what is refused soon is refused early; 16 MB would take a second.
        self.origin.throttle(PATH, 16 * MB)

    def refused_early(self, codes, config=None):
        client, error = self.ends_in(codes, config or self.config(fetch=WHOLE_FILE))
        self.assertLess(self.origin.sent_bytes(), self.file.size_bytes // 2)
        self.assertEqual(self.quarantined(), [])
        return client, error


class Memory(BeforeTheBulk):
    def setUp(self):
        super().setUp()
        self.file = self.model(size_mb=self.size_mb, n_ctx=HUGE_CONTEXT)

    def test_a_model_that_can_never_fit(self):
        _, error = self.refused_early("out_of_memory_budget", self.config(fetch=WHOLE_FILE, n_ctx=0))
        self.assertRegex(error["message"], r"\d")

    def test_the_configured_context_counts(self):
        self.refused_early("out_of_memory_budget", self.config(fetch=WHOLE_FILE, n_ctx=HUGE_CONTEXT))
        self.ends_well(self.config(n_ctx=512))

    def test_without_a_digest(self):
        self.refused_early("out_of_memory_budget", self.config_without_digest(fetch=WHOLE_FILE, n_ctx=0))

    def test_what_has_come_is_kept_and_used(self):
        """Refused for its context, loaded with a smaller one: the beginning is not fetched twice."""
        self.refused_early("out_of_memory_budget", self.config(n_ctx=0))
        known = self.journalled()
        self.origin.forget_requests()
        self.ends_well(self.config(n_ctx=512))
        self.assertEqual(fetching.common(fetching.asked_ranges(self.origin.requests(PATH)), known), 0)


class Header(BeforeTheBulk):
    """Without a digest nobody would notice later: a header that is wrong is the source's."""

    def spoil(self, offset, data):
        with open(self.file.path, "r+b") as opened:
            opened.seek(offset)
            opened.write(data)
        self.file = ggufd.model_file(self.file.path)

    def test_no_gguf_at_all(self):
        self.spoil(0, b"<htm")
        self.refused_early("invalid_gguf", self.config_without_digest(fetch=WHOLE_FILE))

    def test_a_version_that_nobody_reads(self):
        self.spoil(4, struct.pack("<I", 1))
        self.refused_early("unsupported_gguf", self.config_without_digest(fetch=WHOLE_FILE))

    def test_counts_beyond_reason(self):
        self.spoil(8, struct.pack("<q", 1 << 62))
        self.refused_early("invalid_gguf", self.config_without_digest(fetch=WHOLE_FILE))

    def test_a_header_that_needs_a_longer_file(self):
        whole = self.file.path.read_bytes()
        self.file.path.write_bytes(whole[:-MB])
        self.file = ggufd.model_file(self.file.path)
        self.refused_early(("invalid_gguf", "size_mismatch"), self.config_without_digest(fetch=WHOLE_FILE))

    def test_a_header_that_needs_a_longer_file_with_its_digest(self):
        whole = self.file.path.read_bytes()
        self.file.path.write_bytes(whole[:-MB])
        self.file = ggufd.model_file(self.file.path)
        daemon, _, outcome = self.bring_up(self.config())
        self.assert_error(outcome, "invalid_gguf", "size_mismatch")
        self.assertEqual(self.quarantined(), [], "the digest is right")
        self.stop(daemon)


class Disk(BeforeTheBulk):
    def test_a_size_beyond_the_disk(self):
        self.origin.fault(PATH, content_range_total_off_by=1 << 55)
        _, error = self.ends_in(("disk_full", "size_mismatch", "invalid_gguf"))
        self.assertLess(self.origin.sent_bytes(), self.file.size_bytes // 2)
        if error["code"] == "disk_full":
            self.assertIn(str(self.store), error["message"], "it names the place")
            self.assertGreaterEqual(sum(word[0].isdigit() for word in error["message"].split()), 2, "need and have")


if __name__ == "__main__":
    unittest.main()
