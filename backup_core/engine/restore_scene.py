"""Where a planner stands: the directories from the target down to the present entry, and what is in them already."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import field
from typing import NamedTuple

from backup_core.deferred import dataclass
from backup_core.engine.restore_entry import Action, PlanEntry
from backup_core.engine.restore_existing import Blob, Judge, Judgement, Wanted, matching_blobs
from backup_core.engine.snapshot_walk import Selection, Step
from backup_core.engine.target import ROOT, Directories, Target, is_part, look, open_part, part_name
from backup_core.errors import RestoreError
from backup_core.progress import CancelToken


class Extra(NamedTuple):
    """Something at the target that the snapshot does not hold."""

    parent: int
    """Number of the directory's entry, ``target.ROOT`` for the target itself."""
    name: bytes


@dataclass(slots=True)
class Level:
    """A directory on the way from the target to the present entry."""

    step: Step | None = None
    """The snapshot's word on it; None for the target, and for what lies between it and a source."""
    index: int | None = None
    """Number of its entry, None while nothing below it was selected."""
    exists: bool = False
    """True when it is there already, so that what it holds must be looked at."""
    blocked: Judgement | None = None
    """Why nothing below it can be restored."""
    seen: set[bytes] = field(default_factory=set)
    """Names that the snapshot has here, and part files that will be used."""
    found: frozenset[bytes] = frozenset()
    """Names that are here already and may have to go."""
    damaged: bool = False
    """True when nobody knows what the snapshot has here."""


class Scene:
    """The target as it is. Reads, never writes."""

    def __init__(
        self,
        target: str,
        entries: Sequence[PlanEntry],
        judge: Judge,
        selection: Selection,
        *,
        delete: bool,
        cancel: CancelToken,
    ) -> None:
        """``RestoreError`` when the target exists and cannot be opened. ``entries`` grows while the plan is made."""
        self._judge = judge
        self._selection = selection
        self._delete = delete
        self._cancel = cancel
        self._target = Target(target, create=False) if os.path.lexists(target) else None
        self._directories = Directories(
            ROOT if self._target is None else self._target.fd, lambda n: (entries[n].parent, entries[n].name)
        )
        self.top = Level(index=ROOT, exists=self._target is not None)
        self.list(self.top)

    def close(self) -> None:
        """Let go of the target."""
        self._directories.close()
        if self._target is not None:
            self._target.close()

    def look(self, above: Level, wanted: Wanted) -> Judgement:
        """What to do with an entry, as far as what is at the target decides."""
        if above.blocked is not None:
            return Judgement(above.blocked.action, f"its directory: {above.blocked.reason}")
        if not above.exists or above.index is None:
            return Judgement(Action.CREATE)
        try:
            return self._judge.judge(self._directories.handle(above.index), wanted)
        except (OSError, RestoreError) as error:
            return Judgement(Action.FAIL, f"what is at the target cannot be read: {error}")

    def look_at_way(self, above: Level, name: bytes) -> Judgement:
        """What to do with a directory that only leads to a source: if it is there it stays as it is."""
        if above.blocked is not None or not above.exists or above.index is None:
            return above.blocked or Judgement(Action.CREATE)
        facts = look(self._directories.handle(above.index), name)
        if facts is None:
            return Judgement(Action.CREATE)
        if stat.S_ISDIR(facts.st_mode):
            return Judgement(Action.KEEP)
        return Judgement(Action.FAIL, "something that is not a directory is in its place")

    def is_same_inode(self, above: Level, entry: PlanEntry, judgement: Judgement) -> bool:
        """True when ``entry``, planned before, and what ``judgement`` was made of are one file at the target."""
        if judgement.facts is None or above.index is None:
            return False
        facts = look(self._directories.handle(entry.parent), entry.name)
        return facts is not None and os.path.samestat(facts, judgement.facts)

    def list(self, level: Level) -> None:
        """See what is in an existing directory that may have to go: part files, and everything when extras go."""
        if level.index is None or not level.exists:
            return
        try:
            names = map(os.fsencode, os.listdir(self._directories.handle(level.index)))
            level.found = frozenset(n for n in names if self._delete or is_part(n))
        except OSError as error:
            level.exists = False
            level.blocked = Judgement(Action.FAIL, f"it cannot be read: {error.strerror}")

    def leftovers(self, level: Level) -> Iterator[Extra]:
        """Part files that this restore has no use for."""
        if level.index is not None:
            for name in sorted(level.found - level.seen):
                if is_part(name):
                    yield Extra(level.index, name)

    def extras(self, level: Level) -> Iterator[Extra]:
        """What lies in a directory of a source, was selected, and is not in the snapshot."""
        if not self._delete or level.damaged or level.step is None or level.index is None:
            return
        handle = self._directories.handle(level.index) if level.found else -1
        for name in sorted(level.found - level.seen):
            if not is_part(name) and self._may_go(handle, level.step, name):
                yield Extra(level.index, name)

    def held_by_part(self, above: Level, name: bytes, content: bytes, blobs: Sequence[Blob]) -> frozenset[int]:
        """Which of a file's blobs a part file of an earlier run holds; empty when there is none of use."""
        if not above.found or above.index is None or len(blobs) < 2:
            return frozenset()
        part = part_name(name, content)
        if part not in above.found:
            return frozenset()
        held: frozenset[int] = frozenset()
        # A part that cannot be read, or is not ours, is one that is not there: the file is fetched as a whole.
        with contextlib.suppress(OSError, RestoreError):
            descriptor = open_part(self._directories.handle(above.index), part)
            try:
                if os.fstat(descriptor).st_size == sum(blob.length for blob in blobs):
                    matches = matching_blobs(descriptor, blobs, self._cancel)
                    held = frozenset(position for position, right in matches if right)
            finally:
                os.close(descriptor)
        if held:
            above.seen.add(part)
        return held

    def _may_go(self, handle: int, step: Step, name: bytes) -> bool:
        facts = look(handle, name)
        if facts is None:
            return False
        is_directory = stat.S_ISDIR(facts.st_mode)
        verdict = self._selection.judge(step.path + b"/" + name, is_directory=is_directory, inside=step.selected)
        return verdict.keep and (verdict.inside or not is_directory)
