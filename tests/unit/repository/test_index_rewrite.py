"""Merging index files, and taking packs off the index that were lost and replaced."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backup_core.format.ids import from_hex
from backup_core.format.index_file import decode_index
from backup_core.format.layout import FileKind
from backup_core.progress import CancelToken
from backup_core.repository import index_rewrite
from backup_core.repository.index_rewrite import MERGE_AT, merge_small, tend_index
from backup_core.repository.repository import Repository
from backup_core.storage.backend import Promises
from backup_core.storage.memory import MemoryBackend
from backup_core.testing.faults import FaultyBackend, PowerCut, every_fault
from backup_core.types import PackId


def fill(place: Any, store: Callable[..., Any], backups: int, **options: Any) -> list[Any]:
    with place.open(**options) as repository:
        return [store(repository, [os.urandom(300) for _ in range(3)]) for _ in range(backups)]


def assert_all_readable(place: Any, stored: list[Any], cache: Path, server: Any = None) -> None:
    with place.open(server, cache=cache) as repository:
        snapshots = {snapshot.id for snapshot in repository.snapshots()}
        assert snapshots == {one.snapshot for one in stored}
        repository.load_index(problems=[])
        for one in stored:
            assert [repository.read_blob(blob) for blob in one.blobs] == one.contents
            assert len(repository.read_tree(one.tree)) == len(one.blobs)


def listed(repository: Repository) -> set[PackId]:
    files = repository.files
    names = files.list(FileKind.INDEX).files
    return {pack for name in names for pack, _ in decode_index(files.read(FileKind.INDEX, name))}


def tend(repository: Repository, **options: Any) -> tuple[str, ...]:
    with repository.lock():  # as the backup before it
        repository.load_index()
    return tend_index(repository, cancel=CancelToken(), **options)


def test_few_index_files_stay_and_cost_nothing(place: Any, store: Callable[..., Any]) -> None:
    fill(place, store, MERGE_AT - 1)
    with place.open() as repository:
        repository.load_index()
        place.server.requests.by_method.clear()
        assert tend_index(repository, cancel=CancelToken()) == ()
    assert not place.server.requests.total
    assert len(place.names("index")) == MERGE_AT - 1


def test_many_become_one_that_lists_the_same(place: Any, store: Callable[..., Any], tmp_path: Path) -> None:
    stored = fill(place, store, MERGE_AT)
    with place.open() as repository:
        before = listed(repository)
        tend(repository)
        assert listed(repository) == before
    assert len(place.names("index")) == 1
    assert place.names("locks") == []
    assert_all_readable(place, stored, tmp_path / "elsewhere")


def test_the_local_index_stays_of_use(place: Any, store: Callable[..., Any]) -> None:
    stored = fill(place, store, MERGE_AT)
    with place.open() as repository:
        tend(repository)
    shutil.rmtree(next(place.cache.glob("*/index")))  # the files themselves: only what was merged of them is left
    place.server.requests.by_method.clear()
    with place.open() as repository:
        repository.load_index()
        assert repository.index.find(stored[0].blobs[0]) is not None
    assert place.server.requests.by_method == {"LIST": 1}


def test_full_index_files_are_left_alone(
    place: Any, store: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(place, store, MERGE_AT + 2)
    sizes = sorted(len(place.server.objects[name]) for name in place.names("index"))
    monkeypatch.setattr(index_rewrite, "SMALL_INDEX", sizes[0])
    with place.open() as repository:
        tend(repository)
    assert len(place.names("index")) == MERGE_AT + 2


def test_nobody_else_is_disturbed(place: Any, store: Callable[..., Any], tmp_path: Path) -> None:
    fill(place, store, MERGE_AT)
    with place.open(cache=tmp_path / "other", hostname="there") as other, other.lock(), place.open() as repository:
        assert tend(repository) == ()
    assert len(place.names("index")) == MERGE_AT
    assert place.names("locks") == []


def test_a_server_that_loses_the_new_file_keeps_the_old_ones(place: Any, store: Callable[..., Any]) -> None:
    class Forgetful(MemoryBackend):
        def put(self, name: str, data: Any) -> None:
            if not name.startswith("index/"):
                super().put(name, data)

    fill(place, store, MERGE_AT)
    server = Forgetful(promises=Promises(atomic_put=False))
    server.objects |= place.server.objects
    with place.open(server) as repository:
        assert tend(repository) == ()
    assert sum(name.startswith("index/") for name in server.objects) == MERGE_AT


@pytest.mark.slow
def test_cut_off_at_any_moment_nothing_is_lost(place: Any, store: Callable[..., Any], tmp_path: Path) -> None:
    stored = fill(place, store, 5)
    objects = dict(place.server.objects)

    def attempt(name: str, *faults: Any) -> tuple[FaultyBackend, Path]:
        server = MemoryBackend()
        server.objects |= objects
        cache = tmp_path / name
        shutil.copytree(place.cache, cache)
        backend = FaultyBackend(server, *faults)
        repository = place.open(backend, cache=cache)
        try:
            repository.load_index()
            with repository.lock(exclusive=True) as held:
                repository.load_index()
                merge_small(repository, held, cancel=CancelToken())
        except PowerCut:
            assert faults
        finally:
            repository.close()
        return backend, cache

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_rewrite, "MERGE_AT", 2)
        clean, _ = attempt("clean")
        for number, fault in enumerate(every_fault(clean.count())):
            backend, cache = attempt(f"fault{number}", fault)
            assert_all_readable(place, stored, tmp_path / f"elsewhere{number}", backend.inner)
            with place.open(backend.inner, cache=cache) as repository:
                tend(repository)
                indexes = repository.files.list(FileKind.INDEX).files
                assert len(indexes) == 1
            assert_all_readable(place, stored, tmp_path / f"later{number}", backend.inner)
            assert not [name for name in backend.inner.objects if name.startswith("locks/")]


def test_lost_packs_go_off_the_index_when_all_they_held_is_elsewhere(
    place: Any, store: Callable[..., Any], tmp_path: Path
) -> None:
    (first,) = fill(place, store, 1, pack_size=10_000)
    lost = [PackId(from_hex(name[8:])) for name in place.names("data")]
    for name in place.names("data"):
        del place.server.objects[name]
    with place.open() as repository:
        repository.load_index().hide_packs(lost)
        again = store(repository, first.contents)
        notes = tend(repository, gone=lost)
        assert notes == ("2 lost packs, whose content was stored anew, were taken off the index",)
        assert listed(repository).isdisjoint(lost)
        repository.load_index()
        assert repository.check_packs() == []
    assert_all_readable(place, [first, again], tmp_path / "elsewhere")


def test_lost_packs_stay_on_the_index_when_something_of_them_is_gone_for_good(
    place: Any, store: Callable[..., Any]
) -> None:
    (first,) = fill(place, store, 1, pack_size=10_000)
    lost = [PackId(from_hex(name[8:])) for name in place.names("data")]
    for name in place.names("data"):
        del place.server.objects[name]
    with place.open() as repository:
        repository.load_index().hide_packs(lost)
        store(repository, first.contents[1:])
        assert tend(repository, gone=lost) == ()
        assert listed(repository) > set(lost)


def test_a_pack_that_is_there_after_all_stays_on_the_index(place: Any, store: Callable[..., Any]) -> None:
    (first,) = fill(place, store, 1, pack_size=10_000)
    there = [PackId(from_hex(name[8:])) for name in place.names("data")]
    with place.open() as repository:
        repository.load_index().hide_packs(there)
        store(repository, first.contents)
        assert tend(repository, gone=there) == ()
        assert listed(repository) > set(there)
