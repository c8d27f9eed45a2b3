"""A throwaway certificate authority for tests, made with the openssl program."""

from __future__ import annotations

import dataclasses
import pathlib
import subprocess


@dataclasses.dataclass(frozen=True)
class Certificate:
    """Files: what a client must trust, and what the server shows."""

    ca_file: pathlib.Path
    chain_file: pathlib.Path
    key_file: pathlib.Path


def _openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr}")


def make_certificate(folder, names=("DNS:localhost", "IP:127.0.0.1")):
    """A new authority, and a certificate of it for `names`, valid for a day, in `folder`."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    ca, ca_key = folder / "ca.pem", folder / "ca.key"
    leaf, leaf_key, request = folder / "server.pem", folder / "server.key", folder / "server.csr"
    extensions = folder / "server.ext"
    elliptic = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    _openssl("req", "-x509", *elliptic, "-days", 1, "-subj", "/CN=throwaway test authority", "-keyout", ca_key, "-out", ca)
    _openssl("req", *elliptic, "-subj", "/CN=localhost", "-keyout", leaf_key, "-out", request)
    extensions.write_text(f"subjectAltName={','.join(names)}\nbasicConstraints=CA:FALSE\n")
    _openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", 1, "-extfile",
             extensions, "-out", leaf)
    return Certificate(ca, leaf, leaf_key)
