"""A repository behind a real WebDAV server: few requests, and a folder that restic reads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from backup_core.clock import SystemClock
from backup_core.errors import BackupError, RepositoryExists
from backup_core.format.snapshot import Snapshot
from backup_core.format.tree import Node, encode_node, encode_tree, go_mode
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.repository import Repository
from backup_core.storage.backend import Backend
from backup_core.storage.registry import open_backend
from backup_core.testing.webdav_server import Answer, WebDAVServer
from backup_core.types import BlobType, Secret

PASSWORD = Secret("a password")
CLOCK = SystemClock()


def backend(dav: WebDAVServer) -> Backend:
    return open_backend(f"{dav.url}backups/", username=dav.username, password=dav.password)


def opened(dav: WebDAVServer, options: RepositoryOptions) -> Repository:
    return Repository.open(backend(dav), PASSWORD, clock=CLOCK, random_bytes=os.urandom, options=options)


def back_up(repository: Repository, contents: dict[str, bytes]) -> Snapshot:
    """Lock, list, load, store, snapshot: what a backup asks of a repository."""
    zone = CLOCK.now().tzinfo
    assert zone is not None
    with repository.lock():
        parents = repository.snapshots()
        repository.load_index()
        for parent in parents[-1:]:
            repository.read_tree(parent.tree)
        with repository.uploader() as uploader:
            store = repository.blob_store(uploader)
            nodes = [
                Node(
                    name.encode(),
                    "file",
                    go_mode(0o100600),
                    size=len(content),
                    content=(store.save_blob(BlobType.DATA, content),),
                )
                for name, content in sorted(contents.items())
            ]
            tree = store.save_tree(encode_tree([encode_node(node, zone) for node in nodes]))
            store.flush()
            uploader.finish()
        snapshot = Snapshot(
            CLOCK.now(), tree, ("/source",), hostname="here", parent=parents[-1].id if parents else None
        )
        repository.save_snapshot(snapshot)
    return snapshot


@pytest.fixture
def options(tmp_path: Path) -> RepositoryOptions:
    return RepositoryOptions(cache_directory=tmp_path / "cache")


@pytest.fixture
def contents() -> dict[str, bytes]:
    return {f"file{number}": os.urandom(2000) for number in range(100)}


@pytest.fixture
def filled(dav: WebDAVServer, options: RepositoryOptions, contents: dict[str, bytes]) -> WebDAVServer:
    with Repository.create(backend(dav), PASSWORD, clock=CLOCK, random_bytes=os.urandom, options=options) as repository:
        back_up(repository, contents)
    dav.forget()
    return dav


def test_a_run_without_changes_costs_eight_requests(
    filled: WebDAVServer, options: RepositoryOptions, contents: dict[str, bytes]
) -> None:
    with opened(filled, options) as repository:
        back_up(repository, contents)
    assert filled.requests == {"GET": 1, "PROPFIND": 4, "PUT": 2, "DELETE": 1}, filled.log


@pytest.mark.restic
def test_restic_checks_and_restores_the_served_folder(
    restic: Any, filled: WebDAVServer, contents: dict[str, bytes], tmp_path: Path
) -> None:
    place = filled.root / "backups"
    assert "no errors were found" in restic.check(place, PASSWORD.reveal())
    restic.run("restore", "latest", "--target", tmp_path / "out", repository=place, password=PASSWORD.reveal())
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == contents


def test_a_full_server_is_an_error_and_the_earlier_backup_stays(
    filled: WebDAVServer, options: RepositoryOptions, contents: dict[str, bytes]
) -> None:
    filled.fault = lambda request: (
        Answer("507 Insufficient Storage") if request.method == "PUT" and "/data/" in request.path else None
    )
    with opened(filled, options) as repository:
        with pytest.raises(BackupError):
            back_up(repository, {"new": os.urandom(100_000)})
        filled.fault = None
        with repository.lock(exclusive=True):
            (snapshot,) = repository.snapshots()
            repository.load_index()
            assert len(repository.read_tree(snapshot.tree)) == len(contents)
            assert repository.check_packs() == []
        back_up(repository, contents)


def test_a_folder_with_a_repository_is_not_initialised_again(filled: WebDAVServer, options: RepositoryOptions) -> None:
    with pytest.raises(RepositoryExists):
        Repository.create(backend(filled), PASSWORD, clock=CLOCK, random_bytes=os.urandom, options=options)
    assert not {"PUT", "DELETE", "MKCOL"} & filled.requests.keys()


def test_what_an_upload_left_cut_off_is_cleared_up(
    filled: WebDAVServer, options: RepositoryOptions, contents: dict[str, bytes]
) -> None:
    """Some servers keep what came of an interrupted upload under its final name."""
    place = filled.root / "backups"
    before = {path.name for path in (place / "index").iterdir()}
    child = os.fork()
    if not child:
        try:
            _die_while_writing_the_index(filled, options)
        finally:
            os._exit(9)
    os.waitpid(child, 0)
    (cut,) = {path.name for path in (place / "index").iterdir()} - before
    (place / "index" / cut).write_bytes(b"half")
    with opened(filled, options) as repository:
        snapshot = back_up(repository, contents)
        assert len(repository.read_tree(snapshot.tree)) == len(contents)
        assert repository.check_packs() == []
    assert cut not in {path.name for path in (place / "index").iterdir()}
    assert list((place / "locks").iterdir()) == []


def _die_while_writing_the_index(dav: WebDAVServer, options: RepositoryOptions) -> None:
    """In a child process: a backup whose process ends after the server got the index, before it answered."""
    # The server runs in the parent, so the child's requests go to it like anybody's.
    repository = opened(dav, options)
    real = repository.backend.put

    def put(name: str, data: Any) -> None:
        real(name, data)
        if name.startswith("index/"):
            os._exit(9)

    repository.backend.put = put  # type: ignore[method-assign]
    back_up(repository, {"new": os.urandom(50_000)})
