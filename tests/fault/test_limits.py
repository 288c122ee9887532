"""Servers that want fewer requests: waits are long enough, visible, shared, and end."""

from __future__ import annotations

import threading
from datetime import timedelta
from email.utils import format_datetime

import httpx
import pytest

from backup_core.errors import AccessDenied, Cancelled, NotFound, QuotaExceeded, RateLimited, ServerFailure
from backup_core.storage.retry import RetryPolicy
from backup_core.testing.fake_webdav import NUTSTORE_BLOCK, entry, error_body, multistatus


def blocked_for(bench, minutes):
    """Answer everything with Nutstore's block until so many minutes have passed."""
    end = bench.clock.monotonic() + minutes * 60
    bench.server.behave(lambda _: httpx.Response(503, text=NUTSTORE_BLOCK) if bench.clock.monotonic() < end else None)


def test_a_block_of_half_an_hour_is_waited_out(bench) -> None:
    bench.open(service_type="nutstore")
    bench.server.folders.add("/dav/backups/data/")
    blocked_for(bench, 30)
    bench.backend.put("data/pack", b"x" * 1000)
    assert bench.server.objects["/dav/backups/data/pack"] == b"x" * 1000
    assert 30 * 60 <= bench.slept <= 40 * 60
    assert len(bench.server.log) < 15, "each request during a block counts as well"
    assert "waiting 5 min for the request window" in bench.said
    assert bench.said[-1] == ""


def test_a_block_is_seen_without_the_profile_too(bench) -> None:
    blocked_for(bench, 10)
    assert bench.backend.list("").exists
    assert bench.slept >= 600


def test_a_block_beyond_the_deadline_ends_in_a_clear_error(bench) -> None:
    bench.open(service_type="nutstore")
    blocked_for(bench, 90)
    with pytest.raises(RateLimited, match=r"used up its requests.*given up after .* tries in 4\d min"):
        bench.backend.get("config")
    assert bench.slept <= 46 * 60


@pytest.mark.parametrize("status", [429, 503, 509])
def test_retry_after_in_seconds_is_obeyed(bench, status: int) -> None:
    bench.server.objects["/dav/backups/config"] = b"c"
    bench.server.once("GET", httpx.Response(status, headers={"Retry-After": "700"}))
    assert bench.backend.get("config") == b"c"
    assert 700 <= bench.slept < 702
    assert bench.said[0] == "waiting 12 min for the request window"


def test_retry_after_as_a_date_is_read_on_the_servers_clock(bench) -> None:
    bench.server.objects["/dav/backups/config"] = b"c"
    servers_now = bench.clock.now() + timedelta(hours=3)  # its clock is wrong
    headers = {
        "Date": format_datetime(servers_now, usegmt=True),
        "Retry-After": format_datetime(servers_now + timedelta(minutes=7), usegmt=True),
    }
    bench.server.once("GET", httpx.Response(429, headers=headers))
    assert bench.backend.get("config") == b"c"
    assert 419 <= bench.slept < 423


def test_a_wait_that_would_outlast_the_deadline_is_not_begun(bench) -> None:
    bench.server.once("GET", httpx.Response(429, headers={"Retry-After": "86400"}))
    with pytest.raises(RateLimited) as caught:
        bench.backend.get("config")
    assert bench.slept == 0
    assert caught.value.until == bench.clock.now() + timedelta(days=1)


def test_what_one_thread_learns_holds_back_the_others(bench) -> None:
    bench.server.objects["/dav/backups/config"] = b"c"
    bench.server.once("GET", httpx.Response(429, headers={"Retry-After": "600"}))
    first = threading.Thread(target=lambda: bench.backend.get("config"))
    first.start()
    first.join()
    bench.clock.slept.clear()
    bench.backend._retrier._open_again = bench.clock.monotonic() + 300
    bench.backend.get("config")
    assert bench.slept >= 300, "a second caller waits too, without asking first"
    assert bench.server.log == ["GET config"] * 3


def test_waiting_ends_at_once_when_the_caller_cancels(bench) -> None:
    def cancel_soon(_):
        bench.cancel.cancel("stop, please")
        return httpx.Response(429, headers={"Retry-After": "600"})

    bench.server.behave(cancel_soon)
    with pytest.raises(Cancelled, match="stop, please"):
        bench.backend.get("config")
    assert bench.slept == 0


def test_server_errors_are_tried_again_with_growing_waits(bench) -> None:
    bench.server.objects["/dav/backups/config"] = b"c"
    for status in (500, 502, 504, 520, 423, 425, 408):
        bench.server.once("GET", httpx.Response(status))
    assert bench.backend.get("config") == b"c"
    assert bench.clock.slept[:5] == [1, 2, 4, 8, 16]
    assert bench.slept == 1 + 2 + 4 + 8 + 16 + 32 + 60


