"""Who is served: the kernel says who connects, the configuration who may, and the socket's mode follows."""

import json
import os
import pathlib
import stat
import subprocess
import sys
import tempfile
import unittest

import ggufd

# Another user's program: asks once, prints what it reads until the answer or the end.
ASKS = """
import os, socket, sys
groups, gid, uid, path = sys.argv[1:]
os.setgroups([int(group) for group in groups.split(",") if group]); os.setgid(int(gid)); os.setuid(int(uid))
client = socket.socket(socket.AF_UNIX)
try:
    client.connect(path)
    client.sendall(b'{"id":"1","type":"ping"}\\n')
    for line in client.makefile("rb"):
        sys.stdout.buffer.write(line)
        if b'"response"' in line: break
except OSError as error:
    sys.exit(f"{type(error).__name__}")
"""
UID, GID = 54321, 54322  # nobody's


@unittest.skipUnless(os.geteuid() == 0, "only root can become somebody else")
class Identity(unittest.TestCase):
    def start(self, admin):
        # Its parents may be searched by everybody, as a runtime folder's must be that others are to reach.
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="ggufd-")))
        folder.chmod(0o711)
        daemon = ggufd.Daemon(folder, {"models": [], "admin": admin})
        self.addCleanup(daemon.kill)
        with daemon.connect():  # once that is possible, everything is in its place
            pass
        self.socket = folder / "run/admin.sock"
        self.folder = folder / "run"
        return daemon

    def mode(self, path):
        return stat.S_IMODE(path.stat().st_mode)

    def ask(self, uid=UID, gid=GID, groups=()):
        """What another user's program reads, and what it fails with."""
        words = (",".join(map(str, groups)), str(gid), str(uid), str(self.socket))
        done = subprocess.run([sys.executable, "-c", ASKS, *words], capture_output=True, timeout=ggufd.LIMIT_S, check=False)
        return [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode().strip()

    def assert_served(self, read):
        self.assertEqual([frame["type"] for frame in read[0]][-1:], ["response"], read)

    def test_only_the_owner_where_nobody_is_named(self):
        daemon = self.start({})
        self.assertEqual((self.mode(self.folder), self.mode(self.socket)), (0o700, 0o600))
        self.assertEqual(self.ask(), ([], "PermissionError"))
        daemon.stop()

    def test_a_user_who_is_named_and_no_other(self):
        daemon = self.start({"allow_uids": [UID]})
        self.assertEqual((self.mode(self.folder), self.mode(self.socket)), (0o711, 0o666))
        self.assert_served(self.ask())
        frames, _ = self.ask(uid=UID + 1)
        self.assertEqual(frames, [])
        self.assertIn(f"a connection of uid {UID + 1}", daemon.stderr())
        daemon.stop()

    def test_a_group_that_is_named_first_or_further(self):
        daemon = self.start({"allow_gids": [GID]})
        self.assertEqual((self.mode(self.folder), self.mode(self.socket)), (0o711, 0o660))
        self.assertEqual(self.socket.stat().st_gid, GID)
        self.assert_served(self.ask())
        self.assert_served(self.ask(gid=GID + 1, groups=(GID + 2, GID)))
        self.assertEqual(self.ask(gid=GID + 1, groups=(GID + 2,)), ([], "PermissionError"))
        daemon.stop()

    def test_several_groups(self):
        daemon = self.start({"allow_gids": [GID, GID + 1]})
        self.assertEqual(self.mode(self.socket), 0o666)
        self.assert_served(self.ask(gid=7, groups=(GID + 1,)))
        self.assertEqual(self.ask(gid=7)[0], [])
        daemon.stop()

    def test_what_one_has_asked_for_is_logged_with_who_it_was(self):
        daemon = self.start({"allow_uids": [UID]})
        self.ask()
        with daemon.connect() as client:
            client.ask("drain")
            daemon.wait()
        self.assertRegex(daemon.stderr(), rf"admin: drain asked for by uid {os.getuid()}, pid {os.getpid()}")


if __name__ == "__main__":
    unittest.main()
