"""What the local backend does beyond the contract: modes, leftovers, damage of the disk."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from backup_core.errors import AccessDenied, NotFound, QuotaExceeded, StorageError
from backup_core.storage.local import LocalBackend


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "repository"


@pytest.fixture
def backend(root: Path) -> LocalBackend:
    return LocalBackend(root)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_are_read_only_and_directories_private(backend: LocalBackend, root: Path) -> None:
    old = os.umask(0)
    try:
        backend.put("data/00/pack", b"x")
    finally:
        os.umask(old)
    assert mode(root / "data/00/pack") == 0o400
    assert {mode(root), mode(root / "data"), mode(root / "data/00")} == {0o700}


def test_a_repository_shared_with_the_group_stays_shared(backend: LocalBackend, root: Path) -> None:
    backend.put("config", b"c")
    (root / "config").chmod(0o440)
    backend.put("data/00/pack", b"x")
    assert mode(root / "data/00/pack") == 0o440
    assert mode(root / "data/00") == 0o770


def test_leftovers_of_cut_writes_are_not_listed(backend: LocalBackend, root: Path) -> None:
    backend.put("index/whole", b"x")
    (root / "index" / "whole-tmp-12345").write_bytes(b"ha")
    assert [o.name for o in backend.list("index").objects] == ["index/whole"]


def test_a_failed_write_leaves_nothing(backend: LocalBackend, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(QuotaExceeded, match="no room"):
        backend.put("index/a", b"x")
    assert list((root / "index").iterdir()) == []


def test_short_writes_are_continued(backend: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:3]))
    backend.put("index/a", [b"12345", b"", b"6789"])
    assert backend.get("index/a") == b"123456789"


def test_short_reads_are_continued(backend: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    backend.put("index/a", b"123456789")
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, offset: real(fd, min(length, 2), offset))
    assert backend.get("index/a", offset=1, length=7) == b"2345678"


def test_a_file_that_goes_away_during_a_listing_hides_nothing_else(backend: LocalBackend, root: Path) -> None:
    backend.put("locks/a", b"x")
    (root / "locks" / "dangling").symlink_to(root / "nowhere")
    listing = backend.list("locks")
    assert listing.exists
    assert [o.name for o in listing.objects] == ["locks/a"]


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.EACCES, AccessDenied), (errno.EROFS, AccessDenied), (errno.EIO, StorageError), (errno.ENOENT, NotFound)],
)
def test_errors_of_the_disk_become_typed(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[StorageError]
) -> None:
    backend.put("config", b"x")

    def fail(*_: object) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(expected) as caught:
        backend.get("config")
    assert type(caught.value) is expected
    assert not caught.value.transient


def test_space_is_that_of_the_disk_before_the_first_write(backend: LocalBackend, root: Path) -> None:
    assert not root.exists()
    assert (backend.space().available or 0) > 0


@pytest.mark.restic
def test_restic_reads_and_goes_on_writing_what_was_stored(restic: Any, tmp_path: Path) -> None:
    """A repository copied object by object through the backend is one that restic checks, and adds to."""
    password = "not empty"
    restic.run("init", repository=tmp_path / "original", password=password)
    (tmp_path / "source").write_bytes(b"some content" * 1000)
    restic.run("backup", tmp_path / "source", repository=tmp_path / "original", password=password)
    original, copy = LocalBackend(tmp_path / "original"), LocalBackend(tmp_path / "copy")
    to_do = [""]
    while to_do:
        listing = original.list(to_do.pop())
        to_do += listing.directories
        for each in listing.objects:
            copy.put(each.name, original.get(each.name))
    (tmp_path / "source").write_bytes(b"other content" * 1000)
    restic.run("backup", tmp_path / "source", repository=tmp_path / "copy", password=password)
    restic.check(tmp_path / "copy", password=password)
    assert len(copy.list("snapshots").objects) == 2
    assert {mode(p) for p in (tmp_path / "copy" / "snapshots").iterdir()} == {0o400}
