"""Walking through a snapshot: its sources found in its tree, then every entry below them that patterns select."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from backup_core.engine.filters import Patterns, Verdict
from backup_core.engine.path_lists import ListedPaths
from backup_core.engine.restore_layout import (
    Components,
    Landing,
    expand_patterns,
    lay_in_place,
    lay_out,
    lossy,
    printable,
    split_source,
)
from backup_core.errors import (
    AuthenticationFailed,
    BackupError,
    BlobMissing,
    Corrupt,
    NotFound,
    RestoreError,
    ShortRead,
)
from backup_core.format.snapshot import Snapshot
from backup_core.format.tree import Node
from backup_core.types import TreeId

DAMAGE = (Corrupt, AuthenticationFailed, BlobMissing, NotFound, ShortRead)
"""Errors that say one object is damaged or gone. Any other error says that the work cannot go on."""


class Trees(Protocol):
    """What is needed of a repository to walk."""

    def read_tree(self, tree: TreeId) -> list[Node]:
        """The entries of a directory, sorted by name."""
        ...


class Source(NamedTuple):
    """A source of a snapshot, found in its tree."""

    landing: Landing
    node: Node | None
    """The file or directory itself; None when the source is the whole tree."""


class Step(NamedTuple):
    """One entry on the way through a snapshot, its directory before it."""

    depth: int
    """0 for a source itself (or for the entries of a source that is the whole tree), 1 for what lies in it, ..."""
    source: Source
    path: bytes
    """Below the target, which is also as patterns see it."""
    node: Node
    selected: bool
    """False for directories that are only passed through on the way to something selected."""


class Selection:
    """Include and exclude patterns of a restore or search, understood for the sources of one snapshot."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        patterns: Sequence[str] = (),
        exclude: Sequence[str] = (),
        case_insensitive: bool = False,
        listed: Sequence[bytes] | None = None,
    ) -> None:
        """``listed`` are paths that are selected besides what the patterns select; see ``path_lists``.

        ``ConfigError`` names every faulty pattern.
        """
        landings = [source.landing for source in sources]
        left_out = expand_patterns(exclude, landings)
        self._patterns = Patterns(expand_patterns(patterns, landings), left_out, case_insensitive=case_insensitive)
        self._excluded = Patterns((), left_out, case_insensitive=case_insensitive)
        self.listed = None if listed is None else ListedPaths(listed, landings)
        """The paths named one by one, None when there is no such list."""
        self.at_root = self._patterns.at_root
        if self.listed is not None and not self._patterns.selects_files:
            self.at_root = Verdict(True, self.listed.everything)
        self.partial = bool(patterns or exclude or listed is not None)
        """True when something may be left out."""

    def judge(self, path: bytes, *, is_directory: bool, inside: bool) -> Verdict:
        """What is said of a path whose parent's verdict was ``inside``."""
        if self.listed is None:
            return self._patterns.judge(path, is_directory=is_directory, inside=inside)
        if not self._excluded.judge(path, is_directory=is_directory, inside=True).keep:
            return Verdict(False, False)
        named = self.listed.names(path)  # asked in any case: what was met is remembered
        inside = inside or named
        if self._patterns.selects_files:
            verdict = self._patterns.judge(path, is_directory=is_directory, inside=inside)
            leads_on = is_directory and self.listed.leads_to(path)
            return Verdict(verdict.keep or inside or leads_on, verdict.inside or inside)
        return Verdict(inside or (is_directory and self.listed.leads_to(path)), inside)


def find_sources(trees: Trees, snapshot: Snapshot) -> tuple[Source, ...]:
    """The snapshot's sources as they stand in its tree, with their places below a target.

    A snapshot made with relative paths has only their relative part in its tree, and names that are not UTF-8
    are lost in ``paths``; such sources are found by their ending or by likeness. When the sources found do not
    make up the whole tree, the tree itself is the one source, so that nothing is ever left out.
    Damaged trees above the sources raise what ``read_tree`` raises.
    """
    finder = _Finder(trees, snapshot.tree)
    found = [source for path in snapshot.paths if (source := finder.find(split_source(path))) is not None]
    if not found or not finder.cover_everything(found):
        found = [()]
    return tuple(Source(landing, finder.node(landing.source)) for landing in lay_out(found))


