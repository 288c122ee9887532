"""Going through the trees of snapshots once, however many of them share a directory.

First every directory is read and its structure judged, and the packs it needs are noted. When some packs then turn
out to be damaged, the directories that use them are read again (from the local cache), to name the files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from backup_core.deferred import dataclass
from backup_core.engine.restore_layout import printable
from backup_core.engine.snapshot_walk import DAMAGE
from backup_core.errors import BackupError
from backup_core.format.ids import to_hex
from backup_core.format.tree import NODE_TYPES, Node
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.repository.repository import Repository
from backup_core.types import BlobId, BlobLocation, BlobType, PackId, TreeId

_TOLD_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class BadPack:
    """A pack that does not hold all it should."""

    reason: str
    damaged: frozenset[BlobId] | None
    """The blobs that cannot be had from it, None for all."""


class Directory(NamedTuple):
    """What was found out about one tree."""

    files: int
    """Entries that are not directories."""
    packs: tuple[int, ...]
    """Numbers of the packs that the tree itself and its files lie in."""
    children: tuple[tuple[bytes, TreeId], ...]
    faults: tuple[tuple[bytes, str], ...]
    """Entries that cannot be restored whatever the packs hold, with the reason."""
    unreadable: str = ""
    """Why the tree itself cannot be read."""


class Found(NamedTuple):
    """What is said about one snapshot."""

    files: int
    """Entries that are not directories; a directory that cannot be read counts as one."""
    damaged: dict[str, str]
    """Printable path -> reason."""
    packs: frozenset[PackId]


class Survey:
    """Directories of any number of snapshots of one repository."""

    def __init__(self, repository: Repository, *, progress: ProgressTracker, cancel: CancelToken) -> None:
        self._repository = repository
        self._progress = progress
        self._cancel = cancel
        self._directories: dict[TreeId, Directory] = {}
        self._numbers: dict[PackId, int] = {}
        self._packs: list[PackId] = []

    @property
    def packs(self) -> list[PackId]:
        """Every pack that something seen so far lies in."""
        return list(self._packs)

    def add(self, root: TreeId) -> None:
        """Read every directory of a snapshot that was not read before. Storage errors are raised."""
        pending = [root]
        while pending:
            tree = pending.pop()
            if tree in self._directories:
                continue
            self._cancel.check()
            directory = self._directories[tree] = self._read(tree)
            pending.extend(child for _, child in directory.children)
            self._progress.advance(files=directory.files)

    def _read(self, tree: TreeId) -> Directory:
        packs = {self._number(place) for place in self._places(tree, BlobType.TREE)}
        try:
            nodes = self._repository.read_tree(tree)
        except DAMAGE as error:
            return Directory(0, tuple(packs), (), (), unreadable_because(tree, error))
        children: list[tuple[bytes, TreeId]] = []
        faults: list[tuple[bytes, str]] = []
        files = 0
        for node in nodes:
            if node.type != "dir":
                files += 1
            elif node.subtree is not None:
                children.append((node.name, node.subtree))
            fault = self._judge(node, packs)
            if fault:
                faults.append((node.name, fault))
        return Directory(files, tuple(sorted(packs)), tuple(children), tuple(faults))

    def _judge(self, node: Node, packs: set[int]) -> str:
        """What is wrong with an entry's structure; notes the packs it needs."""
        if node.type == "dir":
            return "" if node.subtree is not None else "the directory's entry does not say where its content is"
        if node.type not in NODE_TYPES:
            return f"entries of type {node.type!r:.40} are not known"
        if node.type != "file":
            return ""
        if node.content is None:
            return "the file's entry does not say where its content is"
        size = 0
        missing: list[BlobId] = []
        for blob in node.content:
            places = self._places(blob, BlobType.DATA)
            packs.update(map(self._number, places))
            if places:
                size += places[0].plaintext_length
            else:
                missing.append(blob)
        if missing:
            return f"{len(missing)} of its {len(node.content)} blobs are in no index, first {to_hex(missing[0])[:16]}"
        return "" if size == node.size else f"its content has {size} bytes, its entry says {node.size}"

    def _places(self, blob: BlobId, kind: BlobType) -> list[BlobLocation]:
        return self._repository.index.find_all(blob, kind)

    def _number(self, place: BlobLocation) -> int:
        number = self._numbers.setdefault(place.pack, len(self._packs))
        if number == len(self._packs):
            self._packs.append(place.pack)
        return number

    # ---- naming

    def report(self, root: TreeId, bad: Mapping[PackId, BadPack]) -> Found:
        """Everything that is said about the snapshot with this root, given what was found out about packs."""
        bad_numbers = {self._numbers[pack] for pack in bad if pack in self._numbers}
        damaged: dict[str, str] = {}
        used: set[int] = set()
        files = 0
        pending: list[tuple[bytes, TreeId]] = [(b"", root)]
        while pending:
            self._cancel.check()
            path, tree = pending.pop()
            directory = self._directories[tree]
            used.update(directory.packs)
            files += directory.files + bool(directory.unreadable)
            if directory.unreadable:
                damaged[printable(path) + "/"] = directory.unreadable
            for name, fault in directory.faults:
                damaged[printable(path + b"/" + name)] = fault
            if not bad_numbers.isdisjoint(directory.packs) and not directory.unreadable:
                damaged |= self._behind_bad_packs(path, tree, bad)
            pending.extend((path + b"/" + name, child) for name, child in directory.children)
        return Found(files, damaged, frozenset(self._packs[number] for number in used))

    def _behind_bad_packs(self, path: bytes, tree: TreeId, bad: Mapping[PackId, BadPack]) -> dict[str, str]:
        fault = self._fault(tree, BlobType.TREE, bad)
        if fault:
            # The local cache still knows what is in the directory, but nobody else could restore it.
            told = f"its directory {printable(path) or '/'} is lost: {fault}"
            return {printable(name): told for name in self._files_below(path, tree)}
        damaged = {}
        for node in self._repository.read_tree(tree):
            faults = (self._fault(blob, BlobType.DATA, bad) for blob in node.content or ())
            if node.type == "file" and (first := next(filter(None, faults), "")):
                damaged[printable(path + b"/" + node.name)] = first
        return damaged

    def _fault(self, blob: BlobId, kind: BlobType, bad: Mapping[PackId, BadPack]) -> str:
        """Why no pack can give a blob, "" when one can."""
        reason = ""
        for place in self._places(blob, kind):
            fault = bad.get(place.pack)
            if fault is None or (fault.damaged is not None and blob not in fault.damaged):
                return ""
            reason = reason or fault.reason
        return reason

    def _files_below(self, path: bytes, tree: TreeId) -> Iterator[bytes]:
        pending = [(path, tree)]
        while pending:
            above, here = pending.pop()
            if self._directories[here].unreadable:
                continue
            for node in self._repository.read_tree(here):
                name = above + b"/" + node.name
                if node.type != "dir":
                    yield name
                elif node.subtree is not None:
                    pending.append((name, node.subtree))


def unreadable_because(tree: TreeId, error: BackupError) -> str:
    """The reason why what a directory holds is unknown, naming the pack when one is known."""
    pack = getattr(error, "object_id", "")
    behind = f" in pack {pack[:16]}" if pack and pack != to_hex(tree) else ""
    return f"what the directory holds is unknown, because of its tree {to_hex(tree)[:16]}{behind}: {error}"
