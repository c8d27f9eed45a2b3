"""What an origin may do wrong, and the record of what it was asked: plain data behind one lock (origin.py has the servers)."""

from __future__ import annotations

import dataclasses
import threading
import time


@dataclasses.dataclass
class Fault:
    """What to do wrong for one path. Offsets are offsets in the file, whatever range is asked for."""

    # When it applies.
    times: int | None = None  # how often; None: always
    skip: int = 0  # requests that are answered well before the first that is not
    from_offset: int = 0  # only to requests for bytes from this offset on
    method: str | None = None  # only to GET, or only to HEAD

    # Instead of the file.
    status: int | None = None  # answer this status
    retry_after: int | str | None = None  # with `status`: seconds or a date
    rate_limit: str | None = None  # with `status`: the RateLimit field, such as '"api";r=0;t=1'
    redirect: str | None = None  # answer 302 to this path or URL; to the path itself is a loop
    html: bool = False  # answer 200 with a page of HTML, as captive portals do
    gzip: bool = False  # Content-Encoding: gzip, whatever was asked for
    endless: str | None = None  # a chunked body without an end: "noise", or "gguf", which begins with the file

    # In the head.
    chunked: bool = False  # no Content-Length, no ranges
    ignore_range: bool = False  # answer 200 with the whole file
    ignore_if_range: bool = False  # answer 206 whatever If-Range says
    content_length_off_by: int = 0  # announce this many bytes more (or, negative, fewer) than are sent
    content_range_first_off_by: int = 0  # tell another place than the one that the bytes are from
    content_range_total_off_by: int = 0  # tell another size
    etag: str | None = None  # another one than the file's
    no_validators: bool = False  # neither ETag nor Last-Modified

    # In the body.
    cut_at: int | None = None  # reset the connection at this offset (RST)
    close_at: int | None = None  # close it there in an orderly way (FIN)
    cut_after: int | None = None  # reset it when so many bytes of a body have been sent
    stall_at: int | None = None  # send nothing more from this offset on, until released
    flip_at: int | None = None  # serve the byte at this offset with its bits inverted
    throttle_bytes_per_second: int = 0  # for each connection

    @property
    def is_at_an_offset(self):
        """It is used up where it happens, not by a request that never comes that far."""
        return any(at is not None for at in (self.cut_at, self.close_at, self.cut_after, self.stall_at, self.flip_at))


@dataclasses.dataclass
class Request:
    """One request as it was answered. `first` and `last` are the byte positions that were promised."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    status: int
    first: int
    last: int
    at_s: float = dataclasses.field(default_factory=time.monotonic)
    sent_bytes: int = 0  # of the body, handed to the kernel so far

    def header(self, name):
        """What the request said, or None."""
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), None)

    @property
    def range(self):
        return self.header("Range")


class Faults:
    """The faults of each path. Safe to use from any thread."""

    def __init__(self):
        self._lock = threading.Condition()
        self._faults: dict[str, Fault] = {}
        self._releases: dict[str, threading.Event] = {}
        self._throttles: dict[str, int] = {}
        self._stalled: list[str] = []

    def set(self, path, fault):
        with self._lock:
            self._faults[path] = fault
            self._releases[path] = threading.Event()

    def clear(self, path):
        with self._lock:
            self._faults.pop(path, None)
            release = self._releases.pop(path, None)
        if release:
            release.set()

    def release_all(self):
        with self._lock:
            for release in self._releases.values():
                release.set()

    def throttle(self, path, bytes_per_second):
        with self._lock:
            self._throttles[path] = bytes_per_second

    def take(self, path, method, first):
        """A copy of the fault for a request of `path` from the offset `first` on; a harmless one where none applies."""
        with self._lock:
            fault, throttle = self._faults.get(path), self._throttles.get(path, 0)
            taken = Fault()
            if fault and fault.times != 0 and fault.method in (None, method) and first >= fault.from_offset:
                if fault.skip > 0:
                    fault.skip -= 1
                else:
                    if not fault.is_at_an_offset:
                        self._spend(fault)
                    taken = dataclasses.replace(fault)
            taken.throttle_bytes_per_second = taken.throttle_bytes_per_second or throttle
            return taken

    def spend(self, path):
        """True where the fault of `path` may still happen; it then counts as having happened once more."""
        with self._lock:
            fault = self._faults.get(path)
            if fault is None or fault.times == 0:
                return False
            self._spend(fault)
            return True

    @staticmethod
    def _spend(fault):
        if fault.times is not None:
            fault.times -= 1

    def stall(self, path):
        """Returns when the fault of `path` is cleared, replaced or released."""
        with self._lock:
            self._stalled.append(path)
            self._lock.notify_all()
            release = self._releases.get(path)
        if release:
            release.wait()

    def wait_until_stalled(self, path, timeout_s):
        with self._lock:
            if not self._lock.wait_for(lambda: path in self._stalled, timeout_s):
                raise TimeoutError(f"nobody fetched {path} up to its stall within {timeout_s} s")


class Record:
    """The requests in their order. Safe to use from any thread."""

    def __init__(self):
        self._changed = threading.Condition()
        self._requests: list[Request] = []
        self._connections = 0

    def connections(self, change):
        """One more or one less is open."""
        with self._changed:
            self._connections += change
            self._changed.notify_all()

    def wait_until_quiet(self, timeout_s=20):
        """Until no connection is open."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._connections == 0, timeout_s):
                raise TimeoutError(f"{self._connections} connections are still open after {timeout_s} s")

    def add(self, request):
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()

    def sent(self, request, count):
        with self._changed:
            request.sent_bytes += count
            self._changed.notify_all()

    def clear(self):
        with self._changed:
            self._requests.clear()

    def requests(self, path=None):
        with self._changed:
            return [request for request in self._requests if path in (None, request.path)]

    def wait_until(self, condition, timeout_s, what):
        """Until `condition(list of requests)` holds; it is asked again whenever something was asked or sent."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self._requests), timeout_s):
                raise TimeoutError(f"waited {timeout_s} s for {what}")
