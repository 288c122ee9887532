"""Looking for names in many snapshots at once: each directory is read once for all snapshots that share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace

from backup_core.deferred import dataclass
from backup_core.engine.filters import PatternList
from backup_core.engine.restore_layout import expand_patterns
from backup_core.engine.snapshot_walk import DAMAGE, Source, Trees, find_sources
from backup_core.errors import BackupError, Corrupt
from backup_core.format.snapshot import Snapshot
from backup_core.format.tree import Node
from backup_core.progress import CancelToken
from backup_core.types import SnapshotId, TreeId


@dataclass(slots=True)
class FoundVersion:
    """One version of a matching entry, and the snapshots that hold it."""

    path: bytes
    """Absolute, as it was backed up."""
    node: Node
    first: SnapshotId
    last: SnapshotId
    snapshots: int = 0


@dataclass(slots=True)
class _Directory:
    """What matches in one directory at one path: versions here, and directories in which there are some."""

    versions: list[FoundVersion] = field(default_factory=list)
    below: list[_Directory] = field(default_factory=list)

    @property
    def hollow(self) -> bool:
        return not self.versions and not self.below


@dataclass(frozen=True, slots=True)
class _Place:
    path: bytes
    """Absolute."""
    matched_as: bytes
    """As patterns see it."""
    tree: TreeId | None


@dataclass(slots=True)
class _Look:
    """One snapshot being looked through."""

    patterns: PatternList
    snapshot: Snapshot
    top: _Directory = field(default_factory=_Directory)
    made: list[_Directory] = field(default_factory=list)
    """Directories seen for the first time, outer ones before those in them."""
    pending: list[tuple[_Place, _Directory]] = field(default_factory=list)


class VersionSearch:
    """One search; snapshots are given one by one, oldest first."""

    def __init__(self, trees: Trees, patterns: Sequence[str], *, case_insensitive: bool = False) -> None:
        """``ConfigError`` names every faulty pattern."""
        PatternList(patterns, case_insensitive=case_insensitive)
        self._trees = trees
        self._texts = tuple(patterns)
        self._case_insensitive = case_insensitive
        self._lists: dict[tuple[str, ...], PatternList] = {}
        self._known: dict[tuple[PatternList, _Place], _Directory] = {}
        self._versions: dict[tuple[object, ...], FoundVersion] = {}
        self.damage: dict[bytes, BackupError] = {}
        """Directory -> why it could not be looked into."""

    @property
    def found(self) -> list[FoundVersion]:
        """All that matched so far, by path, then by age."""
        return sorted(self._versions.values(), key=lambda version: version.path)

    def look_through(self, snapshot: Snapshot, *, cancel: CancelToken | None = None) -> None:
        """Count what matches in one snapshot."""
        try:
            sources = find_sources(self._trees, snapshot)
        except DAMAGE as error:
            self.damage[b"/"] = error
            return
        look = _Look(self._patterns(sources), snapshot)
        for source in sources:
            self._enter(source, look)
            self._go_on(look, cancel)
        # Directories were made before those in them, so the way back meets the inner ones first.
        for directory in reversed(look.made):
            directory.below = [inner for inner in directory.below if not inner.hollow]
        pending = [look.top]
        while pending:
            directory = pending.pop()
            pending += directory.below
            for version in directory.versions:
                version.last = snapshot.id
                version.snapshots += 1

    def _patterns(self, sources: Sequence[Source]) -> PatternList:
        texts = expand_patterns(self._texts, [source.landing for source in sources])
        if texts not in self._lists:
            self._lists[texts] = PatternList(texts, case_insensitive=self._case_insensitive)
        return self._lists[texts]

    def _enter(self, source: Source, look: _Look) -> None:
        path = b"".join(b"/" + name for name in source.landing.source)
        place = _Place(path, source.landing.path, look.snapshot.tree)
        if source.node is None:
            self._descend(place, look.top, look)
        else:
            self._look_at(source.node, replace(place, tree=source.node.subtree), look.top, look)

    def _go_on(self, look: _Look, cancel: CancelToken | None) -> None:
        while look.pending:
            if cancel is not None:
                cancel.check()
            place, directory = look.pending.pop()
            look.made.append(directory)
            prefix = place.matched_as + b"/" if place.matched_as else b""
            for node in self._read(place):
                inner = _Place(place.path + b"/" + node.name, prefix + node.name, node.subtree)
                self._look_at(node, inner, directory, look)

    def _look_at(self, node: Node, place: _Place, above: _Directory, look: _Look) -> None:
        is_directory = node.type == "dir"
        if look.patterns.decide(place.matched_as.decode("utf-8", "surrogateescape"), is_directory=is_directory):
            key = (place.path, node.type, node.size, node.mtime_ns, node.mode, node.content, node.linktarget)
            first = FoundVersion(place.path, node, look.snapshot.id, look.snapshot.id)
            above.versions.append(self._versions.setdefault(key, first))
        if is_directory:
            self._descend(place, above, look)

    def _descend(self, place: _Place, above: _Directory, look: _Look) -> None:
        known = self._known.get((look.patterns, place))
        if known is None:
            known = self._known[look.patterns, place] = _Directory()
            look.pending.append((place, known))
        above.below.append(known)

    def _read(self, place: _Place) -> list[Node]:
        try:
            if place.tree is None:
                raise Corrupt("the directory's entry does not say where its content is", kind="tree")
            return self._trees.read_tree(place.tree)
        except DAMAGE as error:
            self.damage[place.path] = error
            return []
