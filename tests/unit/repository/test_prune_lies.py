"""Whatever a server says of what it holds, and whenever it says it, pruning removes nothing that a backup needs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backup_core.errors import BackupError, ConnectionLost, ListingUnproved
from backup_core.format.layout import pack_directory
from backup_core.repository.prune_plan import PruneBounds
from backup_core.repository.prune_run import prune
from backup_core.storage.backend import Listing, ObjectInfo
from backup_core.storage.memory import MemoryBackend
from backup_core.testing.faults import FaultyBackend
from backup_core.testing.tally import Tally

from .test_prune_run import PACK, THOROUGH, assert_whole, kept  # noqa: F401 - "kept" is a fixture

Lie = Callable[[Listing], Listing]


def truncated(listing: Listing) -> Listing:
    return replace(listing, objects=listing.objects[: len(listing.objects) // 2])


def without_the_first(listing: Listing) -> Listing:
    return replace(listing, objects=listing.objects[1:])


def without_the_last(listing: Listing) -> Listing:
    return replace(listing, objects=listing.objects[:-1])


def empty(listing: Listing) -> Listing:
    return replace(listing, objects=())


def absent(listing: Listing) -> Listing:
    return Listing(listing.directory, (), exists=False)


def stale(listing: Listing) -> Listing:
    """As it was when something was there that is gone now."""
    ghost = ObjectInfo(
        f"{listing.directory}/{listing.directory[-2:] if '/' in listing.directory else 'fe'}" + "fe" * 31, 99
    )
    return replace(listing, objects=(*listing.objects, ghost))


def failing(listing: Listing) -> Listing:
    raise ConnectionLost("the line broke")


LIES: list[Lie] = [truncated, without_the_first, without_the_last, empty, absent, stale, failing]


class Liar(FaultyBackend):
    """Lies in the ``at``-th listing of a kind (all of them when that is None), and calls that the whole truth."""

    def __init__(self, server: MemoryBackend, directory: str, lie: Lie, at: int | None) -> None:
        super().__init__(server)
        self.asked = 0
        self._directory, self._lie, self._at = directory, lie, at

    def list(self, directory: str) -> Listing:
        listing = super().list(directory)
        if directory.split("/")[0] != self._directory or not (listing.objects or self._lie is stale):
            return listing
        number, self.asked = self.asked, self.asked + 1
        return self._lie(listing) if self._at in (None, number) else listing


def _times() -> Iterator[tuple[str, int | None]]:
    for directory, listings in (("snapshots", 5), ("index", 6), ("data", 3), ("locks", 3)):
        yield from ((directory, at) for at in (*range(listings), None))


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_nothing_needed_goes_whatever_a_listing_says(place: Any, kept: list[Any], lie: Lie, tmp_path: Path) -> None:  # noqa: F811
    objects = dict(place.server.objects)
    known = [stored.snapshot for stored in kept]
    for number, (directory, at) in enumerate(_times()):
        server = MemoryBackend()
        server.objects |= objects
        cache = tmp_path / f"cache{number}"
        shutil.copytree(place.cache, cache)
        with (
            place.open(Liar(server, directory, lie, at), cache=cache, pack_size=PACK, upload_threads=1) as repository,
            suppress(BackupError),
        ):
            prune(repository, THOROUGH, known=known)
        with place.open(server, cache=tmp_path / f"elsewhere{number}") as elsewhere:
            assert_whole(elsewhere, kept)
            assert elsewhere.check_packs() == []
        shutil.rmtree(cache)
    tally = Tally()
    tally.add(lies=len(list(_times())))
    tally.write(f"listings that are {lie.__name__}")


def test_a_hidden_snapshot_is_asked_for_by_name(place: Any, kept: list[Any]) -> None:  # noqa: F811
    known = [stored.snapshot for stored in kept]
    before = dict(place.server.objects)
    backend = Liar(place.server, "snapshots", without_the_first, None)
    with place.open(backend, pack_size=PACK) as repository:
        with pytest.raises(ListingUnproved, match="its listing does not show it"):
            prune(repository, THOROUGH, known=known)
        with pytest.raises(ListingUnproved, match="its listing does not show it"):
            prune(repository, THOROUGH, known=known, dry_run=True)
    assert place.server.objects == before
    with place.open(pack_size=PACK) as repository:
        prune(repository, THOROUGH, known=[*known, "ab" * 32])
        assert_whole(repository, kept)


def test_requests_are_bounded_and_the_next_prune_carries_on(place: Any, kept: list[Any]) -> None:  # noqa: F811
    place.server.put("data/00/" + "00" * 32, b"left by a run that was killed")
    with place.open(pack_size=PACK) as repository:
        whole = prune(repository, THOROUGH, dry_run=True).plan
    assert sum(whole.requests.values()) > 9
    freed, turns = 0, 0
    while turns < 40:
        with place.open(pack_size=PACK) as repository:
            bounds = PruneBounds(max_unused_share=0, max_requests=9)
            plan = prune(repository, bounds, dry_run=True).plan
            assert sum(plan.requests.values()) <= 9
            if plan.nothing_to_do:
                break
            before = repository.backend.requests.by_method.copy()
            prune(repository, bounds)
            changed = repository.backend.requests.by_method - before
            assert changed["DELETE"] <= 9 + 2, "two of them are for locks"
            assert_whole(repository, kept)
        freed += plan.bytes_freed
        turns += 1
    assert turns > 1
    assert freed == pytest.approx(whole.bytes_freed, rel=0.2)
    with place.open(pack_size=PACK) as repository:
        assert_whole(repository, kept)
        assert repository.unreferenced_packs() == {}


def test_nothing_at_all_fits_into_no_requests(place: Any, kept: list[Any]) -> None:  # noqa: F811
    before = dict(place.server.objects)
    with place.open(pack_size=PACK) as repository:
        report = prune(repository, PruneBounds(max_unused_share=0, max_requests=0))
        assert report.plan.nothing_to_do
        assert report.plan.bytes_unused_after > 0
    assert place.server.objects == before


def test_copying_is_bounded(place: Any, kept: list[Any]) -> None:  # noqa: F811
    with place.open(pack_size=PACK) as repository:
        whole = prune(repository, THOROUGH, dry_run=True).plan
        least = min(use.needed_bytes for use in whole.repack)
        part = prune(repository, PruneBounds(max_unused_share=0, max_repack_bytes=least), dry_run=True).plan
        assert 0 < part.bytes_copied <= least < whole.bytes_copied
        assert {pack_directory(use.pack) for use in part.repack} <= {pack_directory(use.pack) for use in whole.repack}
