"""The work behind ``plan_restore``: from steps through a snapshot to entries with their actions."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence

from backup_core.deferred import dataclass
from backup_core.engine.restore_content import ContentPlanner, Places, Use
from backup_core.engine.restore_entry import NO_LINK, Action, Overwrite, PlanEntry, new_file
from backup_core.engine.restore_existing import Blob, Judge, Judgement, Wanted
from backup_core.engine.restore_layout import Components, printable
from backup_core.engine.restore_scene import Extra, Level, Scene
from backup_core.engine.snapshot_walk import Selection, Step
from backup_core.engine.target import ROOT, check_name
from backup_core.engine.target_metadata import Stamp
from backup_core.errors import BackupError
from backup_core.format.file_mode import unix_mode
from backup_core.format.tree import Node
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.results import Problem, Severity
from backup_core.types import BlobLocation

_TOLD_AT_ONCE = 64
_ROUND = 4096
_DEVICES = frozenset({"dev", "chardev"})
_MADE_BY_ANYBODY = frozenset({"file", "dir", "symlink", "fifo"})
_STAYS = frozenset({Action.KEEP, Action.UPDATE})
_WRITTEN = frozenset({Action.CREATE, Action.REPLACE})

Located = Sequence[BlobLocation | None]


@dataclass(slots=True)
class Room:
    """How much space a restore takes: new files, less what they replace, and one of those beside its old version."""

    _sum: int = 0
    _largest_replaced: int = 0

    def add(self, size: int, replaced: os.stat_result | None) -> None:
        """A file with ``size`` bytes that are no hole, in the place of ``replaced``."""
        size += -size % _ROUND
        self._sum += size
        if replaced is not None and replaced.st_nlink == 1:
            self._sum -= min(size, replaced.st_blocks * 512)
            self._largest_replaced = max(self._largest_replaced, size)

    @property
    def needed(self) -> int:
        """Bytes."""
        return self._sum + self._largest_replaced


class Planner:
    """Makes the entries of one plan."""

    def __init__(
        self,
        places: Places,
        selection: Selection,
        target: str,
        overwrite: Overwrite,
        *,
        delete: bool,
        verify: bool,
        cancel: CancelToken,
        progress: ProgressTracker,
    ) -> None:
        """Open the target for looking, if it exists. ``RestoreError`` when it cannot be opened."""
        self.entries: list[PlanEntry] = []
        self.content = ContentPlanner(places)
        self.resumed: dict[int, frozenset[int]] = {}
        self.deletes: list[Extra] = []
        self.leftovers: list[Extra] = []
        self.unreadable: dict[str, str] = {}
        self.problems: list[Problem] = []
        self.room = Room()
        self.bytes_to_fetch = 0
        self._root = os.geteuid() == 0
        self._leave_directories = overwrite is Overwrite.NEVER
        judge = Judge(overwrite, verify=verify, delete=delete, owner=self._root, cancel=cancel)
        self._scene = Scene(target, self.entries, judge, selection, delete=delete, cancel=cancel)
        self._cancel = cancel
        self._progress = progress
        self._base: Components = ()
        self._levels: list[Level] = []
        self._ways: dict[Components, Level] = {(): self._scene.top}
        self._primaries: dict[tuple[int, int, str, bytes], int] = {}
        self._untold = 0

    def __enter__(self) -> Planner:
        return self

    def __exit__(self, *_: object) -> None:
        self._scene.close()

    def walk(self, steps: Iterable[Step]) -> None:
        """Plan all entries."""
        for step in steps:
            self._cancel.check()
            if step.depth == 0:
                self._begin(step.source.landing.place[:-1])
            self._leave(step.depth)
            above = self._levels[-1]
            above.seen.add(check_name(step.node.name))
            if step.node.type == "dir":
                self._levels.append(Level(step))
                if step.selected:
                    self._settle_directories()
            else:
                if above.index is None:  # all directories above a settled one are settled
                    self._settle_directories()
                if not self._plan_new_file(step.node, above):
                    self._plan_entry(step.node, above)
        self._leave(0)
        for level in self._ways.values():
            self.leftovers.extend(self._scene.leftovers(level))
        self._progress.advance(files=self._untold)

    def damaged(self, path: bytes, node: Node | None, error: BackupError) -> None:
        """Record that a directory of the snapshot (the present step) cannot be read."""
        if self._levels:
            self._levels[-1].damaged = True
        shown = printable(path) + "/"
        self.unreadable[shown] = f"what it holds is unknown: {error}"
        told = f"{shown}: nothing below this directory can be restored: {error}"
        pack = getattr(error, "object_id", "")
        self.problems.append(Problem("damaged-directory", told, shown, pack, Severity.ERROR))

    # ---- directories

    def _begin(self, place: Components) -> None:
        """Stand in the directory that takes a source."""
        ways = [place[:length] for length in range(len(place) + 1)]
        self._leave(0)
        self._levels = [self._ways.setdefault(way, Level()) for way in ways]
        self._base = place

    def _settle_directories(self) -> None:
        """Plan the directories on the way here that were only passed through until now."""
        for depth, (above, level) in enumerate(zip(self._levels, self._levels[1:], strict=False)):
            if level.index is not None:
                continue
            if level.step is None:
                self._plan_way(self._base[depth], above, level)
            else:
                self._plan_directory(level.step.node, above, level)

    def _plan_way(self, name: bytes, above: Level, level: Level) -> None:
        """A directory between the target and a source: made if need be, and otherwise left as it is."""
        judgement = self._scene.look_at_way(above, name)
        level.exists = judgement.action is Action.KEEP
        level.blocked = judgement if judgement.action is Action.FAIL else None
        level.index = self._add(above, Wanted(name, "dir", 0, None), judgement)
        self._scene.list(level)

    def _plan_directory(self, node: Node, above: Level, level: Level) -> None:
        wanted = Wanted(node.name, "dir", 0, _stamp_of(node))
        judgement = self._scene.look(above, wanted)
        level.exists = judgement.action in _STAYS
        if not level.exists and judgement.action not in _WRITTEN:
            level.blocked = judgement
        if level.exists and self._leave_directories:
            wanted = wanted._replace(stamp=None)
        level.index = self._add(above, wanted, judgement)
        self._scene.list(level)

    def _leave(self, depth: int) -> None:
        """Come back from the source's directories that are deeper than ``depth``."""
        while len(self._levels) > depth + len(self._base) + 1:
            level = self._levels.pop()
            self.leftovers.extend(self._scene.leftovers(level))
            self.deletes.extend(self._scene.extras(level))

    # ---- other entries

    def _plan_new_file(self, node: Node, above: Level) -> bool:
        """Plan a file of one blob where nothing is yet, in few steps: most entries of most restores are like that.

        False for any other entry.
        """
        content = node.content
        alone = node.type == "file" and node.links <= 1 and content is not None and len(content) == 1
        if not alone or content is None or above.exists or above.blocked is not None or node.error:
            return False
        place = self.content.locate(content[0])
        if place is None or place.plaintext_length != node.size:
            return False
        number = self._add_file(node, ROOT if above.index is None else above.index, content[0])
        if self.content.is_zeros(content[0], place):
            self.room.add(0, None)
        else:
            self.content.want(place, Use(number, 0, 0))
            self.bytes_to_fetch += node.size
            self.room.add(node.size, None)
        self._tell_progress(node)
        return True

    def _add_file(self, node: Node, parent: int, content: bytes) -> int:
        stamp = _stamp_of(node)
        self.entries.append(new_file(parent, node.name, stamp, node.size, content))
        return len(self.entries) - 1

    def _plan_entry(self, node: Node, above: Level) -> None:
        places: Located = [self.content.locate(b) for b in node.content or ()] if node.type == "file" else ()
        wanted = _wanted(node, places)
        judgement = self._unmakeable(node) or self._scene.look(above, wanted)
        if judgement.action in _WRITTEN:
            judgement = _missing_blobs(node, places) or judgement
        content = b"".join(node.content or ()) if node.type == "file" else wanted.link_target
        link = NO_LINK
        if wanted.linked and judgement.action in _STAYS | _WRITTEN:
            key = (node.device_id, node.inode, node.type, content)
            primary = self._primaries.setdefault(key, len(self.entries))
            if primary != len(self.entries):
                link, judgement = primary, self._joined(primary, judgement, above)
        number = self._add(above, wanted, judgement, content, link)
        if self.entries[number].writes_content:
            self._plan_content(number, places, above, judgement)
        self._tell(node, number, wanted)

    def _unmakeable(self, node: Node) -> Judgement | None:
        """Why an entry cannot be made here, whatever is at the target."""
        if node.type == "socket":
            return Judgement(Action.SKIP, "a socket is made by the program that listens on it")
        if node.type in _DEVICES:
            return None if self._root else Judgement(Action.SKIP, "a device can only be made by root")
        if node.type not in _MADE_BY_ANYBODY:
            return Judgement(Action.FAIL, f"entries of type {node.type!r:.40} are not known")
        return None

    def _joined(self, primary: int, judgement: Judgement, above: Level) -> Judgement:
        """What becomes of an entry that is another name of one planned before."""
        if judgement.action not in _STAYS:
            return judgement
        first = self.entries[primary]
        if first.action in _STAYS and self._scene.is_same_inode(above, first, judgement):
            return judgement._replace(action=Action.KEEP)
        return judgement._replace(action=Action.REPLACE)

    def _add(
        self, above: Level, wanted: Wanted, judgement: Judgement, content: bytes = b"", link: int = NO_LINK
    ) -> int:
        parent = ROOT if above.index is None else above.index
        self.entries.append(
            PlanEntry(
                parent=parent,
                name=wanted.name,
                type=wanted.type,
                action=judgement.action,
                stamp=wanted.stamp,
                size=wanted.size,
                content=content,
                link=link,
                device=wanted.device,
                reason=judgement.reason,
            )
        )
        return len(self.entries) - 1

    def _plan_content(self, number: int, places: Located, above: Level, judgement: Judgement) -> None:
        """Ask for the blobs of a file that are not in a part file already and are more than a hole."""
        entry = self.entries[number]
        blobs = [Blob(id_, _length(place)) for id_, place in zip(entry.blobs(), places, strict=True)]
        held = self._scene.held_by_part(above, entry.name, entry.content, blobs)
        if held:
            self.resumed[number] = held
        offset = solid = 0
        for position, (blob, place) in enumerate(zip(blobs, places, strict=True)):
            if place is not None and position not in held and not self.content.is_zeros(blob.id, place):
                self.content.want(place, Use(number, position, offset))
                solid += blob.length
            offset += blob.length
        self.bytes_to_fetch += solid
        self.room.add(solid, judgement.facts)

    def _tell(self, node: Node, number: int, wanted: Wanted) -> None:
        """Report what the snapshot itself admits, and progress."""
        entry = self.entries[number]
        if node.type == "file" and wanted.size != node.size and entry.action is not Action.FAIL:
            told = f"its content has {wanted.size} bytes, its entry says {node.size}; the content is restored"
            self._warn("size-mismatch", number, told)
        if node.error:
            self._warn("recorded-error", number, f"when it was backed up: {node.error}")
        if entry.action is Action.SKIP and node.type in _DEVICES:
            self._warn("not-root", number, entry.reason)
        self._tell_progress(node)

    def _tell_progress(self, node: Node) -> None:
        self._untold += 1
        if self._untold >= _TOLD_AT_ONCE:
            self._progress.advance(files=self._untold, path=printable(node.name))
            self._untold = 0

    def _warn(self, kind: str, number: int, told: str) -> None:
        shown = printable(path_of(self.entries, number))
        self.problems.append(Problem(kind, f"{shown}: {told}", shown))


