"""The versions of one path over many snapshots, from the trees along that path alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from backup_core.deferred import dataclass
from backup_core.engine.snapshot_diff import ChangeKind, kind_of_change
from backup_core.engine.snapshot_walk import Trees
from backup_core.format.snapshot import Snapshot
from backup_core.format.tree import Node
from backup_core.progress import CancelToken
from backup_core.types import SnapshotId, TreeId


@dataclass(frozen=True, slots=True)
class Version:
    """A path as it stood, the same, in one or more snapshots in a row."""

    node: Node | None
    """None when the path did not exist (any more)."""
    change: ChangeKind
    """Against the version before; ``ADDED`` for the first one."""
    first: SnapshotId
    last: SnapshotId
    snapshots: int
    """How many snapshots in a row hold it."""


class PathFinder:
    """Finds one path in snapshot after snapshot; snapshots that share the directories on the way cost nothing."""

    def __init__(self, trees: Trees, path: bytes) -> None:
        self._trees = trees
        self._names = [name for name in path.split(b"/") if name not in (b"", b".")]
        self._known: dict[tuple[int, TreeId], Node | None] = {}

    def find(self, snapshot: Snapshot) -> Node | None:
        """The path's entry; None when the snapshot has none. The top itself has no entry of its own."""
        tree: TreeId | None = snapshot.tree
        node: Node | None = None
        for depth, name in enumerate(self._names):
            if tree is None:
                return None
            key = (depth, tree)
            if key not in self._known:
                self._known[key] = next((n for n in self._trees.read_tree(tree) if n.name == name), None)
            node = self._known[key]
            tree = node.subtree if node is not None else None
        return node


def path_versions(
    trees: Trees, path: bytes, snapshots: Iterable[Snapshot], *, cancel: CancelToken | None = None
) -> Iterator[Version]:
    """The versions of ``path`` in ``snapshots``, which are given oldest first.

    Snapshots before the first that has the path are passed over; one that is in none has no version. A directory
    changes when anything below it does. Raises ``BlobMissing`` or ``Corrupt`` for a tree that cannot be read.
    """
    finder = PathFinder(trees, path)
    current: Version | None = None
    for snapshot in snapshots:
        if cancel is not None:
            cancel.check()
        node = finder.find(snapshot)
        if current is None:
            if node is not None:
                current = Version(node, ChangeKind.ADDED, snapshot.id, snapshot.id, 1)
            continue
        change = _change(current.node, node)
        if change is None:
            current = replace(current, last=snapshot.id, snapshots=current.snapshots + 1)
        else:
            yield current
            current = Version(node, change, snapshot.id, snapshot.id, 1)
    if current is not None:
        yield current


def _change(before: Node | None, after: Node | None) -> ChangeKind | None:
    if before is not None and after is not None and before.type == after.type and before.subtree != after.subtree:
        return ChangeKind.CONTENT
    return kind_of_change(before, after)
