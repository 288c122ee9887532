"""Listings: every page, or a clear word that nobody can be sure."""

from __future__ import annotations

import httpx
import pytest

from backup_core.errors import AccessDenied, ShortRead, StorageError, Unsupported
from backup_core.testing.fake_webdav import entry, multistatus

FOLDER = "/dav/backups/index/"
NEXT = "https://dav.example.com/dav/backups/index/?mk=page-{}"


@pytest.fixture
def server(bench):
    bench.server.folders.add(FOLDER)
    return bench.server


def fill(server, count: int) -> set[str]:
    for number in range(count):
        server.objects[f"{FOLDER}{number:04}"] = b"x"
    return {f"index/{number:04}" for number in range(count)}


def paged(server, *, size: int = 750, link=lambda n: f'<{NEXT.format(n)}>; rel="next"'):
    """Answer listings in pages of ``size`` entries, with links."""

    def behaviour(request):
        if request.method != "PROPFIND" or request.headers["depth"] != "1" or not request.url.path.endswith("/index/"):
            return None
        page = int(request.url.params.get("mk", "page-0").removeprefix("page-"))
        entries = server.entries(FOLDER)
        headers = {"Link": link(page + 1)} if (page + 1) * size < len(entries) else {}
        return multistatus(*entries[page * size : (page + 1) * size], headers=headers)

    server.behave(behaviour)


def names(listing) -> set[str]:
    return {o.name for o in listing.objects}


def test_all_pages_are_followed(bench, server) -> None:
    expected = fill(server, 2000)
    paged(server)
    listing = bench.backend.list("index")
    assert names(listing) == expected
    assert listing.proved_complete
    assert [line.partition(" ")[2] for line in server.log] == ["index/", "index/?mk=page-1", "index/?mk=page-2"]
    assert {r.headers["depth"] for r in server.requests} == {"1"}
    assert {r.headers["content-type"] for r in server.requests} == {"application/xml; charset=utf-8"}


@pytest.mark.parametrize(
    "link",
    [
        lambda n: f"<{NEXT.format(n)}>; rel=next",
        lambda n: f'</first>; rel="first", <{NEXT.format(n)}>; title="a, b"; rel="last next"',
        lambda n: f'<?mk=page-{n}>; rel="next"',
        lambda n: f'</dav/backups/index?mk=page-{n}>; rel="next"',
        lambda n: f'<http://dav.example.com/inner/path/index/?mk=page-{n}>; rel="next"',
    ],
)
def test_every_way_to_write_the_link(bench, server, link) -> None:
    expected = fill(server, 1000)
    paged(server, link=link)
    listing = bench.backend.list("index")
    assert (names(listing), listing.proved_complete) == (expected, True)


def test_a_link_that_is_percent_encoded_once_too_often(bench) -> None:
    backend = bench.open("https://dav.example.com/dav/%E5%A4%87%E4%BB%BD%20100%25/")
    folder = "/dav/备份 100%/"
    encoded_twice = "/dav/%25E5%25A4%2587%25E4%25BB%25BD%2520100%2525/"
    bench.server.folders.add(folder)
    answers = {
        "": multistatus(entry("/dav/%E5%A4%87%E4%BB%BD%20100%25"), entry("/dav/%E5%A4%87%E4%BB%BD%20100%25/a", 1),
                        headers={"Link": f'<https://dav.example.com{encoded_twice}?mk=2>; rel="next"'}),
        "mk=2": multistatus(entry("/dav/%E5%A4%87%E4%BB%BD%20100%25/b", 2)),
    }  # fmt: skip
    bench.server.behave(lambda r: answers[r.url.query.decode()])
    listing = backend.list("")
    assert ([(o.name, o.size) for o in listing.objects], listing.proved_complete) == ([("a", 1), ("b", 2)], True)
    assert {r.url.raw_path.partition(b"?")[0] for r in bench.server.requests} == {b"/dav/%E5%A4%87%E4%BB%BD%20100%25/"}


def test_pages_that_lead_in_circles_end(bench, server) -> None:
    fill(server, 2000)
    paged(server, link=lambda n: f'<{NEXT.format(1)}>; rel="next"')
    listing = bench.backend.list("index")
    assert not listing.proved_complete
    assert "circles" in listing.doubt
    assert len(server.log) <= 3


@pytest.mark.parametrize("link", ["https://evil.example.net/dav/backups/index/?mk=1", "//evil.example.net/x?mk=1"])
def test_a_link_to_another_machine_is_not_followed(bench, server, link: str) -> None:
    fill(server, 800)
    paged(server, link=lambda _: f'<{link}>; rel="next"')
    listing = bench.backend.list("index")
    assert not listing.proved_complete
    assert "another machine" in listing.doubt
    assert {r.url.host for r in server.requests} == {"dav.example.com"}


def test_a_link_into_another_folder_is_not_followed(bench, server) -> None:
    fill(server, 800)
    paged(server, link=lambda _: '</dav/other/?mk=1>; rel="next"')
    assert "another folder" in bench.backend.list("index").doubt


