"""Repositories in memory, made without a password so that no test waits for a key derivation."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from backup_core.format.cipher import MasterKey, Sealer
from backup_core.format.config_file import RepositoryConfig
from backup_core.format.snapshot import Snapshot
from backup_core.format.tree import Node, encode_node, encode_tree, go_mode
from backup_core.repository.keyring import OpenedKey
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.repository import Repository
from backup_core.storage.memory import MemoryBackend
from backup_core.testing.clocks import DEFAULT_START, ManualClock
from backup_core.types import BlobId, BlobType, KeyId, SnapshotId, TreeId

OPENED = OpenedKey(KeyId("ab" * 32), MasterKey.generate(os.urandom), RepositoryConfig.generate(os.urandom))


@dataclass
class Place:
    """A repository's server, this machine's cache, and the clock: what stays when a process ends."""

    server: MemoryBackend
    cache: Path
    clock: ManualClock
    opened: list[Repository] = field(default_factory=list)

    def open(self, backend: Any = None, *, cache: Path | None = None, **options: Any) -> Repository:
        """A repository object as a fresh process would have it."""
        options.setdefault("hostname", "here")
        options.setdefault("username", "me")
        repository = Repository(
            backend or self.server,
            OPENED,
            encrypted=True,
            clock=self.clock,
            random_bytes=os.urandom,
            options=RepositoryOptions(cache_directory=cache or self.cache, **options),
        )
        self.opened.append(repository)
        return repository

    def names(self, directory: str) -> list[str]:
        """Names on the server below a directory."""
        return sorted(name for name in self.server.objects if name.startswith(directory + "/"))


@pytest.fixture
def place(tmp_path: Path, clock: ManualClock) -> Iterator[Place]:
    server = MemoryBackend()
    server.put("config", Sealer(OPENED.master).seal(OPENED.config.encode()))
    server.requests.by_method.clear()
    made = Place(server, tmp_path / "cache", clock)
    yield made
    for repository in made.opened:
        repository.close()


@pytest.fixture
def repository(place: Place) -> Repository:
    return place.open()


@dataclass(frozen=True)
class Stored:
    """What ``store`` put into a repository."""

    snapshot: SnapshotId
    tree: TreeId
    blobs: list[BlobId]
    contents: list[bytes]


def tree_of(contents: list[bytes], blobs: list[BlobId]) -> bytes:
    """The text of a directory with one file for each content."""
    nodes = [
        Node(f"file{number:05}".encode(), "file", go_mode(0o100644), size=len(content), content=(blob,))
        for number, (content, blob) in enumerate(zip(contents, blobs, strict=True))
    ]
    return encode_tree([encode_node(node, DEFAULT_START.tzinfo) for node in nodes])  # type: ignore[arg-type]


def back_up(repository: Repository, contents: list[bytes], *, cancel: Any = None) -> Stored:
    """A small backup in the right order: lock, packs, index, snapshot."""
    with repository.lock(cancel=cancel):
        repository.snapshots()
        repository.load_index()
        with repository.uploader(cancel) as uploader:
            store = repository.blob_store(uploader)
            blobs = [store.save_blob(BlobType.DATA, content) for content in contents]
            tree = store.save_tree(tree_of(contents, blobs))
            store.flush()
            uploader.finish()
        snapshot = repository.save_snapshot(Snapshot(time=repository.clock.now(), tree=tree, paths=("/source",)))
    return Stored(snapshot, tree, blobs, contents)


@pytest.fixture
def store() -> Callable[..., Stored]:
    return back_up
