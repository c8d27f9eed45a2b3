"""Requests whose fields are wrong: answered with an error that has the request's id, begun in no part, the connection goes on.

The fields are those of docs/protocol.md, so that a new one is tried from its first day on."""

import json
import pathlib
import re
import unittest

import ggufd
import story
from readers import witness

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs/protocol.md"
TABLE = re.compile(r"<!-- fields: request (\w+) -->\n(.*?)<!-- end -->", re.DOTALL)
ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \|", re.MULTILINE)
MAY_BE_ABSENT = ", may be absent"

# The requests whose table is another's.
SAME_TABLE = {"unload": "load", "reload": "load", "cancel": "load"}
# Whatever stands here is not of the type. As text, since 1.0 and 1e3 are to arrive as they are.
OF_NO_TYPE = {
    "string": ["5", "-1", "0.5", "true", "false", "[]", "{}", '["tiny"]', '{"model":"tiny"}'],
    "integer": ['"5"', '""', "0.5", "1.0", "1e3", "-1", "true", "false", "[]", "{}", "[1]", "18446744073709551615.0"],
    "boolean": ['"true"', '"yes"', '""', "0", "1", "0.0", "[]", "{}", "[true]"],
    "array, each string": ['"tiny"', "0", "true", "{}", '["tiny",5]', '["tiny",null]', '[["tiny"]]', "[true]", "[{}]"],
}
PULLED = {"source": "http://127.0.0.1:1/absent.gguf", "name": "absent"}


def tables():
    """{verb: [(field, type, whether it may be absent)]}"""
    found = {}
    for verb, rows in TABLE.findall(PAGE.read_text()):
        kinds = [(key, kind.strip()) for key, kind in ROW.findall(rows)]
        found[verb] = [(key, kind.removesuffix(MAY_BE_ABSENT), kind.endswith(MAY_BE_ABSENT)) for key, kind in kinds]
    return found | {verb: found[other] for verb, other in SAME_TABLE.items()}


def fields_of_all():
    """(verb, field, type, whether it may be absent)"""
    return [(verb, *field) for verb, fields in tables().items() for field in fields]


def besides(verb, field):
    """The others that go with `field`."""
    if verb == "pull" and field in (*PULLED, "sha256"):
        others = PULLED
    else:
        others = {"model": "tiny"} if verb in ("pull", "verify", "plan") else {}
    return {key: value for key, value in others.items() if key != field}


def line_with(request_id, verb, field, text):
    line = json.dumps({"id": request_id, "type": verb, **besides(verb, field)})
    return f'{line[:-1]},"{field}":{text}}}'.encode()


