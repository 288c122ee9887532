"""A server that means harm: whatever it sends, memory and time are bounded, the password stays, and the error is clear.

Beside these: dangerous XML and redirects of listings in ``test_listing``, names in ``restore/test_hostile``, bombs and
lengths within the repository in ``test_compression``, ``test_keys_and_config`` and ``test_format_damage``.
"""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Iterator

import httpx
import pytest

from backup_core.errors import ConnectionLost, ShortRead, StorageError, Unsupported
from backup_core.storage.webdav import client, download, listing
from backup_core.testing.fake_webdav import entry, multistatus

from .test_network import start  # noqa: F401 - a fixture

NAME = "data/00/pack"
PIECE = b"x" * 10_000


class Endless(httpx.SyncByteStream):
    """A body that goes on for as long as anybody reads, and knows how far that was."""

    def __init__(self) -> None:
        self.sent = 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.sent += len(PIECE)
            yield PIECE


class Whole(httpx.SyncByteStream):
    """A body as it goes over the line."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self.content


@pytest.mark.parametrize("headers", [{}, {"Content-Length": str(10**15)}, {"Transfer-Encoding": "chunked"}])
def test_an_object_without_end_is_refused(bench, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]) -> None:
    monkeypatch.setattr(download, "LARGEST_OBJECT", 100_000)
    body = Endless()
    bench.server.behave(lambda _: httpx.Response(200, stream=body, headers=headers))
    with pytest.raises(Unsupported, match="no object is that long"):
        bench.backend.get(NAME)
    assert body.sent <= 110_000
    if headers:  # more than was asked for is not taken
        assert len(bench.backend.get(NAME, offset=0, length=25_000)) == 25_000


@pytest.mark.parametrize("number", ["9" * 5000, "9" * 400, "²", "-1", "0x10"])
def test_numbers_that_are_none_are_no_crash(bench, number: str) -> None:
    for headers in (
        {"Content-Range": f"bytes 0-9/{number}"},
        {"Content-Range": f"bytes {number}-9/10"},
        {"Content-Range": f"bytes 0-{number}/*"},
    ):
        encoded = [(k.encode(), v.encode("latin-1")) for k, v in headers.items()]
        bench.server.behave(lambda _, h=encoded: httpx.Response(206, content=b"0123456789", headers=h))
        with pytest.raises(ShortRead):
            bench.backend.get(NAME, offset=0, length=10)
    encoded = [(b"Retry-After", number.encode("latin-1"))]
    bench.server.behave(lambda _: httpx.Response(503, headers=encoded))
    with pytest.raises(StorageError):
        bench.backend.get(NAME)


def test_an_error_without_end_is_cut(bench) -> None:
    body = Endless()
    bench.server.behave(lambda _: httpx.Response(403, stream=body))
    for ask in (lambda: bench.backend.get(NAME), lambda: bench.backend.list("data"), lambda: bench.backend.stat(NAME)):
        body.sent = 0
        with pytest.raises(StorageError):
            ask()
        assert body.sent <= client.LARGEST_ERROR + len(PIECE)


@pytest.mark.parametrize("packed", [False, True], ids=["as it is", "gzip"])
def test_a_listing_without_end_is_refused(bench, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    monkeypatch.setattr(client, "LARGEST_REPLY", 1_000_000)
    content = b"<d:multistatus xmlns:d='DAV:'>" + b" " * 3_000_000
    headers = {"Content-Type": "application/xml"} | ({"Content-Encoding": "gzip"} if packed else {})
    body = gzip.compress(content) if packed else content
    bench.server.behave(lambda _: httpx.Response(207, stream=Whole(body), headers=headers))
    with pytest.raises(Unsupported, match="longer than"):
        bench.backend.list("data")


def test_pages_without_end_come_to_one(bench, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = itertools.count()

    def page(_: httpx.Request) -> httpx.Response:
        number = next(numbers)
        answer = multistatus(entry("/dav/backups/index/"), entry(f"/dav/backups/index/{number}", 1))
        answer.headers["Link"] = f'</dav/backups/index/?page={number + 1}>; rel="next"'
        return answer

    bench.server.behave(page)
    monkeypatch.setattr(listing, "MOST_PAGES", 20)
    found = bench.backend.list("index")
    assert not found.proved_complete and len(found.objects) == 20
    monkeypatch.setattr(listing, "MOST_ENTRIES", 10)
    with pytest.raises(Unsupported, match="in one folder"):
        bench.backend.list("index")


@pytest.mark.parametrize("location", ["https://evil.example.net/data/00/pack", "http://dav.example.com/x", "//evil/x"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_request_and_no_password_goes_elsewhere(bench, location: str, status: int) -> None:
    bench.server.behave(lambda _: httpx.Response(status, headers={"Location": location}))
    asks = (
        lambda: bench.backend.get(NAME),
        lambda: bench.backend.get(NAME, offset=1, length=1),
        lambda: bench.backend.stat(NAME),
        lambda: bench.backend.delete(NAME),
        bench.backend.space,
    )
    for ask in asks:
        with pytest.raises(StorageError):
            ask()
    assert {(r.url.scheme, r.url.host) for r in bench.server.requests} == {("https", "dav.example.com")}


def test_headers_without_end_are_given_up(start) -> None:  # noqa: F811
    sent = []

    def serve(_: int, connection) -> None:
        connection.head()
        connection.sock.sendall(b"HTTP/1.1 200 OK\r\n")
        sent.append(0)
        while True:  # until the other end hangs up, which raises OSError
            connection.sock.sendall(b"X-Filler: " + PIECE + b"\r\n")
            sent[-1] += len(PIECE)

    _, backend = start(serve)
    with pytest.raises(ConnectionLost, match="broke"):
        backend.get("config")
    assert sent and max(sent) < 8_000_000  # what the sockets' buffers hold


@pytest.mark.parametrize("status", ["100 Continue", "102 Processing", "103 Early Hints"])
def test_interim_answers_without_end_are_given_up(start, status: str) -> None:  # noqa: F811
    def serve(_: int, connection) -> None:
        connection.head()
        while True:  # until the other end hangs up, which raises OSError
            connection.sock.sendall(f"HTTP/1.1 {status}\r\n\r\n".encode())

    _, backend = start(serve)
    with pytest.raises(ConnectionLost, match="broke"):
        backend.get("config")


def test_as_many_interim_answers_as_a_server_at_work_sends_are_passed_over(start) -> None:  # noqa: F811
    def serve(_: int, connection) -> None:
        for _ in range(3):  # the bound is for one request, not for a connection
            connection.head()
            connection.sock.sendall(b"HTTP/1.1 102 Processing\r\n\r\n" * 900)
            connection.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    _, backend = start(serve)
    assert [backend.get("config") for _ in range(3)] == [b"hello"] * 3
