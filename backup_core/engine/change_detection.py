"""What an earlier backup knows: which one to compare with, and whether a file is still the one it holds."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Protocol

from backup_core.engine.snapshot_walk import DAMAGE
from backup_core.engine.source import Found
from backup_core.engine.tree_splicing import Compared, spliced
from backup_core.errors import BackupError
from backup_core.format.snapshot import Snapshot
from backup_core.format.tree import Node
from backup_core.types import TreeId


def choose_parent(
    snapshots: Sequence[Snapshot], *, hostname: str, paths: Sequence[str], config_tag: str
) -> Snapshot | None:
    """The backup to compare with: the newest of this host and of just these paths, if possible of this configuration.

    Otherwise the newest of this configuration and host with other paths: what they share need not be read again.
    ``snapshots`` ascend by time; ``config_tag`` is "" when there is no configuration.
    """
    wanted = set(paths)
    here = [snapshot for snapshot in reversed(snapshots) if snapshot.hostname == hostname]
    same_paths = [snapshot for snapshot in here if set(snapshot.paths) == wanted]
    ours = [snapshot for snapshot in here if config_tag and config_tag in snapshot.tags]
    both = [snapshot for snapshot in same_paths if snapshot in ours]
    return next(iter([*both, *same_paths, *ours]), None)


def is_unchanged(node: Node | None, status: os.stat_result) -> bool:
    """Whether a regular file is, by its size, times and inode, the one that ``node`` describes."""
    return (
        node is not None
        and node.type == "file"
        and node.size == status.st_size
        and node.mtime_ns == status.st_mtime_ns
        and node.ctime_ns == status.st_ctime_ns
        and node.inode == status.st_ino
    )


class Trees(Protocol):
    """What is needed of a repository to look at an earlier backup."""

    def read_tree(self, tree: TreeId, *, keep: bool) -> list[Node]:
        """The entries of a directory, sorted by name; ``keep`` as in ``BlobReader``."""
        ...

    def tree_text(self, tree: TreeId) -> bytes:
        """The directory as it is stored."""
        ...


class EarlierTrees:
    """The directories of the backup that is compared with, as far as they can be read."""

    def __init__(self, trees: Trees, on_damage: Callable[[TreeId, BackupError], None]) -> None:
        """``on_damage`` is told of directories that cannot be read; all that lies in them counts as new."""
        self._trees = trees
        self._on_damage = on_damage

    def entries(self, tree: TreeId | None) -> dict[bytes, Node]:
        """The entries of a directory by name, none when it did not exist."""
        if tree is None:
            return {}
        try:
            return {node.name: node for node in self._trees.read_tree(tree, keep=False)}
        except DAMAGE as error:
            self._on_damage(tree, error)
            return {}

    def compare(self, tree: TreeId | None, digests: bytes, found: Sequence[Found]) -> Compared:
        """A directory beside its entries ``found`` now. ``digests`` as the ledger has them, which may be empty."""
        if tree is not None and digests:
            try:
                same = spliced(self._trees.tree_text(tree), digests, found)
            except DAMAGE as error:
                self._on_damage(tree, error)
                return Compared(0, {})
            if same is not None:
                return same
        nodes = self.entries(tree)
        return Compared(len(nodes), nodes)
