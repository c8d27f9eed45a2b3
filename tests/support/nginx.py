"""nginx from our own configuration, on loopback, with a temporary prefix; as root or as an ordinary user.

    with Nginx(folder) as server:
        fetch(server.url("model.gguf"))

The program is looked for on PATH, in the usual sbin folders, and in build/tools/nginx, where `./dev` unpacks it.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import socket
import subprocess
import tempfile

import process
import tls

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

CONFIGURATION = """
daemon off;
master_process off;
worker_processes 1;
pid {prefix}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
  access_log {prefix}/access.log;
  client_body_temp_path {prefix}/client_body;
  proxy_temp_path {prefix}/proxy;
  fastcgi_temp_path {prefix}/fastcgi;
  uwsgi_temp_path {prefix}/uwsgi;
  scgi_temp_path {prefix}/scgi;
  default_type application/octet-stream;
  sendfile on;
  server {{
    listen {listen};
    {tls}
    root {folder};
    {extra}
  }}
}}
"""


def find():
    """The nginx program, or None."""
    places = [shutil.which("nginx"), "/usr/sbin/nginx", "/usr/local/sbin/nginx",
              REPOSITORY / "build/tools/nginx/usr/sbin/nginx"]
    for place in places:
        if place and os.access(place, os.X_OK):
            return str(place)
    return None


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Nginx:
    """Serves `folder` with ranges; `extra` goes into the server block (`limit_rate 1m;`). `ca_file` is set with TLS."""

    def __init__(self, folder, with_tls=False, extra=""):
        program = find()
        if program is None:
            raise FileNotFoundError("nginx is neither on PATH nor in build/tools/nginx; ./dev deps unpacks it there")
        self._program = program
        self._folder = pathlib.Path(folder).resolve()
        self._with_tls = with_tls
        self._extra = extra
        self.ca_file = None

    def __enter__(self):
        self._prefix = tempfile.TemporaryDirectory(prefix="ggufd-nginx-")
        prefix = pathlib.Path(self._prefix.name)
        self.port = _free_port()
        listen, tls_lines = f"127.0.0.1:{self.port}", ""
        if self._with_tls:
            certificate = tls.make_certificate(prefix / "tls")
            self.ca_file = certificate.ca_file
            listen += " ssl"
            tls_lines = f"ssl_certificate {certificate.chain_file}; ssl_certificate_key {certificate.key_file};"
        configuration = prefix / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(prefix=prefix, listen=listen, tls=tls_lines, folder=self._folder,
                                                      extra=self._extra))
        self._errors = open(prefix / "stderr", "w+b")
        self._child = subprocess.Popen(
            process.tied_to_us([self._program, "-p", str(prefix), "-c", str(configuration), "-e", "stderr"]),
            stdin=subprocess.DEVNULL, stdout=self._errors, stderr=self._errors)
        try:
            process.wait_until(self._answers, self._child, timeout_s=10, what="nginx to listen")
        except Exception as error:
            words = process.text_of(self._errors)
            self.__exit__()
            raise RuntimeError(f"nginx did not start: {words}") from error
        return self

    def _answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def __exit__(self, *_):
        process.end(self._child)
        self._errors.close()
        self._prefix.cleanup()

    def url(self, name=""):
        return f"{'https' if self._with_tls else 'http'}://127.0.0.1:{self.port}/{name}"

    def wait_for_request(self, path, limit_s=20):
        """Until a request for `path` is in the access log, which nginx writes after it has answered."""
        log = pathlib.Path(self._prefix.name) / "access.log"
        process.wait_until(lambda: path in log.read_text(), None, limit_s, f"{path} in nginx's access log")
