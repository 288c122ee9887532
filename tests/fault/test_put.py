"""Putting one object exactly once, whatever becomes of the answer."""

from __future__ import annotations

import itertools

import httpx
import pytest

from backup_core.errors import (
    AccessDenied,
    AmbiguousReply,
    ConnectionLost,
    NotFound,
    ObjectTooLarge,
    QuotaExceeded,
    StorageError,
    Unsupported,
)
from backup_core.testing.fake_webdav import error_body

PACK = bytes(range(256)) * 4096
"""One MiB: large enough that nothing is sent in vain to find out whether a folder exists."""
PATH = "/dav/backups/data/00/pack"
HTML = {"Content-Type": "text/html; charset=utf-8"}


@pytest.fixture
def server(bench):
    bench.server.folders |= {"/dav/backups/data/", "/dav/backups/data/00/"}
    bench.backend.directories_exist(["data/00"])
    return bench.server


def test_one_request_in_the_usual_case(bench, server) -> None:
    bench.backend.put("data/00/pack", PACK)
    assert server.log == ["PUT data/00/pack"]
    headers = server.requests[0].headers
    assert headers["content-length"] == str(len(PACK))
    assert "transfer-encoding" not in headers
    assert headers["accept-encoding"] == "identity"
    assert headers["user-agent"].startswith("davault/")
    assert headers["authorization"].startswith("Basic ")


def test_an_answer_lost_after_the_object_was_stored_costs_one_question(bench, server) -> None:
    def store_and_break(request):
        server.answer(request)
        raise httpx.ReadTimeout("no answer")

    server.once("PUT", store_and_break)
    bench.backend.put("data/00/pack", PACK)
    assert server.log == ["PUT data/00/pack", "PROPFIND data/00/pack"]


