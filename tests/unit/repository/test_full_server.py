"""On a server that takes no more, room can still be given back."""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from backup_core.errors import QuotaExceeded
from backup_core.repository import reserve
from backup_core.repository.prune_plan import PruneBounds
from backup_core.repository.prune_run import prune
from backup_core.repository.repository import Repository
from backup_core.storage.memory import MemoryBackend
from backup_core.testing.faults import FaultyBackend, PowerCut, every_fault
from backup_core.testing.full_server import LimitedBackend

THOROUGH = PruneBounds(max_unused_share=0)


def contents_of(seed: int, count: int = 8) -> list[bytes]:
    made = random.Random(seed)
    return [made.randbytes(600 + 50 * at) for at in range(count)]


@pytest.fixture
def kept(place: Any, store: Callable[..., Any]) -> list[Any]:
    """Backups that stay, and two that are forgotten and shared a part of their files with them."""
    repository = place.open(pack_size=4000)
    reserve.set_aside(place.server)
    stored = [store(repository, [*contents_of(1), *contents_of(3)])]
    mixed = [content for pair in zip(contents_of(2, 30), contents_of(4, 30), strict=True) for content in pair]
    gone = [store(repository, [*mixed, *contents_of(3)]), store(repository, [*contents_of(5, 20), *contents_of(6, 20)])]
    stored.append(store(repository, [*contents_of(4), *contents_of(1)[:3], *contents_of(6, 20)]))
    with repository.lock(exclusive=True):
        for one in gone:
            repository.remove_snapshot(one.snapshot)
    repository.close()
    return stored


def full(server: MemoryBackend, spare: int = 0) -> LimitedBackend:
    taken = sum(map(len, server.objects.values()))
    return LimitedBackend(server, taken + spare, used=taken)


def assert_whole(repository: Repository, kept: list[Any]) -> None:
    snapshots = {snapshot.id: snapshot for snapshot in repository.snapshots()}
    assert snapshots.keys() == {stored.snapshot for stored in kept}
    repository.load_index()
    for stored in kept:
        nodes = repository.read_tree(snapshots[stored.snapshot].tree)
        assert [repository.read_blob(blob) for node in nodes for blob in node.content or ()] == stored.contents
    assert repository.check_packs() == []


def test_pruning_finds_room_in_the_reserve(place: Any, kept: list[Any]) -> None:
    backend = full(place.server)
    repository = place.open(backend, pack_size=4000)
    report = prune(repository, THOROUGH)
    assert report.packs_removed and backend.refused
    assert not reserve.is_there(backend)
    assert backend.used < backend.quota - reserve.SIZE - 20_000
    assert_whole(repository, kept)


def test_forgetting_finds_room_in_the_reserve(place: Any, kept: list[Any]) -> None:
    repository = place.open(full(place.server))
    with repository.lock(exclusive=True):
        repository.remove_snapshot(kept[0].snapshot)
    assert len(repository.snapshots()) == 1


def test_a_backup_does_not_take_the_reserve(place: Any, kept: list[Any]) -> None:
    backend = full(place.server)
    with pytest.raises(QuotaExceeded), place.open(backend).lock():
        pass
    assert reserve.is_there(backend)


def test_without_a_reserve_each_step_makes_room_for_the_next(place: Any, kept: list[Any], tmp_path: Path) -> None:
    place.server.delete(reserve.NAME)
    whole, outcomes = dict(place.server.objects), []
    for spare in range(250, 4000, 250):
        server = MemoryBackend()
        server.objects.update(whole)
        backend = full(server, spare=spare)
        with place.open(backend, cache=tmp_path / f"cache{spare}", pack_size=4000) as repository:
            try:
                prune(repository, PruneBounds(max_unused_share=None))
            except QuotaExceeded:
                outcomes.append("refused")
            else:
                outcomes.append("in steps" if backend.refused else "at once")
            assert_whole(repository, kept)
            assert not [name for name in server.objects if name.startswith("locks/")]
    # The less room there is, the less can be done; in steps, less room is enough.
    assert outcomes == sorted(outcomes, key=["refused", "in steps", "at once"].index)
    assert outcomes.count("in steps") >= 2


def test_packs_that_an_interrupted_backup_left_go_first(place: Any, kept: list[Any]) -> None:
    place.server.delete(reserve.NAME)
    backend = full(place.server, spare=3000)
    orphan = random.Random(9).randbytes(2000)
    backend.put(f"data/{sha256(orphan).hexdigest()[:2]}/{sha256(orphan).hexdigest()}", orphan)
    repository = place.open(backend, pack_size=4000)
    assert len(prune(repository, PruneBounds(max_unused_share=None)).plan.orphans) == 1
    assert_whole(repository, kept)


def test_cut_off_anywhere_nothing_needed_is_lost(place: Any, kept: list[Any], tmp_path: Path) -> None:
    whole = dict(place.server.objects)

    def server() -> LimitedBackend:
        made = MemoryBackend()
        made.objects.update(whole)
        return full(made)

    counting = FaultyBackend(server())
    prune(place.open(counting, cache=tmp_path / "counting", pack_size=4000, upload_threads=1), THOROUGH)
    for number, fault in enumerate(every_fault(counting.count())):
        backend = server()
        cache = tmp_path / f"cache{number}"
        cut = place.open(FaultyBackend(backend, fault), cache=cache, pack_size=4000, upload_threads=1)
        with cut, pytest.raises(PowerCut):
            prune(cut, THOROUGH)
        again = place.open(backend, cache=cache, pack_size=4000)
        again.unlock(remove_all=True)
        prune(again, THOROUGH)
        assert_whole(again, kept)
