"""The Debian packages: what is in them, what installing and removing them does, that they run, that the units are sound, and
that a program builds against the client library that they bring."""

import contextlib
import hashlib
import json
import os
import pathlib
import plistlib
import re
import shutil
import subprocess
import tempfile
import unittest
import unittest.mock

import ggufd
import process
import replay
import story
from debian_root import DebianRoot, contents, fields, run
from origin import Origin

ROOT = pathlib.Path(__file__).resolve().parents[2]
# How exposed the units leave the daemon, as `systemd-analyze security` counts it (0 to 10); docs/install.md gives it, too.
EXPOSURE_MAX = {"system": 1.9, "user": 6.4}


def needs(*programs):
    missing = [name for name in programs if shutil.which(name) is None]
    return unittest.skipIf(missing, f"needs {', '.join(missing)}")


def setUpModule():
    """The package files, made once from the build that is tested."""
    for program in ("cpack", "dpkg-deb", "dpkg-shlibdeps"):
        if shutil.which(program) is None:
            raise unittest.SkipTest(f"packages are made with {program}, which is not here")
    folder = pathlib.Path(unittest.enterModuleContext(tempfile.TemporaryDirectory()))
    run("cpack", "--config", ggufd.bin_dir().parent / "CPackConfig.cmake", "-B", folder)
    PackageTest.daemon = next(folder.glob("ggufd_*.deb"))
    PackageTest.client = next(folder.glob("libggufd-client-dev_*.deb"))


class PackageTest(ggufd.DaemonTest):
    daemon: pathlib.Path
    client: pathlib.Path

    def unpacked(self, *packages):
        target = self.folder / "unpacked"
        for package in packages:
            run("dpkg-deb", "--extract", package, target)
        return target


