"""Build trees from the leaves up, while the content of files is still on its way.

A directory is open while it waits for nodes; when the last one has come, its tree is stored, and its own node goes to
the directory above. So memory holds the directories on the way down and those that wait for files, nothing else.
Where all nodes are those of an earlier tree, that tree is referred to again without being written anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import tzinfo
from typing import NamedTuple

from backup_core.format.tree import Node, encode_node, encode_tree
from backup_core.types import TreeId


class Earlier(NamedTuple):
    """A directory as the backup that is compared with has it."""

    node: Node | None = None
    """Itself; None when it did not exist, and for the root."""
    tree: TreeId | None = None
    entries: int = 0
    """How many ``tree`` has."""


_NEW = Earlier()


class OpenDirectory:
    """A directory that waits for some of its nodes."""

    __slots__ = ("earlier", "entries", "missing", "node", "optional", "parent", "same", "slot")

    def __init__(
        self,
        parent: OpenDirectory | None,
        slot: int,
        node: Node | None,
        *,
        count: int,
        earlier: Earlier,
        optional: bool,
    ) -> None:
        self.parent = parent
        self.slot = slot
        self.node = node
        """Without its subtree, or just the earlier one; None for the root of the snapshot."""
        self.earlier = earlier
        self.entries: list[Node | bytes | None] = [None] * count
        """Earlier nodes as they are, others encoded."""
        self.missing = count
        self.same = 0
        """How many entries are those of the earlier tree."""
        self.optional = optional
        """Whether it is left out when nothing in it was kept."""


class TreeBuilder:
    """Builds the tree of one snapshot. Single-threaded."""

    def __init__(self, save_tree: Callable[[bytes], TreeId], zone: tzinfo) -> None:
        """``zone`` is that of the machine."""
        self.root: TreeId | None = None
        """The snapshot's tree, once everything has come."""
        self.directories_new = 0
        self.directories_changed = 0
        self.directories_unchanged = 0
        self._save_tree = save_tree
        self._zone = zone

    def open(
        self,
        parent: OpenDirectory | None,
        slot: int,
        node: Node | None,
        *,
        count: int,
        earlier: Earlier = _NEW,
        optional: bool = False,
    ) -> OpenDirectory:
        """Begin a directory that will get ``count`` entries and is entry ``slot`` of ``parent``.

        Without ``parent`` and ``node`` it is the root. ``optional`` directories are left out when they stay empty.
        """
        directory = OpenDirectory(parent, slot, node, count=count, earlier=earlier, optional=optional)
        if not count:
            self._settle(directory)
        return directory

    def put(self, directory: OpenDirectory, slot: int, node: Node | None, *, same: bool = False) -> None:
        """Give entry ``slot`` of a directory; None when there is none after all.

        ``same`` says that the earlier tree of this directory holds this very node.
        """
        self._set(directory, slot, node, same=same)
        if not directory.missing:
            self._settle(directory)

    def _set(self, directory: OpenDirectory, slot: int, node: Node | None, *, same: bool) -> None:
        if same:
            directory.entries[slot] = node
            directory.same += 1
        elif node is not None:
            directory.entries[slot] = encode_node(node, self._zone)
        directory.missing -= 1

    def _settle(self, directory: OpenDirectory) -> None:
        """Store a directory that is whole, and then each one above that it was the last entry of."""
        waiting: OpenDirectory | None = directory
        while waiting is not None and not waiting.missing:
            done, waiting = waiting, waiting.parent
            node, same = self._store(done)
            if waiting is not None:
                self._set(waiting, done.slot, node, same=same)

    def _store(self, directory: OpenDirectory) -> tuple[Node | None, bool]:
        """The node of a directory that is whole, and whether it is the earlier one."""
        nodes = [node for node in directory.entries if node is not None]
        directory.entries = []
        if directory.optional and not nodes:
            return None, False
        earlier = directory.earlier
        tree = earlier.tree if len(nodes) == directory.same == earlier.entries else None
        if tree is None:
            tree = self._save_tree(encode_tree([self._encoded(node) for node in nodes]))
        node = directory.node
        if node is None:
            self.root = tree
            return None, False
        self._count(earlier, tree)
        if node.subtree == tree:
            return node, node is earlier.node
        return replace(node, subtree=tree), False

    def _encoded(self, node: Node | bytes) -> bytes:
        return node if isinstance(node, bytes) else encode_node(node, self._zone)

    def _count(self, earlier: Earlier, tree: TreeId) -> None:
        if earlier.node is None or earlier.node.type != "dir":
            self.directories_new += 1
        elif earlier.node.subtree == tree:
            self.directories_unchanged += 1
        else:
            self.directories_changed += 1
