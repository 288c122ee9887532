"""The wire: the only module that sends requests to a WebDAV server.

Every request is told explicitly what it needs (``Depth``, ``Content-Length``, no compression), every answer is
bounded, redirects are followed only within the server itself, and what httpx raises becomes one of this library's
errors that says whether the request may have been carried out.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

import httpx
import webdav4.client
from webdav4.http import Method

from backup_core.clock import Clock
from backup_core.deferred import dataclass
from backup_core.errors import AccessDenied, AmbiguousReply, ConnectionLost, ShortRead, StorageError, Unsupported
from backup_core.progress import CancelToken
from backup_core.storage.backend import RequestCounter
from backup_core.storage.bandwidth import Throttle, Throttles
from backup_core.storage.options import BackendOptions
from backup_core.storage.request_budget import RequestBudget, is_urgent
from backup_core.storage.webdav import multistatus
from backup_core.storage.webdav.auth import PasswordAuth
from backup_core.storage.webdav.profiles import Profile
from backup_core.storage.webdav.status import WRITES, Reply, error_from
from backup_core.storage.webdav.transfer import SLICE, SizedBody, StallWatch, UploadBody
from backup_core.storage.webdav.urls import Place, Segments, encode, split

LARGEST_REPLY = 256 * 1024 * 1024
"""Bytes of a listing; about a million entries."""
LARGEST_ERROR = 64 * 1024
MOST_REDIRECTS = 3

_REDIRECTS = frozenset({301, 302, 307, 308})
_KEEPING_METHOD_AND_BODY = frozenset({307, 308})
_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


class WaitUntil(Protocol):
    """Waits until ``ready`` says 0.0, telling why."""

    def __call__(self, ready: Callable[[], float], why: str, *, cancel: CancelToken | None = None) -> None: ...


class Watcher(Protocol):
    """Is told of requests and their answers."""

    def begin(self) -> int:
        """A request begins; its number."""
        ...

    def answered(self, begun: int) -> None:
        """The request of this number was carried out."""
        ...


@dataclass(frozen=True, slots=True)
class Incoming:
    """An answer whose body is still on its way."""

    status: int
    headers: Mapping[str, str]
    chunks: Iterator[bytes]


class WebDAVClient:
    """Requests to one account. Errors by status are left to the caller, who knows what an answer means: see ``error``.

    Nothing is tried again here. Safe between threads.
    """

    def __init__(
        self,
        place: Place,
        dav: webdav4.client.Client,
        *,
        profile: Profile,
        options: BackendOptions,
        auth: httpx.Auth | None,
        clock: Clock,
        requests: RequestCounter,
        cancel: CancelToken | None = None,
        budget: RequestBudget | None = None,
        wait_until: WaitUntil,
        throttles: Throttles | None = None,
    ) -> None:
        """``wait_until`` is how to spend the time until ``budget`` allows a request; it may be long."""
        self.place = place
        self.profile = profile
        self.dav = dav
        self._session: httpx.Client = dav.http
        self._origin = httpx.URL(place.origin)
        self._options = options
        self._auth = auth
        self._clock = clock
        self._requests = requests
        self._cancel = cancel
        self._budget = budget
        self._wait_until = wait_until
        self._throttles = throttles or Throttles()
        self._watcher: Watcher | None = None
        self._pace_lock = threading.Lock()
        self._next_start = float("-inf")

    def watched_by(self, watcher: Watcher) -> None:
        """Tell ``watcher`` of all requests from now on, and of all good answers but those to DELETE."""
        self._watcher = watcher

    def propfind(self, segments: Segments, depth: str, *, name: str, query: str = "", quota: bool = False) -> Reply:
        """Ask for properties. A ``depth`` of "1" lists a folder, "0" looks at one resource."""
        path = encode(segments, directory=depth == "1" or segments == self.place.segments)
        return self._exchange(
            Method.PROPFIND,
            f"{path}?{query}" if query else path,
            name,
            headers={"Depth": depth, "Content-Type": "application/xml; charset=utf-8"},
            content=multistatus.QUOTA if quota else multistatus.PROPERTIES,
        )

    def put(
        self,
        segments: Segments,
        views: Sequence[memoryview],
        size: int,
        *,
        name: str,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a whole object of ``size`` bytes; ``headers`` are sent besides the usual ones."""
        body = UploadBody(views, size, on_slice=self._watch_upload, slice_size=self._slice_size)
        if body.size and isinstance(self._auth, PasswordAuth) and self._auth.needs_priming:
            # Let the server ask for the login now, not after the whole body was sent.
            self.propfind(self.place.segments, "0", name="")
        return self.put_body(segments, body if body.size else b"", name=name, headers=headers)

    def put_body(
        self,
        segments: Segments,
        body: SizedBody | bytes,
        *,
        name: str,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send an object from a body that knows its size; what iterating over it raises comes through."""
        size = len(body) if isinstance(body, bytes) else body.size
        usual = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        return self._exchange(Method.PUT, encode(segments), name, headers={**usual, **(headers or {})}, content=body)

    def make_folder(self, segments: Segments, *, name: str, slash: bool = True) -> Reply:
        """Ask for a new folder; the one above must exist."""
        return self._exchange(Method.MKCOL, encode(segments, directory=slash), name, headers={"Content-Length": "0"})

    def delete(self, segments: Segments, *, name: str) -> Reply:
        """Ask to remove one object."""
        return self._exchange(Method.DELETE, encode(segments), name)

    def delete_folder(self, segments: Segments, *, name: str) -> Reply:
        """Ask to remove a folder with all that is in it."""
        return self._exchange(Method.DELETE, encode(segments, directory=True), name)

    @contextmanager
    def get(self, segments: Segments, headers: Mapping[str, str], *, name: str) -> Iterator[Incoming]:
        """Ask for an object's bytes; errors while they come in are translated as well."""
        timeout = httpx.Timeout(self._options.stall_timeout, connect=self._options.connect_timeout, pool=None)
        with self._sent(Method.GET, encode(segments), name, headers=headers, timeout=timeout) as response:
            yield Incoming(response.status_code, response.headers, self._counted(response.iter_raw(), self._cancel))

    def error(self, reply: Reply, *, name: str) -> StorageError:
        """What an answer that is no success means."""
        return error_from(reply, name=name, profile=self.profile, now=self._clock.now())

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def _exchange(
        self,
        method: str,
        path: str,
        name: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: SizedBody | bytes | None = None,
    ) -> Reply:
        options = self._options
        timeout = httpx.Timeout(
            options.reply_timeout, connect=options.connect_timeout, write=options.stall_timeout, pool=None
        )
        with self._sent(method, path, name, headers=headers or {}, timeout=timeout, content=content) as response:
            return Reply(method, response.status_code, response.headers, self._body(response, self._stop_for(method)))

    @contextmanager
    def _sent(
        self,
        method: str,
        path: str,
        name: str,
        *,
        headers: Mapping[str, str],
        timeout: httpx.Timeout,
        content: SizedBody | bytes | None = None,
    ) -> Iterator[httpx.Response]:
        url = self._origin.copy_with(raw_path=path.encode("ascii"))
        with _translated(method, name, self.place.host):
            for _ in range(MOST_REDIRECTS + 1):
                self._keep_pace(self._stop_for(method))
                request = self._session.build_request(method, url, headers=headers, content=content, timeout=timeout)
                with self._budgeted():
                    begun = 0 if self._watcher is None else self._watcher.begin()
                    response = self._session.send(request, stream=True)
                    try:
                        target = _redirect(request, response)
                        if target is None:
                            if self._watcher is not None and method != Method.DELETE and response.is_success:
                                self._watcher.answered(begun)
                            yield response
                            return
                    finally:
                        response.close()
                url = target
            raise Unsupported(f"{method} {name or '/'}: the server redirects in circles", key=name)

    def _stop_for(self, method: str) -> CancelToken | None:
        """What ends a request early. Deleting goes on after the caller has cancelled, because it tidies up."""
        return None if method == Method.DELETE else self._cancel

    def _body(self, response: httpx.Response, cancel: CancelToken | None) -> bytes:
        """The whole body; that of an error is cut, and may be missing where the server hung up early."""
        body = bytearray()
        if response.status_code >= 300:
            with suppress(httpx.TransportError, httpx.DecodingError):
                for chunk in self._counted(response.iter_bytes(), cancel):
                    body += chunk
                    if len(body) >= LARGEST_ERROR:
                        break
            return bytes(body)
        for chunk in self._counted(response.iter_bytes(), cancel):
            body += chunk
            if len(body) > LARGEST_REPLY:
                raise Unsupported(f"the server's answer is longer than {LARGEST_REPLY} bytes")
        return bytes(body)

    def _counted(self, chunks: Iterator[bytes], cancel: CancelToken | None) -> Iterator[bytes]:
        watch = StallWatch(self._clock, window=self._options.reply_timeout)
        for chunk in chunks:
            self._requests.add_bytes(down=len(chunk))
            watch.moved(len(chunk))
            if cancel is not None:
                cancel.check()
            if self._throttles.down is not None:
                self._throttles.down.passing(len(chunk), cancel)
            yield chunk

    def _watch_upload(self) -> _Watched:
        watch = StallWatch(self._clock, window=self._options.reply_timeout)
        return _Watched(watch, self._requests, self._throttles.up, self._cancel)

    def _slice_size(self) -> int:
        return SLICE if self._throttles.up is None else self._throttles.up.slice_size(SLICE)

    def _keep_pace(self, cancel: CancelToken | None) -> None:
        if cancel is not None:
            cancel.check()
        pause = self.profile.pause_between_requests
        if not pause:
            return
        with self._pace_lock:
            now = self._clock.monotonic()
            start = max(now, self._next_start)
            self._next_start = start + pause
        if start > now:
            self._clock.sleep(start - now, cancel)

    @contextmanager
    def _budgeted(self) -> Iterator[None]:
        """Hold a place in the window of requests, waiting for it first."""
        if self._budget is None:
            yield
            return
        # Who tidies up after cancelling cannot wait any more, and may use what is kept spare for that.
        urgent = is_urgent() or (self._cancel is not None and self._cancel.cancelled)
        budget = self._budget
        self._wait_until(lambda: budget.take(urgent=urgent), "for the request window", cancel=self._cancel)
        try:
            yield
        finally:
            self._budget.give_back()


class _Watched:
    """Told of each slice of an upload."""

    def __init__(
        self, watch: StallWatch, requests: RequestCounter, throttle: Throttle | None, cancel: CancelToken | None
    ) -> None:
        self._watch = watch
        self._requests = requests
        self._throttle = throttle
        self._cancel = cancel

    def __call__(self, size: int) -> None:
        if self._cancel is not None:
            self._cancel.check()
        if self._throttle is not None:
            self._throttle.passing(size, self._cancel)
        self._watch.moved(size)
        self._requests.add_bytes(up=size)


def _redirect(request: httpx.Request, response: httpx.Response) -> httpx.URL | None:
    """Where to go on; None when the answer is none that may be followed.

    Never to another origin, because the password would go with it. A write goes on only to the same path (with or
    without its slash) or where the server says so by 307 or 308; anything else is usually the way to a login page.
    """
    location = response.headers.get("location", "")
    if response.status_code not in _REDIRECTS or not location:
        return None
    target = request.url.join(location)
    old = request.url
    if target == old or (target.scheme, target.host, target.port) != (old.scheme, old.host, old.port):
        return None
    same_path = split(target.raw_path.decode("ascii").partition("?")[0]) == split(
        old.raw_path.decode("ascii").partition("?")[0]
    )
    if request.method in WRITES and not same_path and response.status_code not in _KEEPING_METHOD_AND_BODY:
        return None
    return target


@contextmanager
def _translated(method: str, name: str, host: str) -> Iterator[None]:
    try:
        yield
    except httpx.DecodingError as error:
        raise ShortRead(f"{method} {name or '/'}: the answer is damaged: {error}", key=name) from error
    except httpx.InvalidURL as error:
        raise Unsupported(f"{method} {name or '/'}: the server redirects to nonsense: {error}", key=name) from error
    except httpx.TransportError as error:
        raise _connection_error(error, method, name, host) from error


def _connection_error(error: httpx.TransportError, method: str, name: str, host: str) -> StorageError:
    what = f"{method} {name or '/'}: "
    said = str(error) or type(error).__name__
    if _is_untrusted(error):
        advice = "Check the address and this machine's date; a private authority is named by ca_bundle"
        return ConnectionLost(
            f"{what}the certificate of {host} is not trusted ({said}). {advice}", key=name, transient=False
        )
    if "alert certificate required" in said:
        return ConnectionLost(f"{what}{host} wants a client certificate: name one", key=name, transient=False)
    if isinstance(error, httpx.ProxyError) and "407" in said:
        return AccessDenied(f"{what}the proxy wants another user name or password ({said})", key=name)
    if isinstance(error, _NEVER_SENT):
        return ConnectionLost(f"{what}{host} cannot be reached ({said})", key=name)
    if isinstance(error, httpx.TimeoutException):
        said = "it went silent"
    if method in WRITES:
        return AmbiguousReply(f"{what}the connection to {host} broke before the answer came ({said})", key=name)
    return ConnectionLost(f"{what}the connection to {host} broke ({said})", key=name)


def _is_untrusted(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return True
        seen = seen.__cause__ or seen.__context__
    return "CERTIFICATE_VERIFY_FAILED" in str(error)
