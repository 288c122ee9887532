"""A real WebDAV server inside the test's own process, which counts requests and can be told to misbehave."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from backup_core.deferred import dataclass
from backup_core.services.embedded import make_application, make_server
from backup_core.types import Secret


class Request(NamedTuple):
    """One request as the server saw it."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a fault gives instead of the server's own answer."""

    status: str
    """Code and words, such as ``"507 Insufficient Storage"``."""
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


Fault = Callable[[Request], Answer | None]
"""Looks at each request; an ``Answer`` is sent instead of the server's own, None lets the request pass."""


@dataclass
class WebDAVServer:
    """WsgiDAV on a free loopback port; a context manager.

    Set ``fault`` at any time to answer some requests with an error of your choice.
    """

    root: Path
    """The served folder; restic reads a repository in it directly."""
    username: str = "tester"
    password: Secret = field(default_factory=lambda: Secret("test-password"))
    fault: Fault | None = None
    requests: Counter[str] = field(default_factory=Counter)
    """Requests by method, refused ones and faults included."""
    log: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self.root.mkdir(parents=True, exist_ok=True)
        self._application = make_application(self.root, username=self.username, password=self.password)
        self._server = make_server(self._count, host="127.0.0.1", port=0)
        self._thread = threading.Thread(target=self._server.serve, name="webdav-server", daemon=True)

    @property
    def url(self) -> str:
        """Root of the served folder, with a trailing slash and without credentials."""
        host, port = self._server.bind_addr[:2]
        return f"http://{host}:{port}/"

    def forget(self) -> None:
        """Start counting anew."""
        with self._lock:
            self.requests.clear()
            self.log.clear()

    def start(self) -> None:
        """Bind and serve."""
        self._server.prepare()
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and close every connection."""
        self._server.stop()
        self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def _count(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        headers = {k[5:].replace("_", "-").lower(): v for k, v in environ.items() if k.startswith("HTTP_")}
        request = Request(environ["REQUEST_METHOD"], environ["PATH_INFO"], headers)
        with self._lock:
            self.requests[request.method] += 1
            self.log.append(request)
        answer = self.fault(request) if self.fault is not None else None
        if answer is None:
            return self._application(environ, start_response)
        # The body must be taken off the wire, or the next request on this connection starts in the middle of it.
        length = int(environ.get("CONTENT_LENGTH") or 0)
        while length > 0 and (chunk := environ["wsgi.input"].read(min(length, 1 << 20))):
            length -= len(chunk)
        start_response(answer.status, [*answer.headers, ("Content-Length", str(len(answer.body)))])
        return [answer.body]
