"""The manual pages: scdoc takes them, they render without a warning, and they name what the programs have."""

import pathlib
import re
import shutil
import subprocess
import unittest

import ggufd

PAGES = pathlib.Path(__file__).resolve().parents[2] / "docs/man"


class Manual(ggufd.DaemonTest):
    def page(self, name):
        if not shutil.which("scdoc"):
            self.skipTest("scdoc is not here")
        done = subprocess.run(["scdoc"], input=(PAGES / f"{name}.scd").read_bytes(), capture_output=True, check=False,
                              timeout=ggufd.LIMIT_S)
        self.assertEqual((done.returncode, done.stderr.decode()), (0, ""))
        return done.stdout

    def rendered(self, name):
        if not shutil.which("groff"):
            self.skipTest("groff is not here")
        done = subprocess.run(["groff", "-K", "utf8", "-man", "-Tutf8", "-t", "-ww", "-P-c", "-P-b", "-P-u"], input=self.page(name), capture_output=True,
                              check=True, timeout=ggufd.LIMIT_S)
        self.assertEqual(done.stderr.decode(), "")
        return done.stdout.decode()

    def test_they_render_without_a_warning_and_without_a_mark_left(self):
        for name in ("ggufd.8", "ggufctl.1", "ggufd-config.5", "ggufd-protocol.7"):
            with self.subTest(page=name):
                text = self.rendered(name)
                self.assertIn("SEE ALSO", text)
                self.assertNotRegex(text, r"\\[_*]|\*\w+\*|; \w+: (begin|end)")

    def test_each_verb_and_option_is_there(self):
        text = self.rendered("ggufctl.1")
        code, printed, _ = ggufd.run_program("ggufctl", "--help", folder=self.folder)
        self.assertEqual(code, 0)
        verbs = re.findall(r"^  ([a-z]+) {2,}", printed, re.MULTILINE)
        self.assertGreater(len(verbs), 15)
        for verb in verbs:
            self.assertRegex(text, rf"(?m)^ *ggufctl {verb}\b")
            _, own, _ = ggufd.run_program("ggufctl", verb, "--help", folder=self.folder)
            for option in re.findall(r"^  (?:-\w,)?(--[a-z-]+)", own, re.MULTILINE):
                self.assertIn(option, text)

    def test_each_option_of_the_daemon_is_there(self):
        text = self.rendered("ggufd.8")
        _, printed, _ = ggufd.run_program("ggufd", "--help", folder=self.folder)
        options = re.findall(r"(--[a-z-]+)", printed)
        self.assertGreater(len(options), 5)
        for option in options:
            self.assertIn(option, text)


if __name__ == "__main__":
    unittest.main()
