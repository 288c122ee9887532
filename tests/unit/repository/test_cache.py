from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from backup_core.errors import RepositoryError
from backup_core.format.layout import FileKind
from backup_core.repository.cache import Cache, KeyHints
from backup_core.repository.processes import process_alive
from backup_core.types import BlobId, PackId

DATA = b"sealed bytes"
SEEN = datetime(2026, 11, 23, tzinfo=UTC)
NAME = sha256(DATA).hexdigest()
INDEX = FileKind.INDEX


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "deep" / "cache", "ab" * 32)


def dead_pid() -> int:
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def test_a_copy_is_given_back_only_when_it_is_what_its_name_says(cache: Cache, tmp_path: Path) -> None:
    assert cache.load(INDEX, NAME) is None
    cache.store(INDEX, NAME, DATA)
    assert cache.load(INDEX, NAME) == DATA
    path = cache.directory("index") / NAME
    path.write_bytes(b"changed")
    assert cache.load(INDEX, NAME) is None
    assert not path.exists()


def test_nobody_else_can_read_the_cache(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        cache = Cache(tmp_path / "deep" / "cache", "ab" * 32)
        cache.store(INDEX, NAME, DATA)
        cache.store(FileKind.PACK, NAME, DATA)
        cache.store_tree(BlobId(bytes(32)), DATA)
        KeyHints(tmp_path / "deep" / "cache", b"config").store(NAME, DATA, SEEN, repository_id="r" * 64)
    finally:
        os.umask(old)
    for path in (tmp_path / "deep").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_the_cache_is_marked_so_that_backups_leave_it_out(cache: Cache, tmp_path: Path) -> None:
    cache.store(INDEX, NAME, DATA)
    mark = Cache(tmp_path / "other", "cd" * 32)
    mark.directory("segments")
    for root in (tmp_path / "deep" / "cache", tmp_path / "other"):
        assert (root / "CACHEDIR.TAG").read_bytes().startswith(b"Signature: 8a477f597d28d172789f06886806bc55")


def test_parts_of_a_pack_and_single_trees(cache: Cache) -> None:
    pack, tree = PackId(bytes.fromhex(NAME)), BlobId(b"\x07" * 32)
    assert cache.load_pack_range(pack, 0, 1) is None
    cache.store(FileKind.PACK, NAME, DATA)
    assert cache.load_pack_range(pack, 2, 4) == DATA[2:6]
    assert cache.load_pack_range(pack, len(DATA) - 1, 5) is None
    cache.store_tree(tree, DATA)
    assert cache.load_tree(tree) == DATA
    cache.drop_tree(tree, pack)
    assert (cache.load_tree(tree), cache.load_pack_range(pack, 0, 1)) == (None, None)


def test_only_what_is_still_there_is_kept(cache: Cache) -> None:
    other = sha256(b"other").hexdigest()
    cache.store(INDEX, NAME, DATA)
    cache.store(INDEX, other, b"other")
    cache.keep_only(INDEX, {other: 5})
    assert (cache.load(INDEX, NAME), cache.load(INDEX, other)) == (None, b"other")


def test_what_killed_processes_were_writing_is_removed(tmp_path: Path) -> None:
    scratch = Cache(tmp_path, "ab" * 32).directory("tmp")
    for owner in (dead_pid(), os.getpid()):
        (scratch / f"{owner}-x.tmp").write_bytes(b"half")
    (scratch / "no number").write_bytes(b"?")
    Cache(tmp_path, "ab" * 32)
    assert [path.name for path in scratch.iterdir()] == [f"{os.getpid()}-x.tmp"]


def test_a_process_is_alive_until_it_is_not() -> None:
    assert process_alive(os.getpid())
    assert process_alive(1)
    assert not process_alive(dead_pid())
    assert process_alive(1 << 80)


def test_many_writers_of_one_name(cache: Cache) -> None:
    big = os.urandom(1_000_000)
    name = sha256(big).hexdigest()

    def work(_: int) -> bool:
        cache.store(FileKind.PACK, name, big)
        return cache.load(FileKind.PACK, name) == big

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(40)))
    assert list(cache.directory("tmp").iterdir()) == []


def test_the_cache_may_vanish_at_any_moment(cache: Cache, tmp_path: Path) -> None:
    import shutil

    cache.store(INDEX, NAME, DATA)
    shutil.rmtree(tmp_path / "deep")
    assert cache.load(INDEX, NAME) is None
    cache.keep_only(INDEX, {})
    cache.remove(INDEX, NAME)
    cache.store(INDEX, NAME, DATA)
    assert cache.load(INDEX, NAME) == DATA
    assert cache.problems == ()


def test_a_root_that_cannot_be_made_is_an_error_with_advice(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RepositoryError, match="another home directory"):
        Cache(tmp_path / "file" / "cache", "ab" * 32)


def test_hints_are_found_by_the_repositorys_id(tmp_path: Path) -> None:
    KeyHints(tmp_path, b"one").store(NAME, DATA, SEEN, repository_id="1" * 64)
    KeyHints(tmp_path, b"two").note_repository("2" * 64)
    assert KeyHints.of_repository(tmp_path, "1" * 64).load() == [(NAME, DATA)]
    assert KeyHints.of_repository(tmp_path, "2" * 64).load() == []
    assert KeyHints.of_repository(tmp_path, "3" * 64).load() == []


def test_hints_belong_to_one_config(tmp_path: Path) -> None:
    KeyHints(tmp_path, b"one").store(NAME, DATA, SEEN, repository_id="r" * 64)
    assert KeyHints(tmp_path, b"one").load() == [(NAME, DATA)]
    assert KeyHints(tmp_path, b"one").seen(NAME) == SEEN
    assert KeyHints(tmp_path, b"two").load() == []
    assert KeyHints(tmp_path, b"two").seen(NAME) is None
    KeyHints(tmp_path, b"one").drop(NAME)
    assert KeyHints(tmp_path, b"one").load() == []
    nowhere = KeyHints(None, b"one")
    nowhere.store(NAME, DATA, SEEN, repository_id="r" * 64)
    nowhere.drop(NAME)
    assert nowhere.load() == []