@pytest.mark.parametrize(("count", "proved"), [(748, True), (749, False), (750, False), (751, True)])
def test_a_full_page_without_a_link_proves_nothing(bench, server, count: int, proved: bool) -> None:
    """The folder itself may or may not be counted among the 750."""
    fill(server, count)
    listing = bench.backend.list("index")
    assert len(listing.objects) == count
    assert listing.proved_complete is proved


def test_the_page_size_of_the_profile_is_watched_too(bench, server) -> None:
    fill(server, 500)
    listing = bench.open(page_size=500).list("index")
    assert not listing.proved_complete
    assert "500" in listing.doubt or "501" in listing.doubt


def test_a_page_that_fails_for_a_while_is_asked_for_again(bench, server) -> None:
    expected = fill(server, 1600)
    paged(server)
    failures = [httpx.Response(502), httpx.Response(504)]
    server.behave(lambda r: failures.pop() if failures and "page-1" in str(r.url) else None)
    listing = bench.backend.list("index")
    assert (names(listing), listing.proved_complete) == (expected, True)
    assert server.log.count("PROPFIND index/") == 1


def test_a_further_page_that_is_missing_leaves_a_doubt(bench, server) -> None:
    fill(server, 1600)
    paged(server)
    server.behave(lambda r: httpx.Response(404) if "page-1" in str(r.url) else None)
    listing = bench.backend.list("index")
    assert (listing.exists, listing.proved_complete) == (True, False)


def test_an_object_that_is_added_between_pages_is_listed_once(bench, server) -> None:
    fill(server, 800)
    paged(server)

    def add(request):
        if "page-1" in str(request.url):
            server.objects[f"{FOLDER}0000-new"] = b"y"

    server.behave(add)
    listing = bench.backend.list("index")
    assert len(names(listing)) == len(listing.objects)