class Contents(PackageTest):
    EXPECTED = {
        "/usr/bin/ggufd": "-rwxr-xr-x", "/usr/bin/ggufctl": "-rwxr-xr-x", "/etc/ggufd/config.json": "-rw-r--r--",
        "/usr/lib/systemd/system/ggufd.service": "-rw-r--r--", "/usr/lib/systemd/system/ggufd.socket": "-rw-r--r--",
        "/usr/lib/systemd/user/ggufd.service": "-rw-r--r--", "/usr/lib/systemd/user/ggufd.socket": "-rw-r--r--",
        "/usr/lib/sysusers.d/ggufd.conf": "-rw-r--r--", "/usr/share/doc/ggufd/README.md": "-rw-r--r--",
        "/usr/share/doc/ggufd/copyright": "-rw-r--r--", "/usr/share/doc/ggufd/changelog.Debian.gz": "-rw-r--r--",
    }

    def test_the_files_their_modes_and_their_owner(self):
        listing = contents(self.daemon)
        self.assertEqual({path: listing.get(path, ("missing",))[0] for path in self.EXPECTED}, self.EXPECTED)
        for package in (self.daemon, self.client):
            for path, (mode, owner) in contents(package).items():
                with self.subTest(path):
                    self.assertEqual(owner, "root/root")
                    self.assertRegex(mode, r"^(d|-..x)rwxr-xr-x$|^-rwxr-xr-x$|^-rw-r--r--$|^drwxr-xr-x$")
                    self.assertRegex(path, r"^/$|^/usr(/|$)|^/etc(/ggufd(/config\.json)?)?$")

    MAN_PAGES = {"/usr/share/man/man1/ggufctl.1.gz", "/usr/share/man/man5/ggufd-config.5.gz",
                 "/usr/share/man/man7/ggufd-protocol.7.gz", "/usr/share/man/man8/ggufd.8.gz"}
    COMPLETIONS = {"/usr/share/bash-completion/completions/ggufctl", "/usr/share/zsh/vendor-completions/_ggufctl",
                   "/usr/share/fish/vendor_completions.d/ggufctl.fish"}

    def files_below(self, pattern):
        return {path for path, (mode, _) in contents(self.daemon).items()
                if re.match(pattern, path) and not mode.startswith("d")}

    def test_the_completions_are_there(self):
        self.assertEqual(self.files_below("/usr/share/(bash|zsh|fish)"), self.COMPLETIONS)

    @needs("scdoc")
    def test_the_man_pages_are_there(self):
        self.assertEqual(self.files_below("/usr/share/man"), self.MAN_PAGES)

    def test_what_the_readme_links_to_is_there(self):
        listing = contents(self.daemon)
        links = re.findall(r"\]\((docs/[^)#]+\.md)", (ROOT / "README.md").read_text())
        self.assertGreater(len(links), 10)
        self.assertEqual([link for link in links if f"/usr/share/doc/ggufd/{link}" not in listing], [])

    def test_checksums_and_configuration_files(self):
        control = self.folder / "control"
        run("dpkg-deb", "--control", self.daemon, control)
        self.assertEqual((control / "conffiles").read_text().split(), ["/etc/ggufd/config.json"])
        unpacked = self.unpacked(self.daemon)
        sums = dict(reversed(line.split(maxsplit=1)) for line in (control / "md5sums").read_text().splitlines())
        self.assertIn("usr/bin/ggufd", sums)
        for name, expected in sums.items():
            self.assertEqual(hashlib.md5((unpacked / name).read_bytes()).hexdigest(), expected, name)
        for script in ("postinst", "prerm", "postrm"):
            self.assertEqual((control / script).stat().st_mode & 0o777, 0o755)
            run("sh", "-n", control / script)

    def test_what_it_depends_on_is_what_the_programs_load(self):
        control = fields(self.daemon)
        for library in ("libc6", "libuv1", "libcurl4", "libssl3", "libfmt9", "libsimdjson", "libmicrohttpd12"):
            self.assertIn(library, control["Depends"])
        self.assertIn("ca-certificates", control["Recommends"])
        self.assertIn("libfmt-dev", fields(self.client)["Depends"])
        self.assertEqual(control["Version"].partition("-")[0], run(ggufd.bin_dir() / "ggufd", "--version").split()[1])

    @needs("readelf")
    def test_the_programs_are_stripped_and_know_no_folder_of_the_build(self):
        unpacked = self.unpacked(self.daemon)
        for name in ("ggufd", "ggufctl"):
            sections = run("readelf", "--section-headers", "--dynamic", "--wide", unpacked / "usr/bin" / name)
            self.assertNotIn(".debug_info", sections)
            self.assertNotRegex(sections, "RPATH|RUNPATH")

    def test_the_configuration_that_it_brings_is_good(self):
        unpacked = self.unpacked(self.daemon)
        said = run(unpacked / "usr/bin/ggufd", "--config", unpacked / "etc/ggufd/config.json", "--check-config",
                   "--runtime-dir", self.folder / "run")
        self.assertIn("ok, 0 models", said)


class Units(PackageTest):
    def setUp(self):
        super().setUp()
        self.unpacked_root = self.unpacked(self.daemon)
        self.units = self.unpacked_root / "usr/lib/systemd"

    def test_they_start_the_program_that_the_package_brings(self):
        for kind in ("system", "user"):
            self.assertRegex((self.units / kind / "ggufd.service").read_text(), r"(?m)^ExecStart=/usr/bin/ggufd\b")

    @needs("systemd-analyze")
    def test_systemd_has_nothing_to_say_about_them(self):
        for target in ("network", "multi-user", "sysinit", "basic", "shutdown", "sockets", "-"):
            kind = "slice" if target == "-" else "target"
            (self.units / "system" / f"{target}.{kind}").write_text(f"[Unit]\nDescription={target}\n")
        for unit in ("ggufd.service", "ggufd.socket"):
            with self.subTest(unit):
                done = subprocess.run(["systemd-analyze", "verify", f"--root={self.unpacked_root}", "--man=no", unit],
                                      capture_output=True, text=True, check=False, timeout=60)
                self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    @needs("systemd-analyze")
    def test_they_leave_little_exposed(self):
        for kind, limit in EXPOSURE_MAX.items():
            with self.subTest(kind):
                said = run("systemd-analyze", "security", "--offline=yes", "--no-pager", self.units / kind / "ggufd.service")
                exposure = float(re.search(r"Overall exposure level for \S+: (\S+)", said)[1])
                self.assertLessEqual(exposure, limit, said)

    def test_the_agent_for_launchd_is_well_formed(self):
        path = self.unpacked_root / "usr/share/doc/ggufd/examples/org.ggufd.daemon.plist"
        agent = plistlib.loads(path.read_bytes())
        self.assertEqual((agent["Label"], agent["ProgramArguments"]), ("org.ggufd.daemon", ["/usr/bin/ggufd"]))
        self.assertEqual(agent["Umask"], 0o077)
        self.assertGreater(agent["ExitTimeOut"], 5, "longer than llama_server.stop_grace_s")