class WrongTypes(witness.WitnessedTest):
    def test_the_page_is_read(self):
        known = tables()
        self.assertLessEqual({"status", "subscribe", "load", "unload", "reload", "cancel", "pull", "verify", "plan"}, set(known))
        self.assertEqual({kind for fields in known.values() for _, kind, _ in fields}, set(OF_NO_TYPE))

    def test_each_field_of_each_request_with_a_wrong_type(self):
        tried = [(verb, field, text) for verb, field, kind, _ in fields_of_all() for text in OF_NO_TYPE[kind]]
        self.assertGreater(len(tried), 200)
        before = self.asker.ask("status")
        answers = self.answers_to(self.asker, [line_with(f"w{number}", *one) for number, one in enumerate(tried)])
        found = {tried[int(request_id[1:])]: frame.get("code") for request_id, frame in answers}
        self.assertEqual(len(answers), len(tried), "one answer each")
        self.assertEqual(found, dict.fromkeys(tried, "bad_field"))
        for one, (_, frame) in zip(tried, answers):
            self.assertIn(f'"{one[1]}"', frame["message"], "the sentence names the field")
        after = self.asker.ask("status")
        self.assertEqual((after["seq"], after["models"]), (before["seq"], before["models"]), "nothing was begun")

    def test_each_field_that_a_request_needs(self):
        needed = [(verb, field) for verb, field, _, may_be_absent in fields_of_all() if not may_be_absent]
        self.assertLessEqual({("verify", "model"), ("plan", "model")}, set(needed))
        needed += [("pull", field) for field in PULLED]
        lines = [{"id": f"{verb} {field}", "type": verb, **besides(verb, field)} for verb, field in needed]
        lines.append({"id": "pull", "type": "pull"})
        answers = self.answers_to(self.asker, [json.dumps(line).encode() for line in lines])
        self.assertEqual([(request_id, frame["code"]) for request_id, frame in answers],
                         [(line["id"], "missing_field") for line in lines])

    def test_null_is_absence(self):
        """In place of a field that may be absent; a field that is needed is not there then."""
        harmless = ("status", "subscribe", "plan", "verify", "cancel")
        for verb, field, _, may_be_absent in fields_of_all():
            if verb not in harmless:
                continue
            with self.subTest(verb=verb, field=field):
                self.asker.send(line_with("null", verb, field, "null") + b"\n")
                answer = self.asker.answer("null")
                if may_be_absent:
                    self.assertEqual(answer["type"], "response", answer)
                else:
                    self.assertIn(answer.get("code"), ("missing_field", "bad_field"))

    def test_values_that_cannot_be(self):
        texts = {("pull", "source"): ['""', '"nowhere"', '"ftp://127.0.0.1/x.gguf"', '"/etc/passwd"', '"http://a.example/x.gguf"'],
                 ("pull", "sha256"): ['""', '"abc"', '"' + "g" * 64 + '"', '"' + "0" * 65 + '"'],
                 ("pull", "name"): ['""', '"../../etc/passwd"', '".hidden"', '"a/b"', '"tiny"', '"' + "n" * 65 + '"'],
                 ("plan", "n_ctx"): [str(2**32), str(2**63), str(2**64 - 1)],
                 ("plan", "n_seq"): [str(2**32)], ("plan", "n_ubatch"): [str(2**32)]}
        tried = [(verb, field, text) for (verb, field), several in texts.items() for text in several]
        answers = self.answers_to(self.asker, [line_with(f"v{number}", *one) for number, one in enumerate(tried)])
        self.assertEqual({tried[int(request_id[1:])]: frame.get("code") for request_id, frame in answers},
                         dict.fromkeys(tried, "bad_field"))

    def test_a_context_that_no_memory_holds(self):
        """The plan of the longest ones is refused or in proportion, never one that has wrapped around."""
        for n_ctx in (2**32 - 1, 2**32 - 255, 2**31, 10**9):
            with self.subTest(n_ctx=n_ctx):
                answer = self.asker.ask("plan", model="tiny", n_ctx=n_ctx)
                if answer["type"] == "error":
                    self.assertEqual(answer["code"], "bad_field")
                    continue
                self.assertGreaterEqual(answer["n_ctx"], n_ctx)
                self.assertIn(answer["fits"], (False, None))

    def test_a_model_that_nobody_has_configured(self):
        verbs = [verb for verb, fields in tables().items() if "model" in [field for field, *_ in fields]]
        self.assertGreater(len(verbs), 6)
        verbs.remove("reload")
        for name in ("nobody", "TINY", "tiny ", "../tiny"):
            lines = [json.dumps({"id": verb, "type": verb, "model": name}).encode() for verb in verbs]
            answers = self.answers_to(self.asker, lines)
            self.assertEqual([(request_id, frame["code"]) for request_id, frame in answers],
                             [(verb, "unknown_model") for verb in verbs])
            # The file may have one, so that it is read first.
            self.assertEqual(self.asker.ask("reload", model=name)["code"], "unknown_model")

    def test_a_name_without_a_letter(self):
        verbs = ("status", "load", "plan", "verify", "pull")
        lines = [json.dumps({"id": verb, "type": verb, "model": ""}).encode() for verb in verbs]
        self.assertEqual([(request_id, frame["code"]) for request_id, frame in self.answers_to(self.asker, lines)],
                         [(verb, "unknown_model") for verb in verbs])

    def test_names_that_would_spoil_a_line(self):
        """Of the log or of the answer: control characters, and characters where a long name is cut."""
        spoilt = ("x\nforged: a line of its own", "x\rforged", "\x1b[2J\x1b[31mforged", "\0forged", "forged\x7f\x9b",
                  *("x" * shift + "🦙" * 100 for shift in range(4)))
        for name in spoilt:
            lines = [{"id": "load", "type": "load", "model": name}, {"id": "status", "type": "status", "model": name},
                     {"id": "type", "type": name}, {"id": "models", "type": "subscribe", "models": [name]},
                     {"id": "source", "type": "pull", "source": name, "name": "x"},
                     {"id": "name", "type": "pull", "source": "https://127.0.0.1:1/x.gguf", "name": name}]
            answers = self.answers_to(self.asker, [json.dumps(line).encode() for line in lines])
            self.assertEqual([(request_id, frame.get("code")) for request_id, frame in answers],
                             [("load", "unknown_model"), ("status", "unknown_model"), ("type", "unknown_type"),
                              ("models", "unknown_model"), ("source", "bad_field"), ("name", "bad_field")])
            for _, frame in answers:
                self.assertNotIn("\ufffd", frame["message"], "it is cut between two characters")
        self.wait_for_log("asked for by", times=3 * len(spoilt))
        self.assertNotRegex(self.daemon.stderr(), r"(?m)^forged|[\x00-\x08\x0b-\x1f\x7f\x9b]|\ufffd")