def where_they_were(snapshot: Snapshot, sources: Sequence[Source]) -> tuple[str, tuple[Source, ...]]:
    """The directory above all sources on this machine, and the sources with their places below it.

    Raises ``RestoreError`` when the backup does not say where they were: a part of a path only, or one of Windows.
    """
    known = {
        tuple(lossy(os.fsencode(part)) for part in split_source(path)) for path in snapshot.paths if path[:1] == "/"
    }
    for source in sources:
        if tuple(lossy(name) for name in source.landing.source) not in known:
            shown = "/".join(printable(name) for name in source.landing.source) or "the whole tree"
            raise RestoreError(f"where {shown} was is not known on this machine; restore it to a --target", path=shown)
    base, landings = lay_in_place([source.landing for source in sources])
    above = os.path.realpath(b"/" + b"/".join(base))
    return os.fsdecode(above), tuple(Source(landing, s.node) for landing, s in zip(landings, sources, strict=True))


class _Finder:
    def __init__(self, trees: Trees, root: TreeId) -> None:
        self._trees = trees
        self._root = root
        self._listings: dict[Components, list[Node]] = {}

    def entries(self, directory: Components) -> list[Node]:
        known = self._listings.get(directory)
        if known is None:
            node = self.node(directory)
            tree = self._root if not directory else node.subtree if node is not None else None
            known = self._listings[directory] = self._trees.read_tree(tree) if tree is not None else []
        return known

    def node(self, path: Components) -> Node | None:
        if not path:
            return None
        return next((n for n in self.entries(path[:-1]) if n.name == path[-1]), None)

    def find(self, parts: tuple[str, ...]) -> Components | None:
        if not parts:
            return ()
        for start in range(len(parts)):
            found = self._descend(parts[start:])
            if found is not None:
                return found
        return None

    def _descend(self, parts: tuple[str, ...]) -> Components | None:
        path: Components = ()
        for part in parts:
            exact = part.encode("utf-8", "surrogateescape")
            entries = self.entries(path)
            names = [n.name for n in entries if n.name == exact] or [n.name for n in entries if lossy(n.name) == part]
            if len(names) != 1:
                return None
            path = (*path, names[0])
        return path

    def cover_everything(self, sources: Sequence[Components]) -> bool:
        """True when every entry above the sources leads to one of them."""
        ways = {source[:n] for source in sources for n in range(len(source) + 1)}
        above = ways - set(sources)
        return all((*directory, n.name) in ways for directory in above for n in self.entries(directory))


class SnapshotWalk:
    """Goes through what a selection leaves of a snapshot, depth first, each directory before its entries."""

    def __init__(
        self,
        trees: Trees,
        snapshot: Snapshot,
        sources: Sequence[Source],
        selection: Selection,
        *,
        on_damage: Callable[[bytes, Node | None, BackupError], None] | None = None,
    ) -> None:
        """``on_damage`` is told of each directory that cannot be read (its path and node); without it, that raises."""
        self._trees = trees
        self._snapshot = snapshot
        self._sources = sources
        self._selection = selection
        self._on_damage = on_damage

    def __iter__(self) -> Iterator[Step]:
        for source in self._sources:
            if source.node is None:
                yield from self._below(source, self._snapshot.tree, b"", self._selection.at_root.inside)
            else:
                yield from self._from(source, source.node)

    def _from(self, source: Source, node: Node) -> Iterator[Step]:
        is_directory = node.type == "dir"
        verdict = self._selection.judge(
            source.landing.path, is_directory=is_directory, inside=self._selection.at_root.inside
        )
        if not verdict.keep:
            return
        yield Step(0, source, source.landing.path, node, not is_directory or verdict.inside)
        if is_directory:
            yield from self._below(source, node.subtree, source.landing.path, verdict.inside, node)

    def _below(
        self, source: Source, tree: TreeId | None, path: bytes, inside: bool, node: Node | None = None
    ) -> Iterator[Step]:
        # An explicit stack, because trees may be deeper than Python's.
        first = 0 if node is None else 1
        stack = [(path, inside, iter(self._read(tree, path, node)))]
        while stack:
            above, inside_above, entries = stack[-1]
            entry = next(entries, None)
            if entry is None:
                stack.pop()
                continue
            is_directory = entry.type == "dir"
            here = above + b"/" + entry.name if above else entry.name
            verdict = self._selection.judge(here, is_directory=is_directory, inside=inside_above)
            if not verdict.keep:
                continue
            depth = len(stack) - 1 + first
            yield Step(depth, source, here, entry, not is_directory or verdict.inside)
            if is_directory:
                stack.append((here, verdict.inside, iter(self._read(entry.subtree, here, entry))))

    def _read(self, tree: TreeId | None, path: bytes, node: Node | None) -> list[Node]:
        try:
            if tree is None:
                raise Corrupt("the directory's entry does not say where its content is", kind="tree")
            return self._trees.read_tree(tree)
        except DAMAGE as error:
            if self._on_damage is None:
                raise
            self._on_damage(path, node, error)
            return []
