"""Reading: exactly the bytes asked for, however the answer is cut, shifted or dressed up."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from backup_core.errors import ConnectionLost, ShortRead, StorageError, Unsupported
from backup_core.testing.fake_webdav import entry, multistatus

CONTENT = bytes(i * 7 % 251 for i in range(100_000))
PATH = "/dav/backups/data/00/pack"
NAME = "data/00/pack"


class Cut(httpx.SyncByteStream):
    """A body that breaks after some bytes, or just ends."""

    def __init__(self, content: bytes, error: Exception | None) -> None:
        self.content, self.error = content, error

    def __iter__(self) -> Iterator[bytes]:
        yield self.content[:700]
        yield self.content[700:]
        if self.error is not None:
            raise self.error


@pytest.fixture
def server(bench):
    bench.server.folders |= {"/dav/backups/data/", "/dav/backups/data/00/"}
    bench.server.objects[PATH] = CONTENT
    return bench.server


def ranges(server) -> list[str]:
    return [r.headers.get("range", "all") for r in server.requests if r.method == "GET"]


@pytest.mark.parametrize("error", [httpx.ReadError("reset"), httpx.ReadTimeout("silence"),
                                   httpx.RemoteProtocolError("peer closed connection")])  # fmt: skip
def test_a_cut_transfer_goes_on_where_it_broke(bench, server, error: Exception) -> None:
    def cut(request):
        headers = {"Content-Length": str(len(CONTENT))}
        return httpx.Response(200, headers=headers, stream=Cut(CONTENT[:40_000], error))

    server.once("GET", cut)
    assert bench.backend.get(NAME) == CONTENT
    assert ranges(server) == ["all", "bytes=40000-99999"]


def test_a_cut_range_goes_on_where_it_broke(bench, server) -> None:
    def cut(request):
        headers = {"Content-Range": "bytes 1000-50999/100000"}
        return httpx.Response(206, headers=headers, stream=Cut(CONTENT[1000:21_000], httpx.ReadError("reset")))

    server.once("GET", cut)
    assert bench.backend.get(NAME, offset=1000, length=50_000) == CONTENT[1000:51_000]
    assert ranges(server) == ["bytes=1000-50999", "bytes=21000-50999"]


def test_a_connection_that_always_breaks_is_given_up(bench, server) -> None:
    bench.backend.stat(NAME)
    server.once("GET", httpx.ReadError("reset"), times=10_000)
    with pytest.raises(ConnectionLost, match="given up"):
        bench.backend.get(NAME)
    assert 40 * 60 < bench.slept < 46 * 60
    assert len(server.log) < 80


def test_a_server_that_ignores_ranges_still_gives_the_right_bytes(bench, server) -> None:
    server.behave(lambda r: httpx.Response(200, content=CONTENT) if r.method == "GET" else None)
    assert bench.backend.get(NAME, offset=90_000, length=5000) == CONTENT[90_000:95_000]
    assert bench.backend.get(NAME, offset=99_999) == CONTENT[99_999:]
    with pytest.raises(ShortRead):
        bench.backend.get(NAME, offset=99_999, length=2)


@pytest.mark.parametrize("told", ["bytes 0-49/100000", "bytes 51-100/100000", "", "items 50-99/100000", "bytes 50"])
def test_another_range_than_asked_for_is_never_taken(bench, server, told: str) -> None:
    server.behave(lambda _: httpx.Response(206, content=CONTENT[50:100], headers={"Content-Range": told}))
    with pytest.raises(ShortRead, match="asked from byte 50 on"):
        bench.backend.get(NAME, offset=50, length=50)
    assert len(server.log) == 5, "a wrong answer is asked for again, but not for ever"


def test_a_range_that_is_right_the_second_time(bench, server) -> None:
    server.once("GET", httpx.Response(206, content=b"x" * 50, headers={"Content-Range": "bytes 0-49/100000"}))
    assert bench.backend.get(NAME, offset=50, length=50) == CONTENT[50:100]


def test_a_range_of_unknown_total(bench, server) -> None:
    def unknown(request):
        return httpx.Response(206, content=CONTENT[60:], headers={"Content-Range": "bytes 60-99999/*"})

    server.behave(unknown)
    assert bench.backend.get(NAME, offset=60) == CONTENT[60:]
    assert bench.backend.get(NAME, offset=60, length=10) == CONTENT[60:70]


def test_too_few_bytes_in_a_range_are_fetched_again(bench, server) -> None:
    def short(request):
        headers = {"Content-Range": "bytes 100-199/100000"}
        return httpx.Response(206, headers=headers, stream=Cut(CONTENT[100:150], None))

    server.once("GET", short)
    assert bench.backend.get(NAME, offset=100, length=100) == CONTENT[100:200]
    assert ranges(server) == ["bytes=100-199", "bytes=150-199"]


def test_a_cut_answer_that_looks_whole_is_found_by_its_size(bench, server) -> None:
    """Without a length, the end of the connection is all that tells where the object ends."""
    server.once("GET", lambda _: httpx.Response(200, stream=Cut(CONTENT[:30_000], None)))
    assert bench.backend.get(NAME) == CONTENT
    assert server.log == [f"GET {NAME}", f"PROPFIND {NAME}", f"GET {NAME}"]
    assert ranges(server) == ["all", "bytes=30000-99999"]


def test_a_compressed_answer_is_refused(bench, server) -> None:
    server.behave(lambda _: httpx.Response(200, stream=Cut(b"\x1f\x8b" + bytes(800), None),
                                           headers={"Content-Encoding": "gzip", "Content-Length": "802"}))  # fmt: skip
    with pytest.raises(Unsupported, match="compress"):
        bench.backend.get(NAME)


def test_a_login_page_is_not_an_object(bench, server) -> None:
    page = "<!DOCTYPE html><html>Please log in</html>"
    server.behave(lambda _: httpx.Response(200, text=page, headers={"Content-Type": "text/html"}))
    with pytest.raises(Unsupported, match="web page"):
        bench.backend.get(NAME)


def test_a_server_that_calls_every_object_a_page_is_believed_the_bytes(bench, server) -> None:
    server.behave(lambda _: httpx.Response(200, content=CONTENT, headers={"Content-Type": "text/html"}))
    assert bench.backend.get(NAME) == CONTENT


class TestBehindTheEnd:
    @pytest.mark.parametrize("headers", [{"Content-Range": "bytes */100000"}, {}])
    def test_416_exactly_at_the_end_is_no_bytes(self, bench, server, headers: dict[str, str]) -> None:
        server.behave(lambda r: httpx.Response(416, headers=headers) if r.method == "GET" else None)
        assert bench.backend.get(NAME, offset=len(CONTENT)) == b""

    @pytest.mark.parametrize("headers", [{"Content-Range": "bytes */100000"}, {}])
    def test_416_for_bytes_that_are_not_there(self, bench, server, headers: dict[str, str]) -> None:
        server.behave(lambda r: httpx.Response(416, headers=headers) if r.method == "GET" else None)
        with pytest.raises(ShortRead) as caught:
            bench.backend.get(NAME, offset=len(CONTENT), length=1)
        assert not caught.value.transient

    def test_416_for_bytes_that_should_be_there(self, bench, server) -> None:
        server.behave(lambda r: httpx.Response(416) if r.method == "GET" else None)
        with pytest.raises(ShortRead, match="refuses a range"):
            bench.backend.get(NAME, offset=5, length=10)

    def test_nothing_is_asked_for_nothing(self, bench, server) -> None:
        assert bench.backend.get(NAME, offset=5, length=0) == b""
        assert server.log == []

    def test_an_empty_object(self, bench, server) -> None:
        server.objects[PATH] = b""
        assert bench.backend.get(NAME) == b""


class TestSize:
    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            (multistatus(), StorageError),
            (multistatus(entry(PATH)), StorageError),
            (multistatus(entry(PATH, 1).replace("getcontentlength", "other")), Unsupported),
            (httpx.Response(409), StorageError),
            (httpx.Response(405), Unsupported),
        ],
    )
    def test_no_size_is_an_error(self, bench, server, answer: httpx.Response, expected: type[StorageError]) -> None:
        server.behave(lambda _: answer)
        with pytest.raises(expected):
            bench.backend.stat(NAME)

    def test_one_question_is_one_request(self, bench, server) -> None:
        assert bench.backend.stat(NAME).size == len(CONTENT)
        assert server.log == [f"PROPFIND {NAME}"]
        assert server.requests[0].headers["depth"] == "0"


def test_a_transfer_that_trickles_is_replaced(bench, server) -> None:
    def trickle(request):
        class Slow(httpx.SyncByteStream):
            def __iter__(self):
                for start in range(0, 100_000, 10):
                    bench.clock.advance(30)
                    yield CONTENT[start : start + 10]

        return httpx.Response(200, headers={"Content-Length": "100000"}, stream=Slow())

    server.once("GET", trickle)
    assert bench.backend.get(NAME) == CONTENT
    assert ranges(server) == ["all", "bytes=90-99999"]
