"""The documents say what is true: links lead somewhere, examples are read by the programs, every code is explained."""

import functools
import json
import pathlib
import re
import subprocess
import tempfile
import unittest

import documents
import ggufd

ROOT = documents.ROOT
TROUBLESHOOTING = ROOT / "docs/troubleshooting.md"

# Hosts that anybody may know; everything else in an example is a reserved name (RFC 2606), this machine, or no name at all.
KNOWN_HOSTS = {
    "code.visualstudio.com", "cmake.org", "docs.github.com", "freedesktop.org", "github.com", "grafana.com",
    "huggingface.co", "kubernetes.io", "lua.org", "neovim.io", "nodejs.org", "prometheus.io", "python.org", "rfc-editor.org",
    "systemd.io", "w3.org", "wikipedia.org",
}
RESERVED = re.compile(r"(^|\.)(example|test|invalid|localhost)$|(^|\.)example\.(com|net|org)$")
LOOPBACK = re.compile(r"^(127\.\d+\.\d+\.\d+|0\.0\.0\.0|\[.*|localhost)$")


def is_known_host(host):
    if "." not in host or LOOPBACK.match(host) or RESERVED.search(host):
        return True
    return any(host == known or host.endswith("." + known) for known in KNOWN_HOSTS)


def sources():
    return [path for folder in ("protocol", "daemon") for path in sorted((ROOT / folder).rglob("*"))
            if path.suffix in (".h", ".cpp")]


def error_codes():
    text = (ROOT / "protocol/error.h").read_text()
    return re.findall(r'"([a-z0-9_]+)"', re.search(r"EnumNames<ErrorCode> = .*?\{(.*?)\}", text, re.DOTALL)[1])


def warning_codes():
    """Those of the calls that publish a warning: a literal, or an error's code under the same name."""
    literal = re.compile(r'(?:[wW]arn|on_warning|on_engine_warning|warnings\.emplace_back)\(\s*\{?\s*"([a-z0-9_]+)"\s*,')
    named = re.compile(r"[wW]arn(?:ing)?[({]+(?:status::Warning\{)?std::string\(name_of\(ErrorCode::([a-z0-9_]+)\)\)")
    found = set()
    for path in sources():
        if "doctor" in str(path):  # whose findings are named, and no frames
            continue
        text = path.read_text()
        found |= set(literal.findall(text)) | set(named.findall(text))
    return found


def codes_of_the_protocol():
    """The warnings that docs/protocol.md lists."""
    text = (ROOT / "docs/protocol.md").read_text()
    table = re.search(r"\*\*`warning`\*\*.*?<!-- fields: warning -->", text, re.DOTALL)[0]
    return {code for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for code in re.findall(r"`([a-z0-9_]+)`", row)}


@functools.cache
def sentences():
    """The sources' format strings as patterns, the long ones: what a message can be told by."""
    found = []
    for path in sources():
        for literal in re.findall(r'"(?:[^"\\\n]|\\.)*"(?:\s*"(?:[^"\\\n]|\\.)*")*', path.read_text()):
            parts = "".join(re.findall(r'"((?:[^"\\\n]|\\.)*)"', literal)).replace('\\"', '"')
            fixed = re.sub(r"\{[^{}]*\}", "\0", parts)
            words = fixed.replace("\0", " ").split()
            if len(words) < 2 or sum(map(len, words)) < 9:
                continue
            pattern = re.escape(fixed).replace("\0", ".*").replace("\x00", ".*")
            found.append(re.compile(re.sub(r"(\\ )+", r"\\s+", pattern)))
    return found


def is_of_the_sources(message):
    return any(sentence.search(message) for sentence in sentences())


def sections(path, level):
    """{heading: text below it} of the headings of that level."""
    parts = re.split(rf"^{'#' * level} +(.*?) *$", path.read_text(), flags=re.MULTILINE)
    return {heading: re.split(r"^#{1,%d} " % level, body, flags=re.MULTILINE)[0]
            for heading, body in zip(parts[1::2], parts[2::2])}


class Links(unittest.TestCase):
    def test_they_lead_somewhere(self):
        count = 0
        for path in documents.files(".md"):
            for text, target in documents.links(path):
                if re.match(r"[a-z]+:", target):
                    continue
                count += 1
                with self.subTest(document=str(path.relative_to(ROOT)), link=text, target=target):
                    name, _, anchor = target.partition("#")
                    there = (path.parent / name).resolve() if name else path
                    self.assertTrue(there.is_relative_to(ROOT), "it leads out of the project")
                    self.assertTrue(there.exists(), "there is no such file")
                    if anchor and there.suffix == ".md":
                        self.assertIn(anchor, documents.anchors(there))
        self.assertGreater(count, 20)

    def test_no_other_hosts_than_everybody_knows(self):
        for path in documents.files(".md", ".yaml", ".yml"):
            hosts = re.findall(r"[a-z]+://([^/\s:\"'`)\]>,;<]+)", path.read_text())
            strange = sorted({host for host in hosts if not is_known_host(host)})
            self.assertEqual(strange, [], path.relative_to(ROOT))

    def test_the_check_itself(self):
        for host in ("evil.test.com", "registry.internal", "example.org.evil.com", "10.0.0.1"):
            self.assertFalse(is_known_host(host), host)
        for host in ("models.example.org", "huggingface.co", "www.w3.org", "127.0.0.1", "host"):
            self.assertTrue(is_known_host(host), host)


def json_documents():
    """(block, value) of each JSON document, or line of one, in the documents."""
    for path in documents.files(".md"):
        for block in documents.blocks(path):
            if block.language not in ("json", "ndjson"):
                continue
            try:
                yield block, json.loads(block.text)
            except ValueError:
                for line in filter(None, block.text.split("\n")):
                    yield block, json.loads(line)


