"""What changed between two snapshots, from their trees alone: no file's content is read.

Directories whose tree is the same on both sides are skipped whole, so the cost is that of what changed. The five kinds
of change are those of ``restic diff`` ("Comparing Snapshots" in its manual).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from enum import StrEnum

from backup_core.deferred import dataclass
from backup_core.engine.snapshot_walk import Trees
from backup_core.format.snapshot import Snapshot
from backup_core.format.tree import Node
from backup_core.progress import CancelToken
from backup_core.types import BlobId, TreeId


class ChangeKind(StrEnum):
    """How one path differs; the values are the marks that people read."""

    ADDED = "+"
    REMOVED = "-"
    CONTENT = "M"
    """Other content; its metadata may differ as well."""
    METADATA = "U"
    """The same content, but another owner, mode, time, or attribute."""
    TYPE = "T"
    """Something else under the same name, such as a link that was a file."""


@dataclass(frozen=True, slots=True)
class Change:
    """One path that is not the same in two snapshots."""

    kind: ChangeKind
    path: bytes
    """Absolute, as it was backed up."""
    before: Node | None
    after: Node | None


_IDENTITY = frozenset(("name", "type", "size", "content", "subtree", "linktarget", "device"))
_FLEETING = frozenset(("atime_ns", "ctime_ns", "inode", "device_id", "links", "error"))
"""Of the file system rather than of the file: a mere copy or a second look changes them."""
_METADATA = tuple(f.name for f in fields(Node) if f.name not in _IDENTITY | _FLEETING)


def compare_snapshots(
    trees: Trees, before: Snapshot, after: Snapshot, *, cancel: CancelToken | None = None
) -> Iterator[Change]:
    """Every difference, in the order of the paths' bytes, a directory before what lies in it.

    A directory that exists on both sides is told only for its metadata; what changed in it is told entry by entry.
    Raises ``BlobMissing`` or ``Corrupt`` for a tree that cannot be read.
    """
    # An explicit stack, because trees may be deeper than Python's.
    stack: list[Iterator[Change | _Below]] = [_entries(trees, _Below(b"", before.tree, after.tree))]
    while stack:
        if cancel is not None:
            cancel.check()
        found = next(stack[-1], None)
        if found is None:
            stack.pop()
        elif isinstance(found, Change):
            yield found
        else:
            stack.append(_entries(trees, found))


@dataclass(frozen=True, slots=True)
class _Below:
    """Two directories of one path, one of which may not exist."""

    path: bytes
    before: TreeId | None
    after: TreeId | None


def _entries(trees: Trees, below: _Below) -> Iterator[Change | _Below]:
    if below.before == below.after:
        return
    left = {node.name: node for node in trees.read_tree(below.before)} if below.before is not None else {}
    right = {node.name: node for node in trees.read_tree(below.after)} if below.after is not None else {}
    for name in sorted(left.keys() | right.keys()):
        path = below.path + b"/" + name
        before, after = left.get(name), right.get(name)
        kind = kind_of_change(before, after)
        if kind is not None:
            yield Change(kind, path, before, after)
        trees_of_both = _tree(before), _tree(after)
        if trees_of_both[0] != trees_of_both[1]:
            yield _Below(path, *trees_of_both)


def _tree(node: Node | None) -> TreeId | None:
    return None if node is None else node.subtree


def kind_of_change(before: Node | None, after: Node | None) -> ChangeKind | None:
    """How one entry changed, None when it did not (a directory's entries are not looked at)."""
    if before is None or after is None:
        if before is after:
            return None
        return ChangeKind.ADDED if before is None else ChangeKind.REMOVED
    if before.type != after.type:
        return ChangeKind.TYPE
    if (before.content, before.linktarget, before.device) != (after.content, after.linktarget, after.device):
        return ChangeKind.CONTENT
    if any(getattr(before, name) != getattr(after, name) for name in _METADATA):
        return ChangeKind.METADATA
    return None


@dataclass(slots=True)
class SideTotals:
    """What one side has that the other has not."""

    files: int = 0
    directories: int = 0
    others: int = 0
    """Links, pipes, devices."""
    size: int = 0
    """Logical bytes of the files."""

    def count(self, node: Node) -> None:
        """Add one entry."""
        if node.type == "file":
            self.files += 1
            self.size += node.size
        elif node.type == "dir":
            self.directories += 1
        else:
            self.others += 1


class DiffTotals:
    """Sums over changes, fed one by one."""

    def __init__(self) -> None:
        self.added = SideTotals()
        self.removed = SideTotals()
        self.content_changed = 0
        self.metadata_changed = 0
        self.type_changed = 0
        self._blobs_before: set[BlobId] = set()
        self._blobs_after: set[BlobId] = set()

    def count(self, change: Change) -> None:
        """Add one change."""
        if change.kind is ChangeKind.ADDED and change.after is not None:
            self.added.count(change.after)
        elif change.kind is ChangeKind.REMOVED and change.before is not None:
            self.removed.count(change.before)
        self.content_changed += change.kind is ChangeKind.CONTENT
        self.metadata_changed += change.kind is ChangeKind.METADATA
        self.type_changed += change.kind is ChangeKind.TYPE
        for node, blobs in ((change.before, self._blobs_before), (change.after, self._blobs_after)):
            blobs.update((node.content if node is not None else None) or ())

    @property
    def new_blobs(self) -> Iterable[BlobId]:
        """Pieces of content that only changed entries of the second snapshot have. A file that was merely renamed has
        none."""
        return self._blobs_after - self._blobs_before

    @property
    def gone_blobs(self) -> Iterable[BlobId]:
        """Pieces of content that only changed entries of the first snapshot have."""
        return self._blobs_before - self._blobs_after