@unittest.skipUnless(os.geteuid() == 0, "dpkg installs as root only")
@needs("dpkg", "systemd-sysusers")
class Life(PackageTest):
    def installed(self):
        root = DebianRoot(self.folder / "root")
        root.install(self.daemon, self.client)
        return root

    def test_installed_run_and_removed_until_only_the_store_is_left(self):
        model = self.model()
        root = self.installed()
        self.assertRegex((root.path / "etc/passwd").read_text(), r"(?m)^ggufd:.*:/var/lib/ggufd:/usr/sbin/nologin$")
        self.assertNotEqual((root.path / "var/lib/ggufd").stat().st_uid, 0)
        self.assertTrue((root.path / "etc/systemd/system/multi-user.target.wants/ggufd.service").is_symlink(), root.files())
        self.assertFalse((root.path / "etc/systemd/system/sockets.target.wants").exists(), "the socket unit waits to be asked for")
        self.run_programs_of(root, model)
        root.remove("ggufd", "libggufd-client-dev")
        left = root.files()
        self.assertFalse([name for name in left if name.startswith("usr/")], left)
        self.assertIn("etc/ggufd/config.json", left, "a configuration is kept until the purge")
        (root.path / "etc/ggufd/hf-token").write_text("secret")
        root.purge("ggufd", "libggufd-client-dev")
        self.assertEqual([name for name in root.files() if not name.startswith("var/lib/ggufd/")], [])
        self.assertIn(f"var/lib/ggufd/blobs/sha256/{model.sha256[:2]}/{model.sha256}/data", root.files())

    def run_programs_of(self, root, model):
        """The daemon brings a model up from an origin into the system's store, and ggufctl sees it."""
        with Origin(self.web) as origin, unittest.mock.patch.dict(os.environ, GGUFD_BIN_DIR=str(root.path / "usr/bin")):
            daemon = self.start(self.config_for(origin.url("model.gguf"), model), store=root.path / "var/lib/ggufd")
            self.connect(daemon)
            place = ["--runtime-dir", str(daemon.runtime_dir)]
            for arguments, words in ((["wait", "--timeout", "60"], ""), (["status"], "tiny"), (["health"], "ok")):
                code, said, errors = ggufd.run_program("ggufctl", *place, *arguments, folder=self.folder)
                self.assertEqual(code, 0, errors + daemon.stderr())
                self.assertIn(words, said)
            with subprocess.Popen([ggufd.bin_dir() / "ggufctl", *place, "watch"], stdout=subprocess.PIPE,
                                  stdin=subprocess.DEVNULL, text=True) as watching:
                self.assertIn("tiny", watching.stdout.readline())
                self.stop(daemon)
                watching.communicate(timeout=ggufd.LIMIT_S)
                self.assertEqual(watching.returncode, 0)

    def test_without_models_nothing_at_all_is_left(self):
        root = self.installed()
        root.purge("ggufd", "libggufd-client-dev")
        self.assertEqual(root.files(), [])
        self.assertFalse((root.path / "var/lib/ggufd").exists())

    def test_a_newer_package_keeps_the_configuration_and_the_store(self):
        root = self.installed()
        config = root.path / "etc/ggufd/config.json"
        config.write_text('{"models": [], "evict": "never"}')
        (root.path / "var/lib/ggufd/kept").write_text("kept")
        root.install(self.daemon)
        self.assertIn("evict", config.read_text())
        self.assertTrue((root.path / "var/lib/ggufd/kept").exists())


