"""Lines that nobody should send: each is answered or ends its own connection, and disturbs no other."""

import json
import random
import time
import unittest

import ggufd
from readers import witness

HALF_LINES = 200
KIB = 1024

# Unicode, table 3-7: what looks like UTF-8 and is none.
NOT_UTF8 = {
    "a continuation alone": b"\x80",
    "continuations alone": b"\xbf\xbf",
    "overlong in two bytes": b"\xc0\xaf",
    "overlong NUL": b"\xc0\x80",
    "overlong in three": b"\xe0\x80\xaf",
    "overlong in four": b"\xf0\x80\x80\xaf",
    "the first surrogate": b"\xed\xa0\x80",
    "the last surrogate": b"\xed\xbf\xbf",
    "a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
    "two bytes, cut": b"\xc3",
    "three bytes, cut": b"\xe2\x82",
    "four bytes, cut": b"\xf0\x9f\xa6",
    "cut by a letter": b"\xe2\x82x",
    "beyond U+10FFFF": b"\xf4\x90\x80\x80",
    "far beyond": b"\xf5\x80\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "0xfe": b"\xfe",
    "0xff": b"\xff",
    "a byte of Latin-1": "ü".encode("latin-1"),
}


class Lines(witness.WitnessedTest):
    def test_bytes_at_random(self):
        chance = random.Random(20260518)
        for _ in range(20):
            client = self.connect(self.daemon)
            lines = [chance.randbytes(chance.randrange(1, 600)).replace(b"\n", b"\r") for _ in range(100)]
            answers = self.answers_to(client, lines)
            self.assertEqual([request_id for request_id, _ in answers], [""] * len(lines), "each line has its answer")
            self.assertEqual({frame["code"] for _, frame in answers}, {"malformed_json"})

    def test_a_line_without_an_end(self):
        """It is refused at its 65,537th byte, and whoever goes on sending is cut off."""
        client = self.connect(self.daemon)
        deadline = time.monotonic() + ggufd.LIMIT_S
        with self.assertRaises((BrokenPipeError, ConnectionResetError)):
            while time.monotonic() < deadline:
                client.send(b"x" * (64 * KIB))
        self.assertEqual(client.answer("")["code"], "frame_too_large")
        with self.assertRaises(ggufd.ClosedByPeer):
            client.answer("nothing more")

    def test_lines_without_an_end_take_no_memory(self):
        def attack():
            for _ in range(20):
                client = self.connect(self.daemon)
                try:
                    client.send(b"[" * (256 * KIB))
                except (BrokenPipeError, ConnectionResetError):
                    pass  # it may be cut off while it sends
                self.assertEqual(client.answer("")["code"], "frame_too_large")
                client.close()

        self.assert_memory_settles(attack)

    def test_half_lines_are_held_open(self):
        line = b'{"id":"half","type":"ping"}\n'
        clients = [self.connect(self.daemon) for _ in range(HALF_LINES)]
        for index, client in enumerate(clients):
            client.send(line[:index % (len(line) - 1) + 1])
        self.assert_unharmed()
        for index, client in enumerate(clients):
            client.send(line[index % (len(line) - 1) + 1:])
        for client in clients:
            self.assertEqual(client.answer("half")["type"], "response")

    def test_what_is_not_utf8(self):
        around = (b'{"id":"%b","type":"ping"}', b'{"id":"u","type":"%b"}', b'{"id":"u","type":"ping","x":"%b"}',
                  b'{"id":"u","type":"ping","%b":1}', b'{"id":"u","type":"status","model":"%b"}', b'%b{"id":"u","type":"ping"}',
                  b'{"id":"u","type":"ping"}%b', b'%b')
        for kind, wrong in NOT_UTF8.items():
            with self.subTest(kind):
                answers = self.answers_to(self.asker, [line % wrong for line in around])
                self.assertEqual([(request_id, frame["code"]) for request_id, frame in answers],
                                 [("", "malformed_json")] * len(around))

    def test_escaped_surrogates(self):
        """JSON's own way to write half a character: refused or replaced, and in no case an answer that is not UTF-8."""
        for escaped in (r"\ud800", r"\udc00", r"\ud800x", r"\udc00\ud800", r"\ud8"):
            with self.subTest(escaped):
                [(request_id, frame)] = self.answers_to(self.asker, [b'{"id":"%b","type":"ping"}' % escaped.encode()])
                self.assertTrue(frame["type"] == "response" or (request_id, frame["code"]) == ("", "malformed_json"), frame)

    def test_json_nested_very_deep(self):
        opened = ("[" * 10_000, '{"a":' * 10_000, '[{"a":' * 5_000)
        closed = ("]" * 10_000, "}" * 10_000, "}]" * 5_000)
        lines = [f'{{"id":"n","type":"ping","x":{first}1{last}}}' for first, last in zip(opened, closed)]
        lines += [*opened, "[" * 65_000, "{" * 65_000]
        for line in lines:
            self.assertLess(len(line), 64 * KIB)
        answers = self.answers_to(self.asker, [line.encode() for line in lines])
        self.assertEqual([(request_id, frame["code"]) for request_id, frame in answers], [("", "malformed_json")] * len(lines))

    def test_nesting_that_is_allowed(self):
        line = b'{"id":"n","type":"ping","x":%b1%b}' % (b"[" * 900, b"]" * 900)
        [(request_id, frame)] = self.answers_to(self.asker, [line])
        self.assertEqual((request_id, frame["type"]), ("n", "response"))

    def test_huge_keys_and_values(self):
        huge = "k" * (60 * KIB)
        lines = [{"id": "key", "type": "ping", huge: 1}, {"id": "value", "type": "ping", "x": huge}, {"id": huge, "type": "ping"},
                 {"id": "type", "type": huge}, {"id": "model", "type": "status", "model": huge},
                 {"id": "models", "type": "subscribe", "models": [huge]}, {"id": "pull", "type": "pull", "model": huge}]
        answers = self.answers_to(self.asker, [json.dumps(line).encode() for line in lines])
        self.assertEqual([(request_id, frame.get("code")) for request_id, frame in answers],
                         [("key", None), ("value", None), ("", "bad_field"), ("type", "unknown_type"),
                          ("model", "unknown_model"), ("models", "unknown_model"), ("pull", "unknown_model")])
        for _, frame in answers:
            self.assertLess(len(json.dumps(frame)), 4 * KIB, "what was asked is not sent back")

    def test_many_keys(self):
        line = json.dumps({"id": "m", "type": "ping"} | {f"k{number}": None for number in range(4_000)})
        self.assertLess(len(line), 64 * KIB)
        [(request_id, frame)] = self.answers_to(self.asker, [line.encode()])
        self.assertEqual((request_id, frame["type"]), ("m", "response"))

    def test_numbers_for_since(self):
        """docs/protocol.md, section 6: a number that is no 64-bit integer is `bad_field`; one that no 64 bits hold, or that is
        no JSON, spoils the line."""
        expected = {text: ("s", None) for text in ("0", "1", str(2**63), str(2**64 - 1), "null")}
        expected |= {text: ("s", "bad_field") for text in ("-1", "-0.0", "0.5", "1.0", "1e3", "1E-3", '"1"', "true", "[1]",
                                                           "{}", str(-2**63))}
        expected |= {text: ("", "malformed_json") for text in ("1e999", "-1e999", str(2**64), str(-2**63 - 1), "9" * 400, "NaN",
                                                               "Infinity", "01", "+1", ".5", "1.", "0x1", "1_000", "1e", "--1")}
        answers = self.answers_to(self.asker, [f'{{"id":"s","type":"subscribe","since":{text}}}'.encode() for text in expected])
        found = [(request_id, frame.get("code")) for request_id, frame in answers]
        self.assertEqual(dict(zip(expected, found)), expected)
        # What it was told of is another life of the daemon, or was told once more: from here on the asker's events go on.
        self.asker.events.clear()

    def test_of_a_key_that_stands_twice_the_first_counts(self):
        lines = [b'{"id":"a","id":"b","type":"ping"}', b'{"id":"a","type":"ping","type":"drain"}',
                 b'{"id":"a","type":"status","model":"tiny","model":"nobody"}',
                 b'{"id":"a","type":"subscribe","since":0.5,"since":1}']
        answers = self.answers_to(self.asker, lines)
        self.assertEqual([(request_id, frame.get("code")) for request_id, frame in answers],
                         [("a", None), ("a", None), ("a", None), ("a", "bad_field")])

    def test_nul_bytes(self):
        for line in (b"\0", b"\0" * 1000, b'{"id":"z","type":"ping"}\0', b'\0{"id":"z","type":"ping"}',
                     b'{"id":"\0","type":"ping"}', b'{"id":"z",\0"type":"ping"}', b'{"id":"z","type":"ping\0"}'):
            with self.subTest(line=line[:40]):
                [(request_id, frame)] = self.answers_to(self.asker, [line])
                self.assertEqual((request_id, frame["code"]), ("", "malformed_json"))
        answers = self.answers_to(self.asker, [rb'{"id":"\u0000","type":"ping"}', rb'{"id":"z","type":"ping\u0000"}',
                                               rb'{"id":"z","type":"status","model":"tiny\u0000"}'])
        self.assertEqual([(request_id, frame.get("code")) for request_id, frame in answers],
                         [("\0", None), ("z", "unknown_type"), ("z", "unknown_model")])

    def test_other_ends_of_a_line(self):
        """A line that a program on Windows has written is one; an empty one is no request."""
        answers = self.answers_to(self.asker, [b'{"id":"crlf","type":"ping"}\r', b' \t{"id":"space","type":"ping"} '])
        self.assertEqual([(request_id, frame["type"]) for request_id, frame in answers],
                         [("crlf", "response"), ("space", "response")])
        for line in (b"", b" ", b"\r", b"\xef\xbb\xbf"):
            with self.subTest(line=line):
                answers = self.answers_to(self.asker, [line])
                self.assertEqual([(request_id, frame["code"]) for request_id, frame in answers], [("", "malformed_json")])


if __name__ == "__main__":
    unittest.main()
