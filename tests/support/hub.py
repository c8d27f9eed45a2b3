"""A hub on loopback that answers as Hugging Face does, and the CDN on another port that it sends its visitors to.

    with Hub(folder, token="hf_secret") as hub:
        commit = hub.publish("org/repo", "model.gguf", file)   # main -> a new commit
        config["fetch"]["hf_endpoint"] = hub.endpoint           # and the source "hf:org/repo/model.gguf"

A file is GET or HEAD <endpoint>/<org>/<repo>/resolve/<revision>/<path>: 302 to the CDN with X-Repo-Commit, X-Linked-Etag
(the SHA-256, quoted) and X-Linked-Size, as huggingface_hub's get_hf_file_metadata reads them. Without the token it is 401.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import re
import shutil
import urllib.parse

from origin import Origin
from origin_handler import Answer

# A revision with slashes (refs/pr/1) is one percent-encoded part of the path.
RESOLVE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclasses.dataclass(frozen=True)
class Published:
    cdn_path: str
    sha256: str
    size_bytes: int


class Hub:
    """`tells_digest`: X-Linked-Etag is told. `uses`: GETs that a CDN link is good for (None: until cdn.expire())."""

    def __init__(self, folder, token=None, tells_digest=True, uses=None):
        self.token = token
        self.tells_digest = tells_digest
        self.uses = uses
        self._folder = pathlib.Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._revisions: dict[tuple[str, str], str] = {}  # (repository, branch or tag) -> commit
        self._files: dict[tuple[str, str, str], Published] = {}  # (repository, commit, path)
        self._renamed: dict[str, str] = {}
        self.front = Origin(self._folder)
        # Another host as well as another port: whoever compares only one of them is found out.
        self.cdn = Origin(self._folder, host="127.0.0.2")
        self.front.routes.insert(0, self._answer)

    def __enter__(self):
        self.front.__enter__()
        self.cdn.__enter__()
        return self

    def __exit__(self, *problem):
        self.cdn.__exit__(*problem)
        self.front.__exit__(*problem)

    @property
    def endpoint(self):
        return self.front.url().rstrip("/")

    def publish(self, repository, path, file, revision="main"):
        """`file` becomes `path` in a new commit, which `revision` then stands for. Returns the commit."""
        data = pathlib.Path(file).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        commit = hashlib.sha1(f"{repository} {path} {digest}".encode()).hexdigest()
        name = f"{commit}-{pathlib.PurePosixPath(path).name}"
        shutil.copyfile(file, self._folder / name)
        self._files[repository, commit, path] = Published("/" + name, digest, len(data))
        self._revisions[repository, revision] = commit
        return commit

    def rename(self, old, new):
        """The repository `old` is a redirect, on the same host, to `new`."""
        self._renamed[old] = new

    def cdn_path(self, repository, commit, path):
        """Where the CDN has the file: the path of its requests and faults."""
        return "/signed" + self._files[repository, commit, path].cdn_path

    def gets(self):
        """What was asked of the CDN."""
        return [request for request in self.cdn.requests() if request.method == "GET"]

    def _answer(self, _method, url, headers):
        match = RESOLVE.fullmatch(url.path)
        if not match:
            return None
        repository, revision, path = map(urllib.parse.unquote, match.groups())
        if repository in self._renamed:
            return Answer(307, {"Location": url.path.replace(f"/{repository}/", f"/{self._renamed[repository]}/", 1)})
        if self.token and headers.get("Authorization") != f"Bearer {self.token}":
            return Answer(401, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to this repository is restricted."})
        commit = self._revisions.get((repository, revision), revision)
        file = self._files.get((repository, commit, path))
        if file is None:
            return Answer(404, {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"})
        told = {"X-Repo-Commit": commit, "X-Linked-Size": str(file.size_bytes), "ETag": f'"{file.sha256[:40]}"',
                "Location": self.cdn.signed_url(file.cdn_path, self.uses)}
        if self.tells_digest:
            told["X-Linked-Etag"] = f'"{file.sha256}"'
        return Answer(302, told)
