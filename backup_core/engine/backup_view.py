"""A backup as a read-only tree of folders and files, for whatever shows such trees.

The top holds the backup's sources as a restore would lay them out. Folders come from cached trees; the content of a
file is fetched when it is read, by ranges. Symbolic links appear as the files they lead to when these are in the
backup; other links, and devices, do not appear.
"""

from __future__ import annotations

import copy
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator

from backup_core.deferred import dataclass
from backup_core.engine.copies import Copies
from backup_core.engine.file_reader import BlobMemory, FileReader
from backup_core.engine.single_file import find_entry
from backup_core.engine.snapshot_walk import Source, find_sources
from backup_core.errors import ConfigError, Corrupt
from backup_core.format.ids import sha256, to_hex
from backup_core.format.snapshot import Snapshot
from backup_core.format.tree import Node
from backup_core.types import BlobId, TreeId

_OPEN_FILES = 32
"""Files whose blobs are kept located."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A folder or file of the view."""

    name: str
    """Printable; bytes that are not UTF-8 are shown as escapes."""
    is_directory: bool
    size: int
    """Bytes; 0 for folders."""
    modified: float
    """Seconds since the epoch."""
    tree: TreeId | None = None
    """Folders: where their content is; None for those that only lead to sources."""
    node: Node | None = None
    """Files: what they are."""
    ways: tuple[bytes, ...] | None = None
    """Folders above sources: their place below the top."""
    original: bytes = b""
    """The path it had when it was backed up."""

    @property
    def tag(self) -> str:
        """Changes when the content does: content is named by its hashes."""
        if self.node is None:
            return to_hex(self.tree) if self.tree else ""
        return sha256(b"".join(self.node.content or ())).hex()[:32]


class BackupView:
    """One backup, open for looking and reading. Safe between threads."""

    def __init__(self, copies: Copies, snapshot: Snapshot, *, memory: BlobMemory | None = None) -> None:
        """Raises what reading the top of the tree raises."""
        self._copies = copies
        self._snapshot = snapshot
        self._memory = memory or BlobMemory()
        self._sources = find_sources(copies, snapshot)
        self._readers: OrderedDict[tuple[BlobId, ...], FileReader] = OrderedDict()
        self._lock = threading.Lock()
        moment = snapshot.time.timestamp()
        whole = any(not source.landing.place for source in self._sources)
        self._top = Entry("", True, 0, moment, tree=snapshot.tree if whole else None, ways=None if whole else ())

    def find(self, path: str) -> Entry | None:
        """The entry at a ``/``-separated path, None when there is none. Raises ``Corrupt`` or ``StorageError``."""
        entry = self._top
        for name in filter(None, path.split("/")):
            if not entry.is_directory:
                return None
            found = next((child for child in self.children(entry) if child.name == name), None)
            if found is None:
                return None
            entry = found
        return entry

    def children(self, folder: Entry) -> list[Entry]:
        """What is in a folder, by name."""
        if folder.ways is not None:
            return list(self._on_the_way(folder.ways))
        if folder.tree is None:
            raise Corrupt("a directory's entry does not say where its content is", kind="tree")
        nodes = self._copies.read_tree(folder.tree)
        entries = (self._entry(node, folder.original + b"/" + node.name) for node in nodes)
        return [entry for entry in entries if entry is not None]

    def open(self, file: Entry) -> FileReader:
        """A reader of a file's content, for one thread. Raises ``BlobMissing``."""
        if file.node is None:
            raise ValueError(f"{file.name!r} is no file")
        key = file.node.content or ()
        with self._lock:
            known = self._readers.get(key)
            if known is not None:
                self._readers.move_to_end(key)
                return copy.copy(known)
        made = FileReader(self._copies, file.node, self._memory)
        with self._lock:
            self._readers[key] = made
            while len(self._readers) > _OPEN_FILES:
                self._readers.popitem(last=False)
        return copy.copy(made)

    def _on_the_way(self, ways: tuple[bytes, ...]) -> Iterator[Entry]:
        """Sources, and folders that lead to several of them."""
        told: set[bytes] = set()
        for source in sorted(self._sources, key=lambda s: s.landing.place):
            place = source.landing.place
            if place[: len(ways)] != ways or len(place) <= len(ways) or place[len(ways)] in told:
                continue
            name = place[len(ways)]
            told.add(name)
            if len(place) > len(ways) + 1:
                yield Entry(_shown(name), True, 0, self._top.modified, ways=place[: len(ways) + 1])
            elif (found := self._source(source)) is not None:
                yield found

    def _source(self, source: Source) -> Entry | None:
        original = b"".join(b"/" + name for name in source.landing.source)
        return None if source.node is None else self._entry(source.node, original)

    def _entry(self, node: Node, original: bytes) -> Entry | None:
        name, modified = _shown(node.name), node.mtime_ns / 1e9
        if node.type == "symlink":
            found = self._behind(node, original)
            if found is None:
                return None
            node = found
        if node.type == "dir":
            return Entry(name, True, 0, modified, tree=node.subtree, original=original)
        if node.type == "file":
            return Entry(name, False, node.size, modified, node=node, original=original)
        return None

    def _behind(self, link: Node, original: bytes) -> Node | None:
        """The file that a link leads to, within the backup; folders are not followed, since they may go round."""
        if not link.linktarget:
            return None
        target = os.path.normpath(os.path.join(os.path.dirname(original), link.linktarget))
        try:
            found = find_entry(self._copies, self._snapshot, os.fsdecode(target))
        except ConfigError:
            return None
        return found if found.type == "file" else None


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
