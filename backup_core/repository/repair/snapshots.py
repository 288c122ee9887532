"""Copies of damaged snapshots that hold what is left of them.

A file that misses part of its content does not keep its name, so that nobody takes it for whole: what is left of it is
called ``NAME.incomplete``, and nothing is when nothing is left. A directory that cannot be read is gone with all that
was in it. The copy is tagged ``repaired``, and says which snapshot it was made of.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace
from datetime import UTC
from typing import TypeAlias

from backup_core.deferred import dataclass
from backup_core.errors import BlobMissing, Corrupt
from backup_core.format.snapshot import Snapshot
from backup_core.format.tree import Node, encode_node, encode_tree
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.repository.blob_store import BlobStore
from backup_core.repository.repository import Repository
from backup_core.types import BlobType, SnapshotId, TreeId

REPAIRED = "repaired"
"""The tag of such copies."""
SUFFIX = b".incomplete"
_BACKUP_ID = "backup-id:"


@dataclass(frozen=True, slots=True)
class DamagedSnapshot:
    """A snapshot that misses something."""

    snapshot: Snapshot
    lost: tuple[str, ...]
    """Paths of the files and directories that are damaged or gone, printable."""
    hopeless: bool = False
    """True when not even its uppermost directory can be read."""
    repaired_as: str = ""
    """Id of the copy that was made of it, "" before."""


def plan_snapshot_repair(
    repository: Repository, wanted: Iterable[str] = (), *, progress: ProgressTracker, cancel: CancelToken
) -> list[DamagedSnapshot]:
    """Which snapshots are damaged (all are looked at, or those named), as far as the index tells.

    Called with a lock held and the index loaded. Those that have a copy already are left out.
    """
    progress.phase("check")
    chosen = [repository.load_snapshot(one) for one in wanted] or repository.snapshots(cancel=cancel)
    made = {s.original for s in repository.snapshots(cancel=cancel) if REPAIRED in s.tags}
    rescue = _Rescue(repository, None, cancel)
    found = []
    for snapshot in chosen:
        lost: list[str] = []
        tree = rescue.tree(snapshot.tree, b"", lost)
        progress.advance(files=1)
        if lost and snapshot.id not in made:
            found.append(DamagedSnapshot(snapshot, tuple(lost), hopeless=tree is None))
    return found


def run_snapshot_repair(
    repository: Repository,
    plan: Sequence[DamagedSnapshot],
    *,
    forget: bool,
    progress: ProgressTracker,
    cancel: CancelToken,
) -> list[DamagedSnapshot]:
    """Make the copies, and with ``forget`` remove the damaged snapshots. Without it both are there, and a damaged one
    that a later backup heals is whole again. Those without hope stay unless they are to be forgotten."""
    done = []
    with repository.lock(exclusive=forget, cancel=cancel):
        repository.load_index(cancel=cancel)
        progress.phase("repair")
        for damaged in plan:
            new = "" if damaged.hopeless else _copy(repository, damaged, cancel)
            if forget:
                repository.remove_snapshot(SnapshotId(damaged.snapshot.id))
            done.append(replace(damaged, repaired_as=new))
            progress.advance(files=1)
    return done


def _copy(repository: Repository, damaged: DamagedSnapshot, cancel: CancelToken) -> str:
    snapshot = damaged.snapshot
    with repository.uploader(cancel) as uploader:
        store = repository.blob_store(uploader)
        tree = _Rescue(repository, store, cancel).tree(snapshot.tree, b"", [])
        store.flush()
        uploader.finish()
    if tree is None:
        raise BlobMissing(f"the snapshot {snapshot.id[:8]} got worse since this was planned. Plan again")
    tags = [f"{tag}_{REPAIRED}" if tag.startswith(_BACKUP_ID) else tag for tag in snapshot.tags]
    original = snapshot.original or snapshot.id
    return repository.save_snapshot(
        replace(
            snapshot, tree=tree, tags=(*tags, REPAIRED), original=original, parent=None, summary=None, id=SnapshotId("")
        )
    )


_Steps: TypeAlias = "Generator[_Steps, TreeId | None, TreeId | None]"
"""A directory being looked at; it yields those below it and is told what is left of each."""


class _Rescue:
    """Walks trees; with a store it also makes new ones of those that are damaged."""

    def __init__(self, repository: Repository, store: BlobStore | None, cancel: CancelToken) -> None:
        self._repository = repository
        self._store = store
        self._cancel = cancel
        self._whole: set[TreeId] = set()

    def tree(self, tree: TreeId, path: bytes, lost: list[str]) -> TreeId | None:
        """What is left of a directory: itself if it is whole, None when it cannot be read; what is lost is added."""
        # Not by calls within calls: directories may be nested deeper than Python likes to go.
        open_ones = [self._tree(tree, path, lost)]
        left: TreeId | None = None
        while open_ones:
            try:
                open_ones.append(open_ones[-1].send(left))  # None to begin with, as a generator wants it
                left = None
            except StopIteration as end:
                open_ones.pop()
                left = end.value
        return left

    def _tree(self, tree: TreeId, path: bytes, lost: list[str]) -> _Steps:
        if tree in self._whole:
            return tree
        self._cancel.check()
        try:
            nodes = self._repository.read_tree(tree, keep=False)
        except (BlobMissing, Corrupt):
            lost.append(_shown(path) or "/")
            return None
        before = len(lost)
        left: list[Node] = []
        for node in nodes:
            below = path + b"/" + node.name
            if node.subtree is None:
                kept = self._file(node, below, lost)
            else:
                subtree = yield self._tree(node.subtree, below, lost)
                kept = None if subtree is None else replace(node, subtree=subtree)
            left += [] if kept is None else [kept]
        if len(lost) == before:
            self._whole.add(tree)
            return tree
        if self._store is None:
            return tree
        ordered = sorted(left, key=lambda node: node.name)
        return self._store.save_tree(encode_tree([encode_node(node, UTC) for node in ordered]))

    def _file(self, node: Node, path: bytes, lost: list[str]) -> Node | None:
        index = self._repository.index
        content = node.content or ()
        left = tuple(blob for blob in content if index.contains(blob, BlobType.DATA))
        if left == content:
            return node
        lost.append(_shown(path))
        if not left:
            return None
        places = [index.find(blob, BlobType.DATA) for blob in left]
        size = sum(place.plaintext_length for place in places if place is not None)
        return replace(node, name=node.name + SUFFIX, content=left, size=size, error="part of the content was lost")


def _shown(path: bytes) -> str:
    text = path.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
