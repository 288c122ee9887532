"""A scripted WebDAV server without a network: it stores objects, and misbehaves exactly as told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from urllib.parse import unquote

import httpx

from backup_core.deferred import dataclass

BASE = "/dav/backups/"
HOST = "dav.example.com"
NUTSTORE_BLOCK = (
    '<?xml version="1.0" encoding="utf-8"?><d:error xmlns:d="DAV:" xmlns:s="http://ns.jianguoyun.com">'
    "<s:exception>BlockedTemporarily</s:exception>"
    "<s:message>Too many requests are received recently</s:message></d:error>"
)
Behaviour = Callable[[httpx.Request], httpx.Response | None]


def error_body(exception: str, message: str = "") -> str:
    """An error body as sabre/dav and Nutstore write it."""
    return NUTSTORE_BLOCK.replace("BlockedTemporarily", exception).replace(
        "Too many requests are received recently", message or exception
    )


@dataclass
class FakeDav:
    """Objects by path, folders as a set; ``behave`` functions look at each request first, newest first."""

    objects: dict[str, bytes] = field(default_factory=dict)
    folders: set[str] = field(default_factory=lambda: {"/", "/dav/", BASE})
    behaviours: list[Behaviour] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    """"METHOD path" (path below the base where possible), in order of arrival."""
    requests: list[httpx.Request] = field(default_factory=list)
    missing_parent: int = 409

    def behave(self, behaviour: Behaviour) -> None:
        """Let ``behaviour`` answer instead, or raise; None leaves the request to what was there before."""
        self.behaviours.insert(0, behaviour)

    def once(self, method: str, answer: httpx.Response | Exception | Behaviour, *, times: int = 1) -> None:
        """Answer the next ``times`` requests with this method so."""
        left = [times]

        def behaviour(request: httpx.Request) -> httpx.Response | None:
            if request.method != method or not left[0]:
                return None
            left[0] -= 1
            if isinstance(answer, Exception):
                raise answer
            return answer(request) if callable(answer) else answer

        self.behave(behaviour)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        path = unquote(request.url.raw_path.decode())
        self.log.append(f"{request.method} {path.removeprefix(BASE)}")
        # A copy, because a login or a redirect goes on with the same request and changes its headers.
        self.requests.append(httpx.Request(request.method, request.url, headers=request.headers.raw))
        for behaviour in self.behaviours:
            answer = behaviour(request)
            if answer is not None:
                return _as_sent(answer)
        return _as_sent(self.answer(request))

    def answer(self, request: httpx.Request) -> httpx.Response:
        """What a well-behaved server says."""
        path = unquote(request.url.path)
        handler: Callable[[httpx.Request, str], httpx.Response] = getattr(self, f"_{request.method.lower()}")
        return handler(request, path)

    def _parent_there(self, path: str) -> bool:
        return path.rstrip("/").rpartition("/")[0] + "/" in self.folders

    def _put(self, request: httpx.Request, path: str) -> httpx.Response:
        if not self._parent_there(path):
            return httpx.Response(self.missing_parent)
        known = path in self.objects
        self.objects[path] = request.content
        return httpx.Response(204 if known else 201)

    def _mkcol(self, request: httpx.Request, path: str) -> httpx.Response:
        if path in self.folders:
            return httpx.Response(405)
        if not self._parent_there(path):
            return httpx.Response(409)
        self.folders.add(path)
        return httpx.Response(201)

    def _delete(self, request: httpx.Request, path: str) -> httpx.Response:
        return httpx.Response(204 if self.objects.pop(path, None) is not None else 404)

    def _get(self, request: httpx.Request, path: str) -> httpx.Response:
        content = self.objects.get(path)
        if content is None:
            return httpx.Response(404)
        wanted = request.headers.get("range")
        if not wanted:
            return httpx.Response(200, content=content)
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last) + 1 if last else len(content), len(content))
        if start >= len(content):
            return httpx.Response(416, headers={"Content-Range": f"bytes */{len(content)}"})
        headers = {"Content-Range": f"bytes {start}-{end - 1}/{len(content)}"}
        return httpx.Response(206, content=content[start:end], headers=headers)

    def _propfind(self, request: httpx.Request, path: str) -> httpx.Response:
        if path in self.objects:
            return multistatus(entry(path, len(self.objects[path])))
        folder = path.rstrip("/") + "/"
        if folder not in self.folders:
            return httpx.Response(404)
        return multistatus(*([entry(folder)] if request.headers["depth"] == "0" else self.entries(folder)))

    def entries(self, folder: str) -> list[str]:
        """The XML of a folder and what is directly in it."""
        children = [entry(p, len(c)) for p, c in sorted(self.objects.items()) if p.rpartition("/")[0] + "/" == folder]
        folders = [entry(f) for f in sorted(self.folders) if f != folder and f[:-1].rpartition("/")[0] + "/" == folder]
        return [entry(folder), *folders, *children]


def _as_sent(answer: httpx.Response) -> httpx.Response:
    """The same answer with a body that is still to be read, as one that comes from a network."""
    if not answer.is_stream_consumed:
        return answer
    return httpx.Response(answer.status_code, headers=answer.headers, stream=httpx.ByteStream(answer.content))


def entry(href: str, size: int | None = None, *, extra: str = "") -> str:
    """One ``response`` element: a folder, or an object of this size."""
    kind = "<d:resourcetype><d:collection/></d:resourcetype>" if size is None else "<d:resourcetype/>"
    length = "" if size is None else f"<d:getcontentlength>{size}</d:getcontentlength>"
    status = "<d:status>HTTP/1.1 200 OK</d:status>"
    props = f"<d:propstat><d:prop>{kind}{length}</d:prop>{status}</d:propstat>"
    return f"<d:response><d:href>{href}</d:href>{props}{extra}</d:response>"


def multistatus(*entries: str, status: int = 207, headers: dict[str, str] | None = None) -> httpx.Response:
    """A 207 answer."""
    body = f'<?xml version="1.0" encoding="utf-8"?><d:multistatus xmlns:d="DAV:">{"".join(entries)}</d:multistatus>'
    return httpx.Response(status, text=body, headers={"Content-Type": "application/xml", **(headers or {})})
