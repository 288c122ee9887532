"""Nutstore (坚果云) as its users met it, without a network: pages, request windows, quotas, its own words for errors.

The limits are those of the provider's help pages, paging and its over-encoded addresses those that its own clients
cope with, and the rest is what users of other programs reported. Use it as ``httpx.MockTransport(Nutstore(clock))``;
time passes only by the clock that is handed in.
"""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import field
from email.utils import format_datetime
from urllib.parse import parse_qs, quote, unquote
from xml.sax.saxutils import escape

import httpx

from backup_core.clock import Clock
from backup_core.deferred import dataclass
from backup_core.types import Secret

ORIGIN = "https://dav.jianguoyun.com"
ROOT = ("dav",)
FREE_WINDOW = 600
PAID_WINDOW = 1500
WINDOW_SECONDS = 30 * 60.0

Path = tuple[str, ...]
_READS = frozenset({"GET", "HEAD", "PROPFIND"})
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class _Refused(Exception):
    """Leads from wherever a request turns out to be wrong to the answer."""

    def __init__(self, status: int, exception: str, message: str = "") -> None:
        super().__init__(exception)
        self.status = status
        self.body = (
            '<?xml version="1.0" encoding="utf-8"?>'
            '<d:error xmlns:d="DAV:" xmlns:s="http://ns.jianguoyun.com">'
            f"<s:exception>{exception}</s:exception><s:message>{message or exception}</s:message></d:error>"
        ).encode()