@needs("cmake", "g++", "pkg-config")
class ClientLibrary(PackageTest):
    """docs/clients/cpp, built as its reader would, and run until a model is ready."""

    def setUp(self):
        super().setUp()
        self.prefix = self.unpacked(self.client) / "usr"
        self.example = ROOT / "docs/clients/cpp"

    def by_cmake(self):
        build = self.folder / "by-cmake"
        run("cmake", "-S", self.example, "-B", build, f"-DCMAKE_PREFIX_PATH={self.prefix}", "-DCMAKE_CXX_COMPILER=g++")
        run("cmake", "--build", build)
        return build / "await_model"

    def by_pkg_config(self):
        program = self.folder / "by-pkg-config"
        folder = next(self.prefix.rglob("ggufd-client.pc")).parent
        flags = run("pkg-config", "--cflags", "--libs", "ggufd-client", env={**os.environ, "PKG_CONFIG_PATH": str(folder)})
        run("g++", "-std=c++23", self.example / "main.cpp", "-o", program, *flags.split())
        return program

    def test_the_example_builds_both_ways_and_waits_for_a_model(self):
        programs = [self.by_cmake(), self.by_pkg_config()]
        model = self.model()
        daemon = self.start(self.config_for(model.path, model))
        self.connect(daemon)
        environment = {**os.environ, "GGUFD_RUNTIME_DIR": str(daemon.runtime_dir)}
        for program in programs:
            self.assertIn("tiny: ready in", run(program, env=environment))
            self.assertIn("tiny: ready in", run(program, "tiny", env=environment))
        self.stop(daemon)
        ended = subprocess.run([programs[0]], env=environment, capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(ended.returncode, 3)
        self.assertIn("admin.sock", ended.stderr)

        for model in ("tiny", "chat", "spare", "broken", "nobody"):
            with self.subTest(model):
                self.assertEqual(self.told_the_session(programs[0], model), self.expected_of_the_session(model))

    def told_the_session(self, program, model):
        """The exit code and the lines of the program, which the recorded session is told in awkward pieces."""
        environment = {**os.environ, "GGUFD_RUNTIME_DIR": str(self.folder / "replayed")}
        with replay.Replay(self.folder / "replayed/admin.sock") as server:
            running = subprocess.Popen([program, model], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT, text=True)
            self.addCleanup(process.end, running)
            server.accept()
            request = server.request()
            lines = replay.SESSION.read_bytes().splitlines(keepends=True)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it goes as soon as it knows enough
                server.play(b"".join(lines[:8]))
                server.tell({"id": request["id"], "type": "response", "models": [], "subscribers": 1, "seq": 8})
                server.play(b"".join(lines[8:]))
            server.hang_up()
            said = running.communicate(timeout=ggufd.LIMIT_S)[0]
        return running.returncode, said.splitlines()

    @staticmethod
    def expected_of_the_session(model):
        shown = []
        for line in replay.SESSION.read_bytes().splitlines():
            frame = json.loads(line)
            status, phase = frame.get("status"), frame.get("phase")
            if frame.get("model") != model:
                continue
            if status in ("loading_model", "restarting") and phase in story.PHASE_KEYS:
                done = next((frame[key] for key in ("downloaded_bytes", "verified_bytes", "resident_bytes") if key in frame), 0)
                total = frame.get("total_bytes")
                shown.append(f"{model}: {phase}" + (f" {done * 100 // total} %" if total else ""))
            if status == "ready":
                return 0, [*shown, f"{model}: ready in {frame['load_ms']} ms"]
            if status == "error" and "retry_in_ms" not in frame:
                return 1, [*shown, f"{model}: {frame['message']}"]
        return 1, shown

    def test_the_example_is_short(self):
        self.assertLess(len((self.example / "main.cpp").read_text().splitlines()), 60)


if __name__ == "__main__":
    unittest.main()
