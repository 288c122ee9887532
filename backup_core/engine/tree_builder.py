"""Build trees from the leaves up, while the content of files is still on its way.

A directory is open while it waits for nodes; when the last one has come, its tree is stored, and its own node goes to
the directory above. So memory holds the directories on the way down and those that wait for files, nothing else.
Where all nodes are those of an earlier tree, that tree is referred to again without being written anew; where only
its directories may have changed (a *standing* one, see ``tree_ledger``), it is not even read unless one of them has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import tzinfo
from typing import NamedTuple

from backup_core.engine.tree_facts import Facts, digest_of, facts_of_node, hash_of_tree
from backup_core.engine.tree_ledger import TreeLedger, TreeRecord
from backup_core.engine.tree_splicing import Unchanged
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

    __slots__ = (
        "digests",
        "earlier",
        "entries",
        "facts",
        "files",
        "missing",
        "node",
        "optional",
        "parent",
        "same",
        "size",
        "slot",
        "standing",
        "subtrees",
    )

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
        self.standing: TreeRecord | None = None
        """What is known of the earlier tree, when only the trees of the directories in it may be others. Then
        ``entries`` are these directories alone."""
        self.facts: list[Facts | None] = [None] * count
        """What the ledger will remember of the entries; with it ``digest_of`` each of them, their ``subtrees`` by slot,
        the number of ``files`` and their ``size``."""
        self.digests: list[bytes] = [b""] * count
        self.subtrees: dict[int, TreeId] = {}
        self.files = 0
        self.size = 0


class TreeBuilder:
    """Builds the tree of one snapshot. Single-threaded."""

    def __init__(
        self,
        save_tree: Callable[[bytes], TreeId],
        zone: tzinfo,
        *,
        ledger: TreeLedger | None = None,
        read_tree: Callable[[TreeId], Sequence[Node]] | None = None,
    ) -> None:
        """``zone`` is that of the machine. ``ledger`` is told of every tree; ``read_tree`` reads a standing one in
        which a directory has changed, and is needed only for such."""
        self.root: TreeId | None = None
        """The snapshot's tree, once everything has come."""
        self.directories_new = 0
        self.directories_changed = 0
        self.directories_unchanged = 0
        self._save_tree = save_tree
        self._zone = zone
        self._ledger = ledger or TreeLedger()
        self._read_tree = read_tree

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

    def open_standing(
        self, parent: OpenDirectory | None, slot: int, node: Node | None, *, earlier: Earlier, record: TreeRecord
    ) -> OpenDirectory:
        """Begin a directory of which ``record`` says that its earlier tree holds just what is there. Its entries are
        the directories in it, in their order."""
        directory = OpenDirectory(parent, slot, node, count=len(record.subtrees), earlier=earlier, optional=False)
        directory.standing = record
        if not record.subtrees:
            self._settle(directory)
        return directory

    def put(self, directory: OpenDirectory, slot: int, node: Node | None, *, same: bool = False) -> None:
        """Give entry ``slot`` of a directory; None when there is none after all.

        ``same`` says that the earlier tree of this directory holds this very node.
        """
        self._set(directory, slot, node, same=same)
        if not directory.missing:
            self._settle(directory)

    def put_unchanged(self, directory: OpenDirectory, unchanged: Unchanged, *, files: int, size: int) -> None:
        """Give all entries of a directory of which the earlier tree has the very nodes, ``files`` of them files with
        ``size`` bytes in all."""
        for slot, node in unchanged.nodes.items():
            directory.entries[slot] = node
            directory.facts[slot] = unchanged.facts[slot]
            directory.digests[slot] = unchanged.digests[slot]
        directory.missing -= len(unchanged.nodes)
        directory.same += len(unchanged.nodes)
        directory.files += files
        directory.size += size
        if not directory.missing:
            self._settle(directory)

    def _set(self, directory: OpenDirectory, slot: int, node: Node | None, *, same: bool) -> None:
        directory.missing -= 1
        directory.same += same
        if node is None:
            return
        if directory.standing is not None:
            directory.entries[slot] = node
            return
        directory.entries[slot] = node if same else encode_node(node, self._zone)
        directory.facts[slot] = facts = facts_of_node(node)
        directory.digests[slot] = digest_of(facts)
        if node.type == "file":
            directory.files += 1
            directory.size += node.size
        elif node.subtree is not None:
            directory.subtrees[slot] = node.subtree

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
        if directory.standing is not None:
            tree = self._standing_tree(directory, directory.standing)
        else:
            nodes = [node for node in directory.entries if node is not None]
            directory.entries = []
            if directory.optional and not nodes:
                return None, False
            tree = self._tree_of(directory, nodes)
        node = directory.node
        if node is None:
            self.root = tree
            return None, False
        self._count(directory.earlier, tree)
        if node.subtree == tree:
            return node, node is directory.earlier.node
        return replace(node, subtree=tree), False

    def _tree_of(self, directory: OpenDirectory, nodes: list[Node | bytes]) -> TreeId:
        earlier = directory.earlier
        tree = earlier.tree if len(nodes) == directory.same == earlier.entries else None
        record = self._ledger.known(tree)
        if record is None:
            subtrees = tuple([directory.subtrees[slot] for slot in sorted(directory.subtrees)])
            record = TreeRecord(
                hash_of_tree([facts for facts in directory.facts if facts is not None]),
                directory.files,
                directory.size,
                len(nodes) - directory.files - len(subtrees),
                subtrees,
            )
        if tree is None:
            tree = self._save_tree(encode_tree([self._encoded(node) for node in nodes]))
            record = record._replace(digests=b"".join(directory.digests))
        self._ledger.note(tree, record)
        return tree

    def _standing_tree(self, directory: OpenDirectory, record: TreeRecord) -> TreeId:
        """The earlier tree, with other trees for those directories in it that have changed."""
        earlier = directory.earlier.tree
        if earlier is None or self._read_tree is None:
            raise ValueError("a standing directory has an earlier tree that can be read")
        if directory.same == len(record.subtrees):
            self._ledger.note(earlier, record)
            return earlier
        left = iter(directory.entries)
        nodes: list[Node] = []
        for node in self._read_tree(earlier):
            if node.type != "dir":
                nodes.append(node)
            elif isinstance(now := next(left), Node):
                nodes.append(replace(node, subtree=now.subtree))
        tree = self._save_tree(encode_tree([self._encoded(node) for node in nodes]))
        if None not in directory.entries:
            subtrees = [node.subtree for node in nodes if node.subtree is not None]
            self._ledger.note(tree, record._replace(subtrees=tuple(subtrees)))
        return tree

    def _encoded(self, node: Node | bytes) -> bytes:
        return node if isinstance(node, bytes) else encode_node(node, self._zone)

    def _count(self, earlier: Earlier, tree: TreeId) -> None:
        if earlier.node is None or earlier.node.type != "dir":
            self.directories_new += 1
        elif earlier.node.subtree == tree:
            self.directories_unchanged += 1
        else:
            self.directories_changed += 1