@dataclass(slots=True)
class Nutstore:
    """One account. Safe between threads; every number may be changed at any time."""

    clock: Clock
    username: str = "me@example.com"
    password: Secret = field(default_factory=lambda: Secret("application-password"))
    window_requests: int = FREE_WINDOW
    """Requests that the account may send in ``window_seconds``; refused ones count as well."""
    window_seconds: float = WINDOW_SECONDS
    page_size: int = 750
    """Children in one answer to a listing."""
    max_object_size: int = 500_000_000
    """Bytes."""
    upload_left: int = 1_000_000_000
    """Bytes of this month's traffic."""
    download_left: int = 3_000_000_000
    lies_while_blocked: int = 3
    """Every so-manieth refused read is told 404 instead of 503; 0 for none."""
    deletes_without_effect: bool = False
    """A DELETE beyond the window is answered like one that was carried out, and nothing is deleted."""
    objects: dict[Path, bytes] = field(default_factory=dict)
    """By decoded path from the server's root, ``("dav", "backups", "config")``."""
    folders: set[Path] = field(default_factory=lambda: {ROOT})
    methods: Counter[str] = field(default_factory=Counter)
    """Requests, refused ones included."""
    refused: int = 0
    """Requests beyond the window."""
    lies: int = 0
    """How many of them were told something untrue."""
    _arrived: deque[float] = field(default_factory=deque)
    _reads_refused: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def use_up_window(self) -> None:
        """Let another device of the same account send all the requests that are left."""
        with self._lock:
            self._arrived.extend([self.clock.monotonic()] * (self.window_requests - len(self._arrived)))

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """The answer to one request."""
        with self._lock:
            self.methods[request.method] += 1
            try:
                self._admit(request)
                return self._handler(request.method)(request, _path_of(request))
            except _Refused as refused:
                body = b"" if refused.status == 204 else refused.body
                return _answer(refused.status, body, {"Content-Type": "application/xml; charset=utf-8"})

    def _admit(self, request: httpx.Request) -> None:
        now = self.clock.monotonic()
        while self._arrived and self._arrived[0] <= now - self.window_seconds:
            self._arrived.popleft()
        self._arrived.append(now)
        if len(self._arrived) > self.window_requests:
            self.refused += 1
            is_read = request.method in _READS
            self._reads_refused += is_read
            if request.method == "DELETE" and self.deletes_without_effect:
                self.lies += 1
                raise _Refused(204, "")
            if is_read and self.lies_while_blocked and self._reads_refused % self.lies_while_blocked == 0:
                self.lies += 1
                raise _Refused(404, "ObjectNotFound")
            raise _Refused(503, "BlockedTemporarily", "Too many requests are received recently")
        login = base64.b64encode(f"{self.username}:{self.password.reveal()}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {login}":
            raise _Refused(401, "UnAuthorized")

    def _handler(self, method: str) -> Callable[[httpx.Request, Path], httpx.Response]:
        handlers = {
            "PROPFIND": self._propfind,
            "GET": self._get,
            "HEAD": self._get,
            "PUT": self._put,
            "MKCOL": self._mkcol,
            "DELETE": self._delete,
            "MOVE": self._move,
        }
        if method not in handlers:
            raise _Refused(405, "OperationNotAllowed")
        return handlers[method]

    def _require_parent(self, path: Path) -> None:
        if path[:-1] not in self.folders:
            raise _Refused(409, "AncestorsNotFound")

    def _require(self, path: Path) -> None:
        if path not in self.objects and path not in self.folders:
            if path[:1] == ROOT and path[:-1]:
                self._require_parent(path)
            raise _Refused(404, "ObjectNotFound")

    def _propfind(self, request: httpx.Request, path: Path) -> httpx.Response:
        self._require(path)
        depth = request.headers.get("depth", "infinity")
        if depth == "0" or path in self.objects:
            return _multistatus([self._entry(path)], {})
        names = sorted({p[-1] for p in self._below(path) if len(p) == len(path) + 1})
        marker = parse_qs(request.url.query.decode()).get("mk", [""])[0]
        start = bisect_right(names, base64.urlsafe_b64decode(marker).decode()) if marker else 0
        page = names[start : start + self.page_size]
        headers = {}
        if start + self.page_size < len(names):
            following = quote(base64.urlsafe_b64encode(page[-1].encode()).decode())
            # The path is encoded once more than in an address that can be used: clients have to undo that.
            headers["Link"] = f'<{ORIGIN}{quote(_href(path))}/?mk={following}>; rel="next"'
        own = [] if marker else [self._entry(path)]
        return _multistatus([*own, *(self._entry((*path, name)) for name in page)], headers)

    def _entry(self, path: Path) -> str:
        content = self.objects.get(path)
        kind = "<d:resourcetype><d:collection/></d:resourcetype>" if content is None else "<d:resourcetype/>"
        kept = (
            f"<d:getetag>{_etag(content) if content is not None else ''}</d:getetag>{kind}"
            f"<d:getcontentlength>{len(content or b'')}</d:getcontentlength>"
            f"<d:getlastmodified>{format_datetime(self.clock.now())}</d:getlastmodified>"
        )
        status = "<d:status>HTTP/1.1 200 OK</d:status>"
        propstat = f"<d:propstat><d:prop>{kept}</d:prop>{status}</d:propstat>"
        return f"<d:response><d:href>{escape(_href(path))}</d:href>{propstat}</d:response>"

    def _get(self, request: httpx.Request, path: Path) -> httpx.Response:
        self._require(path)
        if path in self.folders:
            raise _Refused(403, "OperationNotAllowed")
        content = self.objects[path]
        headers = {"ETag": _etag(content), "Content-Type": "application/octet-stream"}
        status, total = 200, len(content)
        if wanted := _RANGE.fullmatch(request.headers.get("range", "")):
            start, end = int(wanted[1]), min(int(wanted[2] or total) + 1, total)
            if start >= total:
                return _answer(416, b"", {"Content-Range": f"bytes */{total}"})
            status, content = 206, content[start:end]
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{total}"
        if request.method == "HEAD":
            return httpx.Response(200, headers={**headers, "Content-Length": str(total)})
        if len(content) > self.download_left:
            raise _Refused(403, "TrafficRateExhausted")
        self.download_left -= len(content)
        return _answer(status, content, headers)

    def _put(self, request: httpx.Request, path: Path) -> httpx.Response:
        content = request.content
        if len(content) > self.max_object_size:
            raise _Refused(413, "TooBigEntity")
        if path[:-1] == ROOT or path == ROOT:
            raise _Refused(404, "ObjectNotFound")
        self._require_parent(path)
        if path in self.folders:
            raise _Refused(409, "DuplicateName")
        old = self.objects.get(path)
        # If-None-Match is not looked at, unlike its opposite.
        if (expected := request.headers.get("if-match")) and (old is None or expected.strip('"') != _etag(old)):
            return _answer(412, b"", {})
        if len(content) > self.upload_left:
            raise _Refused(403, "TrafficRateExhausted")
        self.upload_left -= len(content)
        self.objects[path] = content
        return _answer(201 if old is None else 204, b"", {"ETag": _etag(content)})

    def _mkcol(self, _: httpx.Request, path: Path) -> httpx.Response:
        if path == ROOT:
            raise _Refused(403, "OperationNotAllowed")
        self._require_parent(path)
        if path in self.folders or path in self.objects:
            raise _Refused(405, "DuplicateName")
        self.folders.add(path)
        return _answer(201, b"", {})

    def _delete(self, _: httpx.Request, path: Path) -> httpx.Response:
        self._require(path)
        if path[:-1] == ROOT or path == ROOT:
            raise _Refused(403, "OperationNotAllowed")
        for gone in [path, *self._below(path)]:
            self.objects.pop(gone, None)
            self.folders.discard(gone)
        return _answer(204, b"", {})

    def _move(self, request: httpx.Request, path: Path) -> httpx.Response:
        self._require(path)
        target = _split(httpx.URL(request.headers["destination"]).raw_path.decode())
        self._require_parent(target)
        if target in self.objects or target in self.folders:
            raise _Refused(409, "DuplicateName")  # whatever Overwrite says
        for old in [path, *self._below(path)]:
            new = target + old[len(path) :]
            if old in self.objects:
                self.objects[new] = self.objects.pop(old)
            else:
                self.folders.remove(old)
                self.folders.add(new)
        return _answer(201, b"", {})

    def _below(self, path: Path) -> list[Path]:
        def all_paths() -> Iterator[Path]:
            yield from self.objects
            yield from self.folders

        return [p for p in all_paths() if len(p) > len(path) and p[: len(path)] == path]


def _path_of(request: httpx.Request) -> Path:
    path = request.url.raw_path.decode("ascii").partition("?")[0]
    if "//" in path:
        raise _Refused(404, "ObjectNotFound")
    return _split(path)


def _split(path: str) -> Path:
    return tuple(unquote(segment) for segment in path.partition("?")[0].split("/") if segment)


def _href(path: Path) -> str:
    """Without a slash at the end, for folders too."""
    return "/" + "/".join(quote(segment, safe="") for segment in path)


def _etag(content: bytes) -> str:
    """Opaque, and without the quotes that the standard wants."""
    return base64.urlsafe_b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode().rstrip("=")


def _multistatus(entries: list[str], headers: dict[str, str]) -> httpx.Response:
    body = f'<?xml version="1.0" encoding="utf-8"?><d:multistatus xmlns:d="DAV:">{"".join(entries)}</d:multistatus>'
    return _answer(207, body.encode(), {"Content-Type": "application/xml; charset=utf-8", **headers})


def _answer(status: int, body: bytes, headers: dict[str, str]) -> httpx.Response:
    """With a body that is still to be read, as one that comes from a network."""
    length = {} if status == 204 else {"Content-Length": str(len(body))}
    return httpx.Response(status, headers={**headers, **length}, stream=httpx.ByteStream(body))
