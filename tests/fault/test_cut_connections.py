"""Connections cut at chosen bytes in front of a real server, one that keeps cut uploads under their final name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from backup_core.clock import SystemClock
from backup_core.storage.options import BackendOptions
from backup_core.storage.retry import RetryPolicy
from backup_core.storage.webdav.backend import WebDAVBackend
from backup_core.testing.cutting_proxy import Cut, CuttingProxy
from backup_core.testing.webdav_server import WebDAVServer

PACK = bytes(range(256)) * 4096
PATIENT = RetryPolicy(first_wait=0.01, longest_wait=0.1, deadline=60.0)


@contextmanager
def behind_proxy(dav: WebDAVServer, plan: Callable[[int], Cut]) -> Iterator[WebDAVBackend]:
    port = int(dav.url.rsplit(":", 1)[1].strip("/"))
    with CuttingProxy(("127.0.0.1", port), plan) as proxy:
        backend = WebDAVBackend(
            f"http://127.0.0.1:{proxy.port}/",
            username=dav.username,
            password=dav.password,
            options=BackendOptions(retry=PATIENT),
            clock=SystemClock(),
        )
        yield backend
        backend.close()


@pytest.mark.parametrize("after", [0, 1, 200, 5_000, 300_000, len(PACK) - 1])
def test_an_upload_cut_at_any_byte_ends_whole(dav: WebDAVServer, after: int) -> None:
    with behind_proxy(dav, lambda number: Cut(after_up=after) if number == 0 else Cut()) as backend:
        backend.put("pack", PACK)
    assert (dav.root / "pack").read_bytes() == PACK


def test_several_cuts_in_a_row(dav: WebDAVServer) -> None:
    with behind_proxy(
        dav, lambda number: Cut(after_up=200_000) if number % 2 == 0 and number < 6 else Cut()
    ) as backend:
        backend.put("pack", PACK)
    assert (dav.root / "pack").read_bytes() == PACK


def test_an_upload_whose_answer_is_lost_is_not_sent_again(dav: WebDAVServer) -> None:
    with behind_proxy(dav, lambda number: Cut(after_down=0) if number == 0 else Cut()) as backend:
        backend.put("pack", PACK)
    assert (dav.root / "pack").read_bytes() == PACK
    assert dav.requests["PUT"] <= 2


@pytest.mark.parametrize("after", [0, 50, 1_000, 500_000])
def test_a_download_cut_at_any_byte_ends_whole(dav: WebDAVServer, after: int) -> None:
    (dav.root / "pack").write_bytes(PACK)
    with behind_proxy(dav, lambda number: Cut(after_down=after) if number < 3 else Cut()) as backend:
        assert backend.get("pack") == PACK
        assert backend.get("pack", offset=77, length=600_000) == PACK[77:600_077]


def test_a_listing_cut_in_the_middle_is_never_a_short_listing(dav: WebDAVServer) -> None:
    for number in range(40):
        (dav.root / f"{number:02}").write_bytes(b"x")
    with behind_proxy(dav, lambda number: Cut(after_down=1500) if number < 3 else Cut()) as backend:
        listing = backend.list("")
    assert len(listing.objects) == 40
    assert listing.proved_complete


def test_a_folder_whose_making_is_not_confirmed(dav: WebDAVServer) -> None:
    with behind_proxy(dav, lambda number: Cut(after_down=0) if number in (1, 2) else Cut()) as backend:
        backend.list("")
        backend.put("data/00/pack", PACK)
    assert (dav.root / "data/00/pack").read_bytes() == PACK