@pytest.mark.parametrize(
    "error",
    [httpx.WriteError("reset"), httpx.ReadError("reset"), httpx.RemoteProtocolError("disconnected"),
     httpx.WriteTimeout("stalled")],
)  # fmt: skip
def test_a_cut_upload_that_left_half_an_object_is_sent_again(bench, server, error: Exception) -> None:
    def store_half_and_break(request):
        server.objects[PATH] = request.content[: len(PACK) // 2]
        raise error

    server.once("PUT", store_half_and_break)
    bench.backend.put("data/00/pack", PACK)
    assert server.objects[PATH] == PACK
    assert server.log == ["PUT data/00/pack", "PROPFIND data/00/pack", "PUT data/00/pack"]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_error_after_the_object_was_stored_is_settled_by_its_size(bench, server, status: int) -> None:
    def store_and_fail(request):
        server.answer(request)
        return httpx.Response(status)

    server.once("PUT", store_and_fail)
    bench.backend.put("data/00/pack", PACK)
    assert server.log == ["PUT data/00/pack", "PROPFIND data/00/pack"]


def test_a_question_that_fails_is_asked_again_before_anything_is_sent(bench, server) -> None:
    def store_and_break(request):
        server.answer(request)
        raise httpx.ReadError("reset")

    server.once("PUT", store_and_break)
    server.once("PROPFIND", httpx.ConnectError("down"), times=3)
    bench.backend.put("data/00/pack", PACK)
    assert [line.split()[0] for line in server.log] == ["PUT", *["PROPFIND"] * 4]


def test_a_connection_that_never_was_needs_no_question(bench, server) -> None:
    server.once("PUT", httpx.ConnectError("refused"))
    bench.backend.put("data/00/pack", PACK)
    assert server.log == ["PUT data/00/pack"] * 2


def test_uploads_that_always_break_while_the_server_answers_end_in_advice(bench, server) -> None:
    server.once("PUT", httpx.WriteError("reset"), times=99)
    with pytest.raises(ConnectionLost, match="smaller pack size") as caught:
        bench.backend.put("data/00/pack", PACK)
    assert not caught.value.transient
    assert len(server.log) <= 20


def test_a_server_that_falls_silent_is_given_up_at_the_deadline(bench, server) -> None:
    bench.backend.list("")
    server.behave(lambda _: (_ for _ in ()).throw(httpx.ReadTimeout("silence")))
    with pytest.raises((AmbiguousReply, ConnectionLost), match="given up"):
        bench.backend.put("data/00/pack", PACK)
    assert 40 * 60 < bench.slept < 46 * 60


def test_an_address_that_was_never_reached_is_given_up_soon(bench, server) -> None:
    server.behave(lambda _: (_ for _ in ()).throw(httpx.ConnectError("no such host")))
    with pytest.raises(ConnectionLost, match=r"cannot be reached.*given up"):
        bench.backend.get("config")
    assert bench.slept <= 90


def test_a_login_page_instead_of_the_server_is_not_a_stored_object(bench, server) -> None:
    server.behave(lambda _: httpx.Response(200, text="<html>Please log in", headers=HTML))
    with pytest.raises(Unsupported, match="web page"):
        bench.backend.put("data/00/pack", PACK)


def test_a_page_that_confirms_the_creation_is_fine(bench, server) -> None:
    def created(request):
        server.answer(request)
        return httpx.Response(201, text="<!DOCTYPE HTML><title>201 Created</title>", headers=HTML)

    server.once("PUT", created)
    bench.backend.put("data/00/pack", PACK)
    assert len(server.log) == 1


def test_accepted_for_later_is_not_stored_yet(bench, server) -> None:
    def later(request):
        server.answer(request)
        return httpx.Response(202)

    server.once("PUT", later)
    bench.backend.put("data/00/pack", PACK)
    assert server.log == ["PUT data/00/pack", "PROPFIND data/00/pack"]


@pytest.mark.parametrize(
    ("answer", "expected", "advice"),
    [
        (httpx.Response(413), ObjectTooLarge, "smaller pack size"),
        (httpx.Response(403, text=error_body("TooBigEntity")), ObjectTooLarge, "smaller pack size"),
        (httpx.Response(507), QuotaExceeded, "free some"),
        (httpx.Response(403), AccessDenied, "rights"),
        (httpx.Response(403, text=error_body("SandboxAccessDenied")), AccessDenied, "does not open this folder"),
        (httpx.Response(401), AccessDenied, "password"),
        (httpx.Response(405), Unsupported, "no WebDAV folder"),
        (httpx.Response(411), Unsupported, "length"),
        (httpx.Response(409, text=error_body("DuplicateName")), StorageError, "DuplicateName"),
    ],
)
def test_refusals_are_final_and_say_what_to_do(bench, server, answer, expected, advice: str) -> None:
    server.behave(lambda request: answer if request.method == "PUT" else None)
    with pytest.raises(expected, match=advice) as caught:
        bench.backend.put("data/00/pack", PACK)
    assert caught.value.key == "data/00/pack"
    assert not caught.value.transient
    assert server.log == ["PUT data/00/pack"]


def test_an_object_above_the_providers_limit_is_not_even_sent(bench) -> None:
    backend = bench.open(service_type="nutstore", max_object_size=1000)
    with pytest.raises(ObjectTooLarge, match="1000"):
        backend.put("data/00/pack", PACK)
    assert bench.server.log == []


def test_a_lock_left_by_an_aborted_upload_is_waited_out(bench, server) -> None:
    server.once("PUT", httpx.Response(423, text=error_body("FileLocked")), times=6)
    bench.backend.put("data/00/pack", PACK)
    assert server.objects[PATH] == PACK
    assert bench.slept > 60


class TestFolders:
    """Folders are made when missing, remembered, and cost no body sent in vain."""

    def test_what_a_listing_showed_missing_is_made_before_the_object_is_sent(self, bench) -> None:
        bench.backend.list("")
        bench.server.log.clear()
        bench.backend.put("data/3f/pack", PACK)
        bench.backend.put("data/3f/other", PACK)
        bench.backend.put("data/40/pack", PACK)
        assert bench.server.log == [
            "MKCOL data/", "MKCOL data/3f/", "PUT data/3f/pack", "PUT data/3f/other",
            "MKCOL data/40/", "PUT data/40/pack",
        ]  # fmt: skip

    def test_nothing_known_and_a_large_object_costs_one_listing(self, bench) -> None:
        bench.server.folders |= {"/dav/backups/data/", "/dav/backups/data/00/"}
        bench.backend.put("data/00/a", PACK)
        bench.backend.put("data/01/b", PACK)
        assert bench.server.log == ["PROPFIND data/", "PUT data/00/a", "MKCOL data/01/", "PUT data/01/b"]

    def test_nothing_known_and_a_small_object_is_just_tried(self, bench) -> None:
        bench.backend.put("keys/one", b"k")
        assert bench.server.log == ["PUT keys/one", "MKCOL keys/", "PUT keys/one"]

    def test_a_hint_saves_the_listing(self, bench) -> None:
        bench.server.folders |= {"/dav/backups/data/", "/dav/backups/data/00/"}
        bench.backend.directories_exist(["data/00"])
        bench.backend.put("data/00/a", PACK)
        bench.backend.put("data/01/b", PACK)
        assert bench.server.log == ["PUT data/00/a", "MKCOL data/01/", "PUT data/01/b"]

    def test_a_wrong_hint_only_costs_requests(self, bench) -> None:
        bench.backend.directories_exist(["data/00"])
        bench.backend.put("data/00/a", PACK)
        assert bench.server.objects["/dav/backups/data/00/a"] == PACK

    @pytest.mark.parametrize("status", [404, 409, 500])
    def test_every_way_of_saying_that_the_folder_is_missing(self, bench, status: int) -> None:
        bench.server.missing_parent = status
        bench.backend.put("keys/one", b"k")
        assert bench.server.objects == {"/dav/backups/keys/one": b"k"}

    def test_the_users_folder_itself_and_those_above_are_made_too(self, bench) -> None:
        backend = bench.open("https://dav.example.com/dav/backups/deep/deeper/")
        backend.put("config", b"c")
        assert bench.server.objects == {"/dav/backups/deep/deeper/config": b"c"}

    def test_a_new_folder_that_takes_a_moment_to_appear(self, bench) -> None:
        tries = itertools.count()
        bench.server.behave(
            lambda r: (
                httpx.Response(409, text=error_body("AncestorsNotFound"))
                if r.method == "PUT" and next(tries) < 3
                else None
            )
        )
        bench.backend.put("keys/one", b"k")
        assert bench.server.objects == {"/dav/backups/keys/one": b"k"}
        assert 0 < bench.slept < 5

    def test_a_folder_that_takes_no_objects_ends_in_advice(self, bench) -> None:
        bench.server.behave(lambda r: httpx.Response(404) if r.method == "PUT" else None)
        with pytest.raises(NotFound, match="choose another"):
            bench.backend.put("config", b"c")
        assert len(bench.server.log) < 30

    @pytest.mark.parametrize("status", [405, 301, 409, 403])
    def test_every_way_of_saying_that_a_folder_exists(self, bench, status: int) -> None:
        bench.backend.list("")
        bench.server.folders.add("/dav/backups/keys/")
        code = "DuplicateName" if status == 409 else "OperationNotAllowed"
        body = {"text": error_body(code)} if status in (403, 409) else {"headers": {"Location": "/dav/backups/keys/"}}
        bench.server.behave(lambda r: httpx.Response(status, **body) if r.method == "MKCOL" else None)
        bench.backend.put("keys/one", b"k")
        assert bench.server.objects == {"/dav/backups/keys/one": b"k"}

    @pytest.mark.parametrize("status", [201, 200, 204])
    def test_a_server_that_always_says_created(self, bench, status: int) -> None:
        bench.backend.list("")
        bench.server.folders.add("/dav/backups/keys/")
        bench.server.behave(lambda r: httpx.Response(status) if r.method == "MKCOL" else None)
        bench.backend.put("keys/one", b"k")
        assert bench.server.objects == {"/dav/backups/keys/one": b"k"}

    def test_a_folder_that_may_not_be_made(self, bench) -> None:
        bench.backend.list("")
        bench.server.behave(lambda r: httpx.Response(403) if r.method == "MKCOL" else None)
        with pytest.raises(AccessDenied):
            bench.backend.put("keys/one", b"k")

    @pytest.mark.parametrize("status", [423, 502, 503])
    def test_a_passing_trouble_while_making_a_folder(self, bench, status: int) -> None:
        bench.backend.list("")
        bench.server.once("MKCOL", httpx.Response(status), times=2)
        bench.backend.put("keys/one", b"k")
        assert bench.server.objects == {"/dav/backups/keys/one": b"k"}

    def test_the_answer_to_making_a_folder_is_lost(self, bench) -> None:
        bench.backend.list("")

        def make_and_break(request):
            bench.server.answer(request)
            raise httpx.ReadError("reset")

        bench.server.once("MKCOL", make_and_break)
        bench.backend.put("keys/one", b"k")
        assert bench.server.log[1:] == ["MKCOL keys/", "MKCOL keys/", "PUT keys/one"]

    def test_folders_removed_by_somebody_else_are_made_again(self, bench) -> None:
        bench.backend.put("keys/one", b"k")
        bench.server.folders.remove("/dav/backups/keys/")
        bench.backend.put("keys/two", b"k")
        assert "/dav/backups/keys/two" in bench.server.objects


class TestDelete:
    def test_a_lost_answer_is_asked_for_again(self, bench, server) -> None:
        server.objects[PATH] = PACK

        def delete_and_break(request):
            server.answer(request)
            raise httpx.ReadError("reset")

        server.once("DELETE", delete_and_break)
        bench.backend.delete("data/00/pack")
        assert server.log == ["DELETE data/00/pack"] * 2

    @pytest.mark.parametrize("status", [404, 410, 409])
    def test_what_is_gone_is_gone(self, bench, server, status: int) -> None:
        server.once("DELETE", httpx.Response(status, text=error_body("AncestorsNotFound")))
        bench.backend.delete("data/00/pack")

    def test_a_refusal_hidden_in_a_multistatus_is_seen(self, bench, server) -> None:
        body = (
            '<d:multistatus xmlns:d="DAV:"><d:response><d:href>/x</d:href>'
            "<d:status>HTTP/1.1 403 Forbidden</d:status></d:response></d:multistatus>"
        )
        server.once("DELETE", httpx.Response(207, text=body))
        with pytest.raises(AccessDenied):
            bench.backend.delete("data/00/pack")

    def test_a_login_page_deletes_nothing(self, bench, server) -> None:
        server.once("DELETE", httpx.Response(200, text="<html>Please log in", headers=HTML))
        with pytest.raises(Unsupported, match="web page"):
            bench.backend.delete("data/00/pack")