class TestAnswers:
    """What servers make of RFC 4918."""

    def answer(self, bench, *entries: str, status: int = 207) -> None:
        bench.server.behave(lambda r: multistatus(*entries, status=status) if r.url.path.endswith("/index/") else None)

    @pytest.mark.parametrize(
        "hrefs",
        [
            ("/dav/backups/index/", "/dav/backups/index/a"),
            ("/dav/backups/index", "/dav/backups/index/a"),
            ("https://dav.example.com/dav/backups/index/", "https://dav.example.com/dav/backups/index/a"),
            ("http://10.0.0.1:8080/dav/backups/index/", "http://10.0.0.1:8080/dav/backups/index/a"),
            ("/inner/index/", "/inner/index/a"),
            ("/index/", "/index/a"),
            ("//dav//backups//index/", "/dav/backups/index//a"),
            ("/dav/backups/%69ndex/", "/dav/backups/index/%61"),
            ("/dav/backups/%2569ndex/", "/dav/backups/%2569ndex/%2561"),
            ("", "a"),
        ],
    )
    def test_addresses_in_every_shape(self, bench, hrefs: tuple[str, str]) -> None:
        folder, child = hrefs
        entries = [entry(folder)] if folder else []
        self.answer(bench, *entries, entry(child, 7))
        listing = bench.backend.list("index")
        assert [(o.name, o.size) for o in listing.objects] == [("index/a", 7)]
        assert listing.proved_complete

    def test_an_empty_folder_behind_a_proxy(self, bench) -> None:
        self.answer(bench, entry("/inner/index/"))
        listing = bench.backend.list("index")
        assert (listing.objects, listing.exists, listing.proved_complete) == ((), True, True)

    def test_an_answer_about_something_else_proves_nothing(self, bench) -> None:
        self.answer(bench, entry("/somewhere/else/"), entry("/somewhere/else/a", 1))
        listing = bench.backend.list("index")
        assert (listing.objects, listing.exists, listing.proved_complete) == ((), True, False)

    def test_an_empty_answer_is_not_an_empty_folder(self, bench) -> None:
        self.answer(bench)
        listing = bench.backend.list("index")
        assert (listing.exists, listing.proved_complete) == (True, False)

    def test_an_answer_without_the_folder_itself(self, bench) -> None:
        self.answer(bench, entry("/dav/backups/index/a", 1))
        assert bench.backend.list("index").proved_complete

    def test_an_answer_with_status_200(self, bench) -> None:
        self.answer(bench, entry("/dav/backups/index/"), entry("/dav/backups/index/a", 1), status=200)
        assert len(bench.backend.list("index").objects) == 1

    def test_grandchildren_are_left_out(self, bench) -> None:
        self.answer(bench, entry(FOLDER), entry(f"{FOLDER}a", 1), entry(f"{FOLDER}deep/"), entry(f"{FOLDER}deep/b", 1))
        listing = bench.backend.list("index")
        assert (names(listing), listing.directories) == ({"index/a"}, ("index/deep",))

    def test_an_object_without_a_size_leaves_a_doubt(self, bench) -> None:
        self.answer(bench, entry(FOLDER), entry(f"{FOLDER}a", 1).replace("getcontentlength", "unknown"))
        listing = bench.backend.list("index")
        assert (listing.objects, listing.proved_complete) == ((), False)
        assert "how large a is" in listing.doubt

    def test_a_size_that_is_said_to_be_not_found_does_not_count(self, bench) -> None:
        self.answer(bench, entry(FOLDER), entry(f"{FOLDER}a", 1).replace("200 OK", "404 Not Found"))
        assert not bench.backend.list("index").proved_complete

    def test_an_object_that_went_away_meanwhile_is_left_out(self, bench) -> None:
        gone = f"<d:response><d:href>{FOLDER}a</d:href><d:status>HTTP/1.1 404 Not Found</d:status></d:response>"
        self.answer(bench, entry(FOLDER), gone, entry(f"{FOLDER}b", 1))
        listing = bench.backend.list("index")
        assert (names(listing), listing.proved_complete) == ({"index/b"}, True)

    def test_a_file_is_no_folder(self, bench) -> None:
        self.answer(bench, entry("/dav/backups/index", 5))
        assert not bench.backend.list("index").exists

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ("<d:multistatus xmlns:d='DAV:'><d:response><d:href>/dav/", ShortRead),
            ("", ShortRead),
            ("plainly not XML", ShortRead),
            ("<html xmlns='http://www.w3.org/1999/xhtml'/>", Unsupported),
            (
                "<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]>"
                "<d:multistatus xmlns:d='DAV:'><d:response><d:href>&b;</d:href></d:response></d:multistatus>",
                Unsupported,
            ),
            (
                "<!DOCTYPE d SYSTEM 'file:///etc/passwd'><d:multistatus xmlns:d='DAV:'/>",
                Unsupported,
            ),
            (f"<d:multistatus xmlns:d='DAV:'><d:response><d:href>{'a' * 70_000}</d:href></d:response></d:multistatus>",
             Unsupported),
            ("<d:multistatus xmlns:d='DAV:'><d:response/></d:multistatus>", Unsupported),
        ],
    )  # fmt: skip
    def test_broken_or_dangerous_xml_is_an_error(self, bench, body: str, expected: type[StorageError]) -> None:
        bench.server.behave(lambda _: httpx.Response(207, text=body, headers={"Content-Type": "application/xml"}))
        with pytest.raises(expected):
            bench.backend.list("index")

    def test_xml_that_is_cut_once_is_asked_for_again(self, bench, server) -> None:
        fill(server, 3)
        whole = multistatus(*server.entries(FOLDER)).text
        server.once("PROPFIND", httpx.Response(207, text=whole[: len(whole) // 2]))
        assert len(bench.backend.list("index").objects) == 3

    @pytest.mark.parametrize("text", ["<html><body>Sign in</body></html>", "  <!doctype html><p>Wi-Fi"])
    def test_a_captive_portal_is_not_an_empty_folder(self, bench, text: str) -> None:
        bench.server.behave(lambda _: httpx.Response(200, text=text, headers={"Content-Type": "text/html"}))
        with pytest.raises(Unsupported, match="web page"):
            bench.backend.list("index")


class TestRedirects:
    def test_a_question_is_followed_within_the_server(self, bench) -> None:
        moved = multistatus(entry("/real/index/"), entry("/real/index/a", 1))
        away = httpx.Response(301, headers={"Location": "/real/index/"})
        bench.server.behave(lambda r: moved if r.url.path == "/real/index/" else away)
        assert names(bench.backend.list("index")) == {"index/a"}
        assert bench.backend.requests.total == 2

    @pytest.mark.parametrize(
        "location",
        [
            "https://elsewhere.example.net/dav/",
            "http://dav.example.com/dav/backups/index/",
            "https://dav.example.com:8443/dav/backups/index/",
        ],
    )
    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_never_to_another_origin(self, bench, server, location: str, status: int) -> None:
        server.behave(lambda _: httpx.Response(status, headers={"Location": location}))
        with pytest.raises(Unsupported, match="It sends to"):
            bench.backend.list("index")
        with pytest.raises(Unsupported, match="It sends to"):
            bench.backend.put("config", b"c")
        assert {str(r.url.copy_with(path="/")) for r in server.requests} == {"https://dav.example.com/"}

    def test_a_write_is_not_sent_to_a_login_page(self, bench, server) -> None:
        server.behave(lambda r: httpx.Response(302, headers={"Location": "/login"}) if r.method == "PUT" else None)
        with pytest.raises(Unsupported, match="/login"):
            bench.backend.put("config", b"secret")
        assert server.log == ["PUT config"]

    def test_a_write_follows_where_the_server_says_so_clearly(self, bench, server) -> None:
        server.once("PUT", httpx.Response(307, headers={"Location": "/dav/backups/other"}))
        bench.backend.put("config", b"whole")
        assert server.objects == {"/dav/backups/other": b"whole"}

    def test_circles_end(self, bench, server) -> None:
        turn = iter(range(100))
        server.behave(lambda _: httpx.Response(301, headers={"Location": f"/dav/{next(turn)}/"}))
        with pytest.raises(Unsupported, match="circles"):
            bench.backend.list("index")
        assert len(server.log) <= 4


def test_a_refused_listing_is_an_error_and_not_an_empty_one(bench) -> None:
    bench.server.behave(lambda _: httpx.Response(403))
    with pytest.raises(AccessDenied):
        bench.backend.list("index")