class Filters(ggufd.DaemonTest):
    """What `subscribe` may be told about models."""

    def setUp(self):
        super().setUp()
        files = {name: self.model(f"{name}.gguf", size_mb=1, seed=seed) for seed, name in enumerate(("a", "b"), 1)}
        entries = [{"name": name, "source": str(file.path), "sha256": file.sha256, "engine": "resident", "load": "manual"}
                   for name, file in files.items()]
        self.config = {"models": entries, "memory_headroom_bytes": 0}
        self.daemon = self.start(self.config)
        self.asker = self.connect(self.daemon)
        self.all = self.connect(self.daemon)

    def subscribed(self, **how):
        client = self.connect(self.daemon)
        self.assertEqual(client.ask("subscribe", **how)["type"], "response")
        client.events.clear()
        return client

    def test_a_name_that_is_not_configured_is_refused_and_changes_nothing(self):
        client = self.subscribed(models=["a"])
        for names in (["nobody"], ["a", "nobody"], ["A"], [""]):
            with self.subTest(names=names):
                self.assertEqual(client.ask("subscribe", models=names, since=0)["code"], "unknown_model")
        for name in ("b", "a"):
            self.assertEqual(self.asker.ask("load", model=name, wait=True)["state"], "ready")
        client.until_status("ready", model="a")
        self.assertEqual({event["model"] for event in client.events}, {"a"}, "the filter of before still holds")
        self.stop(self.daemon)

    def test_events_of_some_models_and_of_the_daemon(self):
        only_b, of_both, of_any = (self.subscribed(models=names) for names in (["b"], ["a", "b", "a"], []))
        for name in ("a", "b"):
            self.assertEqual(self.asker.ask("load", model=name, wait=True)["state"], "ready")
        self.assertEqual(self.asker.ask("drain")["type"], "response")
        told = self.all.read_to_end()
        story.check_sequence(told)
        numbered = [event for event in told if "seq" in event]
        first = numbered.index(next(event for event in numbered if event.get("model")))
        self.assertEqual(only_b.read_to_end(), [event for event in numbered[first:] if event.get("model") in ("b", None)])
        for client in (of_both, of_any):
            self.assertEqual(client.read_to_end(), numbered[first:])
        self.assertEqual(self.daemon.wait(), 0)

    def test_a_reader_that_asks_too_far_back_is_told_of_its_models_only(self):
        for name in ("a", "b"):
            self.assertEqual(self.asker.ask("load", model=name, wait=True)["state"], "ready")
        self.forget_the_beginning()
        client = self.connect(self.daemon)
        client.ask("ping")
        client.events.clear()
        client.send(b'{"id":"f","type":"subscribe","since":1,"models":["b"]}\n')
        self.assertEqual(client.answer("f")["type"], "response")
        told = [client.until(lambda _: True) for _ in range(3)]
        self.assertEqual([(event["status"], event.get("model")) for event in told],
                         [("lagged", None), ("capabilities", "b"), ("ready", "b")])
        self.assertEqual(self.asker.ask("unload", model="a", wait=True)["state"], "uninitialized")
        self.assertEqual(self.asker.ask("unload", model="b", wait=True)["state"], "uninitialized")
        self.assertEqual([client.until(lambda _: True)["model"] for _ in range(2)], ["b", "b"])
        self.stop(self.daemon)

    def forget_the_beginning(self):
        """More events than are remembered: warnings about a configuration that is broken."""
        self.asker.ask("unsubscribe")
        self.daemon.config_file.write_text("{")
        for _ in range(4096 + 2):  # one by one: those that are asked for at the same time are one
            self.assertEqual(self.asker.ask("reload")["code"], "bad_config")


if __name__ == "__main__":
    unittest.main()
