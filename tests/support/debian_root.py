"""A folder that dpkg takes for a system: packages are installed into it, run from it and removed from it, by dpkg itself and
with their maintainer scripts ($DPKG_ROOT), while the machine's own packages stay as they are."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess

LIMIT_S = 120


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=LIMIT_S, check=False,
                          stdin=subprocess.DEVNULL, **options)
    if done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def fields(package):
    """The control fields of a package file."""
    text = run("dpkg-deb", "--field", package)
    return dict(match.groups() for match in re.finditer(r"(?m)^([A-Za-z-]+): (.*)$", text))


def contents(package):
    """{path: (mode, owner)} of what a package file has; folders without a slash at their end."""
    listing = {}
    for line in run("dpkg-deb", "--contents", package).splitlines():
        mode, owner, _, _, _, path = line.split(maxsplit=5)
        listing[path.removeprefix(".").rstrip("/") or "/"] = (mode, owner)
    return listing


class DebianRoot:
    def __init__(self, folder):
        self.path = pathlib.Path(folder)
        for name in ("etc", "var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers"):
            (self.path / name).mkdir(parents=True)

        # Dependencies are looked for among what the machine has installed; of its files dpkg knows nothing here.
        shutil.copy("/var/lib/dpkg/status", self.path / "var/lib/dpkg/status")

    def install(self, *packages):
        return self._dpkg("--install", *packages)

    def remove(self, *packages):
        return self._dpkg("--remove", *packages)

    def purge(self, *packages):
        return self._dpkg("--purge", *packages)

    def _dpkg(self, *arguments):
        return run("dpkg", f"--root={self.path}", "--force-script-chrootless", *arguments)

    def files(self):
        """What is there, but for what belongs to dpkg and to the table of users."""
        mine = (path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if not path.is_dir() or path.is_symlink())
        others = re.compile(r"var/lib/dpkg/|var/log/|etc/(passwd|group|shadow|gshadow)-?$|etc/\.pwd\.lock$")
        return sorted(name for name in mine if not others.match(name))
