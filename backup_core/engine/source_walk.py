"""Walk through the sources, depth first in the order of trees, and give every entry to the tree builder.

Files that an earlier backup holds unchanged are not opened; all others go to a sink that stores them, and come back
as outcomes later. Nothing that is wrong with one entry stops the walk: it becomes a problem.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple, Protocol

from backup_core.engine.change_census import ChangeCensus
from backup_core.engine.change_detection import EarlierTrees, is_unchanged
from backup_core.engine.filters import Patterns
from backup_core.engine.live.databases import LiveDatabases, has_company
from backup_core.engine.live.produced import Produced, made_up_directory, produced_node
from backup_core.engine.messages import FileOutcome
from backup_core.engine.read_ahead import ReadAhead
from backup_core.engine.restore_layout import printable
from backup_core.engine.roots import Root, Sources, Waypoint
from backup_core.engine.selection import Kept, Place, Selection
from backup_core.engine.source import Found, describes, join, make_node
from backup_core.engine.source_problems import SourceProblems
from backup_core.engine.tree_builder import Earlier, OpenDirectory, TreeBuilder
from backup_core.engine.tree_ledger import TreeLedger
from backup_core.engine.tree_splicing import Compared, Unchanged
from backup_core.engine.walk_counts import WalkCounts
from backup_core.errors import SourceError
from backup_core.format.ids import ids_in
from backup_core.format.tree import Node
from backup_core.types import BlobId, TreeId

_NOWHERE = Place(b"", b"", False, 0, Patterns())


class FileSink(Protocol):
    """Stores the content of files; the pipeline does."""

    def store(self, path: bytes, status: os.stat_result, done: Callable[[FileOutcome], None]) -> None:
        """Store a regular file and call ``done``, now or later."""
        ...

    def store_database(self, path: bytes, status: os.stat_result, done: Callable[[FileOutcome], None]) -> None:
        """The same for a database that is to be copied in a consistent state first."""
        ...

    def pump(self, *, wait: bool) -> None:
        """Take note of what is done."""
        ...


class _Entry(NamedTuple):
    """An entry of the source, and where its node belongs."""

    path: bytes
    name: bytes
    status: os.stat_result
    parent: OpenDirectory
    slot: int
    old: Node | None
    """What the backup that is compared with has in its place."""
    listed: bool = False
    """Whether the index is known to list all content of ``old``."""
    database: bool = False
    """Whether it is a database beside which its log lies."""


class _Visit(NamedTuple):
    """A directory to be walked, and where its tree belongs."""

    place: Place
    parent: OpenDirectory | None
    slot: int
    node: Node | None
    old: Node | None
    old_tree: TreeId | None


class SourceWalk:
    """One walk through all sources of a run."""

    def __init__(
        self,
        selection: Selection,
        builder: TreeBuilder,
        sink: FileSink,
        earlier: EarlierTrees,
        problems: SourceProblems,
        *,
        is_stored: Callable[[BlobId], bool] | None,
        on_entry: Callable[[bytes, int, int], None],
        databases: LiveDatabases | None = None,
        ledger: TreeLedger | None = None,
        ahead: ReadAhead | None = None,
    ) -> None:
        """``is_stored`` says whether content that an earlier backup refers to can still be had; None reads every file.

        ``on_entry`` is told the path of each entry that is done, its size if it was not read, and 1; or, of entries
        that were done together, one path, all sizes, and how many they were. ``ledger`` says what need not be decoded.
        """
        self.counts = WalkCounts()
        self.census = ChangeCensus()
        self.notes: list[str] = []
        self._selection = selection
        self._builder = builder
        self._sink = sink
        self._earlier = earlier
        self._problems = problems
        self._is_stored = is_stored
        self._on_entry = on_entry
        self._databases = databases
        self._ledger = ledger or TreeLedger()
        self._ahead = ahead or ReadAhead()
        self._stack: list[_Visit] = []
        self._beside: Waypoint | None = None

    def run(self, sources: Sources, old_tree: TreeId | None) -> None:
        """Walk. The outcomes of some files are still to come when this returns."""
        if isinstance(sources.top, Root):
            root = sources.top
            self._beside = sources.beside if sources.produced else None
            self._visit(_Visit(self._place(root), None, 0, None, None, old_tree))
        else:
            self._open_waypoint(sources.top, _Visit(_NOWHERE, None, 0, None, None, old_tree))
        while self._stack:
            self._visit(self._stack.pop())

    def _place(self, root: Root) -> Place:
        return self._selection.source(root.path, root.status.st_dev)._replace(path=root.place)

    def _open_waypoint(self, point: Waypoint, visit: _Visit) -> None:
        """Enter a directory above the sources: of its entries, those are kept that lead there."""
        before = self._earlier.entries(visit.old_tree)
        earlier = Earlier(visit.old, visit.old_tree, len(before))
        directory = self._builder.open(visit.parent, visit.slot, visit.node, count=len(point.children), earlier=earlier)
        for slot, (name, child) in enumerate(point.ascending()):
            self._below_waypoint(name, child, directory, slot, before.get(name))

    def _below_waypoint(
        self, name: bytes, child: Waypoint | Root | Produced, directory: OpenDirectory, slot: int, old: Node | None
    ) -> None:
        if isinstance(child, Waypoint):
            node = self._waypoint_node(child, name, old)
            self._open_waypoint(child, _Visit(_NOWHERE, directory, slot, node, old, old.subtree if old else None))
        elif isinstance(child, Produced):
            self._produced(name, child, directory, slot, old)
        else:
            entry = _Entry(child.place, name, child.status, directory, slot, old)
            if stat.S_ISDIR(child.status.st_mode):
                self._push(self._place(child), entry)
                return
            if self._databases is not None:
                status, database = self._databases.settle_one(child.place, child.status, old)
                entry = entry._replace(status=status, database=database)
            self._entry(entry)

    def _produced(self, name: bytes, file: Produced, directory: OpenDirectory, slot: int, old: Node | None) -> None:
        """The output of a command; in a rehearsal it did not run, and there is nothing."""
        if file.content is None:
            self._builder.put(directory, slot, None)
            return
        node = produced_node(file, name)
        same = old is not None and (old.size, old.content) == (node.size, node.content)
        self.counts.file(node, old, unchanged=same)
        self._on_entry(file.path, 0, 1)
        self._builder.put(directory, slot, node)

    def _waypoint_node(self, point: Waypoint, name: bytes, old: Node | None) -> Node | None:
        self.counts.directories += 1
        if point.made_up:
            return made_up_directory(name, point.time_ns)
        try:
            status = os.stat(point.path)
            if old is not None and describes(old, status):
                return old
            return make_node(name, point.path, status, old=old, on_problem=self._problems.attributes)
        except OSError as error:
            shown = printable(point.path)
            raise SourceError(f"{shown}, above a source, cannot be looked at: {error.strerror}", path=shown) from error

    def _push(self, place: Place, entry: _Entry) -> None:
        """Have a directory walked later."""
        node = self._make_node(entry)
        if node is None:
            self._builder.put(entry.parent, entry.slot, None)
            return
        old = entry.old
        self._stack.append(_Visit(place, entry.parent, entry.slot, node, old, old.subtree if old is not None else None))

    def _visit(self, visit: _Visit) -> None:
        place = visit.place
        self._sink.pump(wait=False)
        listing = self._list(place)
        if listing is None:
            if visit.parent is not None:
                self._builder.put(visit.parent, visit.slot, None)
            else:
                self._builder.open(None, 0, None, count=0)
            return
        beside = self._take_beside(visit)
        everything = self._selection.keeps_all(place, listing)
        if not beside and everything and self._visit_standing(visit, listing, listing):
            return
        kept = self._selection.choose(place, listing)
        found = [entry.found for entry in kept]
        if not beside and (len(found) < len(listing) or not everything) and self._visit_standing(visit, listing, found):
            return
        optional = place.patterns.selects_files and not place.inside and bool(place.relative)
        compared = self._compare(visit, listing, found, outputs=bool(beside))
        before, unchanged = compared.nodes, compared.unchanged
        prefix = join(place.path, b"")
        databases: frozenset[bytes] = frozenset()
        if self._databases is not None:
            kept, databases = self._databases.settle(prefix, listing, kept, before)
        earlier = Earlier(visit.old, visit.old_tree, compared.entries)
        directory = self._builder.open(
            visit.parent, visit.slot, visit.node, count=len(kept) + len(beside), earlier=earlier, optional=optional
        )
        self.counts.directories += 1
        self._note_new_names(prefix, before, kept, unchanged)
        if unchanged.nodes:
            self._put_unchanged(place, directory, kept, unchanged)
        listed = self._ledger.lists(visit.old_tree)
        first_below = len(self._stack)
        places = self._place_outputs(beside, kept, directory, before) if beside else None
        for slot, ((name, status), relative, descend, inside) in enumerate(kept):
            if slot & 0xFF == 0xFF:
                self._sink.pump(wait=False)
            if slot in unchanged.nodes:
                continue
            at = places[name] if places is not None else slot
            entry = _Entry(prefix + name, name, status, directory, at, before.get(name), listed, name in databases)
            if descend:
                self._push(Place(entry.path, relative, inside, place.device, place.patterns), entry)
            else:
                self._entry(entry)
        # The last one pushed is visited first, and trees ascend.
        self._stack[first_below:] = reversed(self._stack[first_below:])

    def _compare(self, visit: _Visit, listing: list[Found], found: list[Found], *, outputs: bool) -> Compared:
        """A directory beside its earlier tree; entry by entry, unless nothing but its own files counts in it."""
        record = self._ledger.known(visit.old_tree)
        plain = self._is_stored is not None and not visit.place.patterns.selects_files and not outputs
        digests = record.digests if record is not None and plain and not has_company(listing) else b""
        return self._earlier.compare(visit.old_tree, digests, found)

    def _note_new_names(self, prefix: bytes, before: dict[bytes, Node], kept: list[Kept], unchanged: Unchanged) -> None:
        """Unchanged entries are there before and after."""
        now = {entry.found.name for slot, entry in enumerate(kept) if slot not in unchanged.nodes}
        if before and not now.issubset(before):
            self.census.directory(prefix, before, now)

    def _put_unchanged(self, place: Place, directory: OpenDirectory, kept: list[Kept], unchanged: Unchanged) -> None:
        """Take over what an earlier tree says of many entries."""
        every = [kept[slot].found.status for slot in unchanged.nodes]
        sizes = [status.st_size for status in every if stat.S_ISREG(status.st_mode)]
        files, size = len(sizes), sum(sizes)
        self.counts.unchanged(files=files, size=size, others=len(every) - files)
        self._on_entry(place.path, size, len(every))
        self._builder.put_unchanged(directory, unchanged, files=files, size=size)

    def _visit_standing(self, visit: _Visit, listing: list[Found], found: list[Found]) -> bool:
        """Take the earlier tree of a directory as it is, but for the directories in it; False when that cannot be.

        ``found`` are those in ``listing`` that belong to the backup.
        """
        place = visit.place
        if self._is_stored is None or place.patterns.selects_files:
            return False
        record = self._ledger.standing(visit.old_tree, found)
        if record is None:
            return False
        below = self._selection.choose(place, [each for each in found if stat.S_ISDIR(each.status.st_mode)])
        # Mount points have trees of their own, and databases in use are recorded with other facts than theirs.
        if len(below) != len(record.subtrees) or not all(entry.descend for entry in below) or has_company(listing):
            return False
        self.counts.directories += 1
        self.counts.unchanged(files=record.files, size=record.size, others=record.others)
        self._on_entry(place.path, record.size, record.files + record.others)
        earlier = Earlier(visit.old, visit.old_tree)
        directory = self._builder.open_standing(visit.parent, visit.slot, visit.node, earlier=earlier, record=record)
        prefix = join(place.path, b"")
        for slot in range(len(below) - 1, -1, -1):  # the last one pushed is visited first, and trees ascend
            (name, _), relative, _, inside = below[slot]
            node = Node(name, "dir", subtree=record.subtrees[slot])
            inner = Place(prefix + name, relative, inside, place.device, place.patterns)
            self._stack.append(_Visit(inner, directory, slot, node, node, node.subtree))
        return True

    def _take_beside(self, visit: _Visit) -> dict[bytes, Waypoint | Root | Produced]:
        """What commands put beside the entries of the file system's root, once."""
        if visit.parent is not None or self._beside is None:
            return {}
        children, self._beside = self._beside.children, None
        return children

    def _place_outputs(
        self,
        beside: dict[bytes, Waypoint | Root | Produced],
        kept: list[Kept],
        directory: OpenDirectory,
        before: dict[bytes, Node],
    ) -> dict[bytes, int]:
        """Enter outputs into a directory; the slots of all its entries, ascending by name."""
        names = sorted([*beside, *(entry.found.name for entry in kept)])
        places = {name: slot for slot, name in enumerate(names)}
        for name, child in beside.items():
            self._below_waypoint(name, child, directory, places[name], before.get(name))
        return places

    def _list(self, place: Place) -> list[Found] | None:
        """The entries of a directory; None when it cannot be read, which was told then."""
        try:
            listing, failed = self._ahead.take(place.path)
        except OSError as error:
            self._problems.unreadable(place.path, error, directory=True)
            return None
        prefix = join(place.path, b"")
        for name, fault in failed:
            gone = isinstance(fault, FileNotFoundError)
            if not (gone and self._databases is not None and self._databases.had_beside(prefix, name, listing)):
                self._problems.unreadable(prefix + name, fault)
        if not place.relative and (marker := self._selection.marker_of(place, listing)):
            self.notes.append(
                f"the source {printable(place.path)} holds {printable(marker)}, so all else in it was left out"
            )
        return listing

    def _entry(self, entry: _Entry) -> None:
        """Anything that is not walked into."""
        node = self._make_node(entry)
        if node is None:
            self._builder.put(entry.parent, entry.slot, None)
        elif node.type == "file":
            self._file(entry, node)
        elif node.type == "dir":  # another file system begins here: the directory is kept, not what is mounted on it
            self.counts.directories += 1
            old = entry.old
            earlier = Earlier(old, old.subtree if old else None, len(self._earlier.entries(old.subtree)) if old else 0)
            self._builder.open(entry.parent, entry.slot, node, count=0, earlier=earlier)
        else:
            self.counts.other(node, entry.old)
            self._on_entry(entry.path, 0, 1)
            self._put(entry, node)

    def _file(self, entry: _Entry, node: Node) -> None:
        old = entry.old
        if self._is_stored is not None and old is not None and is_unchanged(old, entry.status):
            content = old.content or ()
            if entry.listed or all(map(self._is_stored, content)):
                self.counts.unchanged(files=1, size=node.size)
                self._on_entry(entry.path, node.size, 1)
                if node is not old:
                    node.content = content
                self._put(entry, node)
                return
            self.counts.read_again += 1
        store = self._sink.store_database if entry.database else self._sink.store
        store(entry.path, entry.status, partial(self._stored, entry, node))

    def _stored(self, entry: _Entry, node: Node, outcome: FileOutcome) -> None:
        """Take what became of a file that was to be read."""
        if outcome.status not in ("stored", "changed", "unsettled"):
            self._problems.not_stored(entry.path, outcome)
            self._builder.put(entry.parent, entry.slot, None)
            return
        if outcome.status == "changed":
            self._problems.changed(entry.path)
        elif outcome.status == "unsettled":
            self._problems.unsettled(entry.path, outcome.reason)
        if outcome.found is not None:
            entry = entry._replace(status=outcome.found)
            node = self._make_node(entry) or node
        content = ids_in(outcome.ids)
        if node is not entry.old:
            node.size, node.content = outcome.size, content
        elif (node.size, node.content) != (outcome.size, content):
            node = replace(node, size=outcome.size, content=content)
        self.counts.file(node, entry.old, unchanged=is_unchanged(entry.old, entry.status))
        self.census.file(entry.path, entry.name, node, entry.old)
        self._on_entry(entry.path, 0, 1)
        self._put(entry, node)

    def _put(self, entry: _Entry, node: Node) -> None:
        self._builder.put(entry.parent, entry.slot, node, same=node is entry.old)

    def _make_node(self, entry: _Entry) -> Node | None:
        """The node of an entry, the earlier one if it fits; None when there is none to be had, which was told then."""
        if entry.old is not None and describes(entry.old, entry.status):
            return entry.old
        try:
            return make_node(entry.name, entry.path, entry.status, old=entry.old, on_problem=self._problems.attributes)
        except OSError as error:
            self._problems.unreadable(entry.path, error)
            return None