def path_of(entries: Sequence[PlanEntry], number: int) -> bytes:
    """An entry's path below the target."""
    names = []
    while number != ROOT:
        entry = entries[number]
        names.append(entry.name)
        number = entry.parent
    return b"/".join(reversed(names))


def _stamp_of(node: Node) -> Stamp:
    mode = stat.S_IMODE(unix_mode(node.mode))
    return Stamp(mode, node.uid, node.gid, node.mtime_ns, node.atime_ns, node.extended_attributes)


def _length(place: BlobLocation | None) -> int:
    return -1 if place is None else place.plaintext_length


def _wanted(node: Node, places: Located) -> Wanted:
    lengths = [_length(place) for place in places]
    size = sum(lengths) if -1 not in lengths else node.size
    return Wanted(
        name=node.name,
        type=node.type,
        size=size if node.type == "file" else 0,
        stamp=_stamp_of(node),
        blobs=tuple(map(Blob, node.content or (), lengths)),
        link_target=node.linktarget or b"" if node.type == "symlink" else b"",
        device=node.device if node.type in _DEVICES else 0,
        linked=node.links > 1 and node.inode != 0,
    )


def _missing_blobs(node: Node, places: Located) -> Judgement | None:
    missing = [blob.hex() for blob, place in zip(node.content or (), places, strict=False) if place is None]
    if not missing:
        return None
    return Judgement(Action.FAIL, f"{len(missing)} of its {len(places)} blobs are in no index, first {missing[0][:16]}")