def test_a_server_that_stays_out_of_order_is_given_up(bench) -> None:
    bench.server.behave(
        lambda _: httpx.Response(503, text=error_body("ServiceUnavailable", "System in maintenance mode."))
    )
    with pytest.raises(ServerFailure, match=r"maintenance mode.*given up"):
        bench.backend.get("config")
    assert 40 * 60 < bench.slept <= 46 * 60


@pytest.mark.parametrize("code", ["TrafficRateExhausted", "StorageQuotaExhausted", "StorageSpaceExhausted"])
def test_used_up_quotas_are_not_tried_again(bench, code: str) -> None:
    bench.server.behave(lambda _: httpx.Response(403, text=error_body(code)))
    with pytest.raises(QuotaExceeded, match=code):
        bench.backend.put("config", b"c")
    assert len(bench.server.log) == 1


def test_a_refused_login_is_not_tried_again_and_says_what_to_do(bench) -> None:
    bench.open(service_type="nutstore")
    bench.server.behave(lambda _: httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="x"'}))
    with pytest.raises(AccessDenied, match="application password"):
        bench.backend.get("config")
    assert bench.slept == 0


def test_a_missing_object_during_a_block_is_not_believed(bench) -> None:
    """Some servers say 404 of everything while they block an account."""
    server = bench.server
    bench.open(service_type="nutstore")
    server.objects["/dav/backups/config"] = b"c"
    server.once("GET", lambda _: httpx.Response(503, text=NUTSTORE_BLOCK))
    bench.backend.get("config")
    server.once("GET", lambda _: httpx.Response(404, text=error_body("ObjectNotFound")), times=3)
    assert bench.backend.get("config") == b"c"


def test_a_really_missing_object_is_missing_soon_after_a_block_too(bench) -> None:
    bench.server.once("GET", lambda _: httpx.Response(503, text=NUTSTORE_BLOCK))
    with pytest.raises(NotFound):
        bench.backend.get("config")


def test_a_false_404_of_a_folder_is_not_believed(bench) -> None:
    server = bench.server
    server.folders.add("/dav/backups/snapshots/")
    server.objects["/dav/backups/snapshots/one"] = b"1"

    def hide(request):
        return httpx.Response(404) if request.url.path.endswith("/snapshots/") else None

    server.behave(hide)
    with pytest.raises(ServerFailure, match="lists it one folder above"):
        bench.open(retry=RetryPolicy(deadline=30)).list("snapshots")
    server.behaviours.remove(hide)
    assert [o.name for o in bench.backend.list("snapshots").objects] == ["snapshots/one"]


def test_a_missing_folder_is_proved_by_one_listing_for_all(bench) -> None:
    for directory in ("snapshots", "index", "locks"):
        listing = bench.backend.list(directory)
        assert (listing.exists, listing.proved_complete) == (False, True)
    assert bench.server.log == [
        "PROPFIND snapshots/",
        "PROPFIND ",
        "PROPFIND index/",
        "PROPFIND locks/",
    ]


def test_a_missing_root_is_proved_by_the_folder_above_it(bench) -> None:
    backend = bench.open("https://dav.example.com/dav/backups/new/place/")
    listing = backend.list("")
    assert (listing.exists, listing.proved_complete) == (False, True)


@pytest.mark.parametrize("above", [403, 405, 404, 200])
def test_an_address_where_nothing_answers_as_webdav_proves_nothing(bench, above: int) -> None:
    page = {"Content-Type": "text/html"}

    def wrong(request):
        gone = request.url.path.startswith("/wrong")
        return httpx.Response(404) if gone else httpx.Response(above, text="<html>hello</html>", headers=page)

    bench.server.behave(wrong)
    listing = bench.open("https://dav.example.com/wrong/place/").list("")
    assert (listing.exists, listing.proved_complete) == (True, False)
    assert listing.doubt


def test_negative_and_absent_quotas_are_unknown(bench) -> None:
    prop = "<d:prop><d:quota-available-bytes>{}</d:quota-available-bytes></d:prop>"
    quota = f"<d:propstat>{prop}<d:status>{{}}</d:status></d:propstat>"
    for value, status, expected in (
        ("-3", "HTTP/1.1 200 OK", None),
        ("5", "HTTP/1.1 404 No", None),
        ("5", "HTTP/1.1 200 OK", 5),
    ):
        answer = multistatus(entry("/dav/backups/", extra=quota.format(value, status)))
        bench.server.once("PROPFIND", answer)
        assert bench.backend.space().available == expected