class Examples(unittest.TestCase):
    def test_json_is_json(self):
        self.assertGreater(len(list(json_documents())), 20)

    def test_yaml_is_yaml(self):
        try:
            import yaml
        except ImportError:
            self.skipTest("python3-yaml is not installed")
        texts = [(path.relative_to(ROOT), path.read_text()) for path in documents.files(".yaml", ".yml")]
        texts += [(str(block), block.text) for path in documents.files(".md") for block in documents.blocks(path)
                  if block.language in ("yaml", "yml")]
        self.assertGreater(len(texts), 4)
        for where, text in texts:
            with self.subTest(str(where)):
                self.assertTrue(list(yaml.safe_load_all(text)))

    def test_configurations_are_accepted(self):
        answers = {"id", "type", "status", "subscribers", "seq", "checks"}  # what else has models, but is no configuration
        configurations = [(block, value) for block, value in json_documents()
                          if isinstance(value, dict) and "models" in value and not value.keys() & answers]
        self.assertGreaterEqual(len(configurations), 2)
        for block, value in configurations:
            with self.subTest(str(block)), tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder) / "config.json"
                path.write_text(json.dumps(value))
                code, _, errors = ggufd.run_program("ggufd", "--config", path, "--check-config", folder=folder)
                self.assertEqual((code, errors), (0, ""))


class CommandLines(unittest.TestCase):
    WITH_VALUE = {"--runtime-dir", "--socket", "--config", "--store"}

    @functools.cache
    def help_of(self, program, *verb):
        done = subprocess.run([str(ggufd.bin_dir() / program), *verb, "--help"], stdin=subprocess.DEVNULL, timeout=60,
                              capture_output=True, text=True, check=False)
        return done.stdout if done.returncode == 0 else ""

    def has_verb(self, verb):
        return self.help_of("ggufctl", verb) not in ("", self.help_of("ggufctl"))

    def complaints(self, program, words):
        """What of the words this program does not know."""
        words = [word.strip("[]….,:") for word in words]
        verb, options = None, []
        takes_value = False
        for word in words:
            if word == "--":  # what follows is another program's
                break
            if takes_value or not word:
                takes_value = False
            elif word.startswith("--"):
                options.append(word.split("=")[0])
                takes_value = word in self.WITH_VALUE
            elif verb is None:
                verb = word
        if program == "ggufctl" and verb and re.fullmatch(r"[a-z-]+", verb) and not self.has_verb(verb):
            return [f"the verb {verb}"]
        known = self.help_of(program) + (self.help_of(program, verb) if program == "ggufctl" and verb else "")
        # A placeholder for a verb (VERB, MODEL) says nothing of its options.
        if verb and not re.fullmatch(r"[a-z-]+", verb) and program == "ggufctl":
            return []
        always = {"--help", "--version"}
        return [f"the option {option}" for option in options
                if option not in always and not re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", known)]

    def check(self, program, at_least):
        count, found = 0, []
        for path in documents.files(".md", ".yaml"):
            for words in documents.command_lines(path, program):
                count += 1
                found += [f"{path.relative_to(ROOT)}: {program} {' '.join(words)}: {complaint}"
                          for complaint in self.complaints(program, words)]
        self.assertEqual(found, [])
        self.assertGreater(count, at_least)

    def test_those_of_ggufctl_are_known_to_it(self):
        self.check("ggufctl", 30)

    def test_those_of_ggufd_are_known_to_it(self):
        self.check("ggufd", 3)

    def test_the_check_itself(self):
        self.assertEqual(self.complaints("ggufctl", ["--runtime-dir", "DIR", "statsu"]), ["the verb statsu"])
        self.assertEqual(self.complaints("ggufctl", ["gc", "--everything"]), ["the option --everything"])
        self.assertEqual(self.complaints("ggufd", ["--conf", "FILE"]), ["the option --conf"])
        self.assertEqual(self.complaints("ggufctl", ["wait", "MODEL", "[--timeout", "S]"]), [])


class Troubleshooting(unittest.TestCase):
    def setUp(self):
        self.sections = sections(TROUBLESHOOTING, 3)

    def test_every_error_code_has_its_heading(self):
        codes = error_codes()
        self.assertGreater(len(codes), 20)
        self.assertEqual([code for code in codes if f"`{code}`" not in self.sections], [])

    def test_every_warning_code_has_its_heading(self):
        self.assertGreater(len(warning_codes()), 15)
        codes = warning_codes() | codes_of_the_protocol()
        self.assertEqual([code for code in sorted(codes) if f"Warning `{code}`" not in self.sections], [])

    def test_no_heading_is_left_over(self):
        known = {f"`{code}`" for code in error_codes()} | {
            f"Warning `{code}`" for code in warning_codes() | codes_of_the_protocol()}
        self.assertEqual([heading for heading in self.sections if heading not in known], [])

    def test_each_says_why_and_what_to_do(self):
        for heading, text in self.sections.items():
            with self.subTest(heading):
                words = re.sub(r"```.*?```", "", text, flags=re.DOTALL).split()
                self.assertGreater(len(words), 10)

    def test_messages_are_those_of_the_sources(self):
        samples = [block for block in documents.blocks(TROUBLESHOOTING) if block.language == "text"]
        self.assertGreater(len(samples), 35)
        for block in samples:
            message = " ".join(block.text.split())
            self.assertTrue(is_of_the_sources(message), f"{block}: {message}")
        self.assertFalse(is_of_the_sources("the model m was not found anywhere: 5 of 7 bytes are purple"))


if __name__ == "__main__":
    unittest.main()
