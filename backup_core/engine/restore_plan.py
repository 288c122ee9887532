"""Deciding what a restore will do, before anything is written: an immutable plan, which is also the dry run.

The planner walks the snapshot in tree order, looks at what stands at the target, and says for every entry whether
it is created, replaced, updated, kept, skipped or cannot be restored; which packs must be fetched for that; and how
much room it takes. It changes nothing at the target and needs no pack but those of the trees.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence

from backup_core.deferred import dataclass
from backup_core.engine.copies import Copies
from backup_core.engine.restore_content import PackWork
from backup_core.engine.restore_entry import NO_LINK, Action, Overwrite, PlanEntry
from backup_core.engine.restore_layout import Landing, printable
from backup_core.engine.restore_planner import Planner, path_of
from backup_core.engine.restore_scene import Extra
from backup_core.engine.snapshot_walk import Selection, SnapshotWalk, Source, find_sources, where_they_were
from backup_core.engine.target import free_bytes
from backup_core.errors import ConfigError
from backup_core.format.snapshot import Snapshot
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.repository.repository import Repository
from backup_core.results import Problem, Severity


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore will do. Belongs to the moment it was made: run it soon, and once."""

    snapshot: Snapshot
    target: str
    """Absolute path; names that are not UTF-8 as ``os.fsdecode`` gives them."""
    sources: tuple[Landing, ...]
    """The snapshot's sources and their places below the target."""
    overwrite: Overwrite
    delete: bool
    """True when directories in the way of other entries may go, with all they hold."""
    verify: bool
    """True when files that stay were compared with their hashes, not only by size and time."""
    entries: Sequence[PlanEntry]
    """In tree order, directories before what they hold."""
    packs: tuple[PackWork, ...]
    """What to fetch, in order of first need."""
    resumed: Mapping[int, frozenset[int]]
    """Entries whose part file of an earlier, killed run is there: which of their blobs it holds already."""
    deletes: tuple[Extra, ...]
    """What is at the target and not in the snapshot, and will be deleted, with all that lies below."""
    leftovers: tuple[Extra, ...]
    """Part files of earlier runs that are of no use."""
    bytes_total: int
    """Logical bytes of all selected files."""
    bytes_to_write: int
    """Logical bytes of the files that are written."""
    bytes_to_fetch: int
    """Those of them that come from packs; the others are holes, or in part files of an earlier run."""
    space_needed: int
    """Bytes that the target's file system must have free."""
    space_free: int
    """Bytes that it has free."""
    unreadable: Mapping[str, str]
    """Directories of which the snapshot's content cannot be read, with the reason."""
    problems: tuple[Problem, ...]
    counts: Mapping[Action, int]
    """Entries by action, directories not counted."""

    @property
    def files_total(self) -> int:
        """Entries selected (files, links, special files; not directories)."""
        return sum(self.counts.values())

    @property
    def creates(self) -> int:
        """Entries that are not there yet."""
        return self.counts.get(Action.CREATE, 0)

    @property
    def replaces(self) -> int:
        """Entries in whose place something else is, or another version."""
        return self.counts.get(Action.REPLACE, 0)

    @property
    def keeps(self) -> int:
        """Entries that stay: those that are right (or need only metadata), and those the policy leaves alone."""
        return sum(self.counts.get(action, 0) for action in (Action.UPDATE, Action.KEEP, Action.SKIP))

    @property
    def bytes_to_download(self) -> int:
        """Bytes to fetch from packs."""
        return sum(work.download for work in self.packs)

    @property
    def requests(self) -> int:
        """Requests for packs, if each range is answered at once."""
        return sum(work.ranges for work in self.packs)

    def path(self, number: int) -> bytes:
        """An entry's path below the target."""
        return path_of(self.entries, number)

    def shown(self, number: int) -> str:
        """An entry's path below the target, printable."""
        return printable(self.path(number))


def _policy(overwrite: str) -> Overwrite:
    try:
        return Overwrite(overwrite)
    except ValueError as error:
        raise ConfigError(f"overwrite must be one of {', '.join(Overwrite)}, not {overwrite!r}") from error


def _not_met(patterns: Sequence[str], selection: Selection, planner: Planner) -> list[Problem]:
    """What was asked for and is not in the backup."""
    problems = []
    if patterns and not planner.entries:
        told = f"nothing in the backup matches {', '.join(patterns)}; `files` lists what it holds"
        problems.append(Problem("no-match", told, severity=Severity.WARNING))
    if selection.listed is not None and not planner.unreadable:
        for path in map(printable, selection.listed.missing):
            problems.append(Problem("not-in-backup", f"{path} is on the list and not in the backup", path))
    return problems


def plan_restore(
    repository: Repository,
    snapshot: Snapshot,
    target: str | os.PathLike[str],
    *,
    patterns: Sequence[str] = (),
    exclude: Sequence[str] = (),
    case_insensitive: bool = False,
    overwrite: str = Overwrite.IF_CHANGED,
    delete: bool = False,
    verify: bool = False,
    listed: Sequence[bytes] | None = None,
    in_place: bool = False,
    copies: Copies | None = None,
    cancel: CancelToken,
    progress: ProgressTracker,
) -> RestorePlan:
    """Plan to restore what ``patterns`` select of ``snapshot`` (all, when there are none) below ``target``.

    ``overwrite`` is one of ``Overwrite``. ``delete``: what is inside a restored source directory at the target and
    not in the snapshot goes (only where the patterns select it). ``verify``: files that could stay because size and
    time are right are read and hashed. ``copies``: the repository with its mirrors, for what it cannot give itself.
    ``listed``: paths to restore besides those the patterns select. ``in_place``: every source goes to where it was when
    it was backed up, and ``target`` is not looked at.

    A damaged index file is a problem of the plan; what only it lists cannot be restored.
    Raises ``ConfigError`` for faulty patterns or an unknown policy, ``RestoreError`` when the target cannot be looked
    at, ``Cancelled``, and what the repository raises when even the top of the tree cannot be read.
    """
    policy = _policy(overwrite)
    progress.phase("scan")
    unread: list[Problem] = []
    repository.load_index(cancel=cancel, problems=unread, allow_unproved=True)
    readable = copies or Copies(repository, cancel=cancel)
    sources = find_sources(readable, snapshot)
    place = os.path.abspath(os.fspath(target))
    if in_place:
        place, sources = where_they_were(snapshot, sources)
    selection = Selection(sources, patterns=patterns, exclude=exclude, case_insensitive=case_insensitive, listed=listed)
    with Planner(
        readable, selection, place, policy, delete=delete, verify=verify, cancel=cancel, progress=progress
    ) as planner:
        planner.walk(SnapshotWalk(readable, snapshot, sources, selection, on_damage=planner.damaged))
    planner.problems += _not_met(patterns, selection, planner)
    planner.problems[:0] = unread
    return _made(planner, snapshot, place, sources, overwrite=policy, delete=delete, verify=verify)


def _made(
    planner: Planner,
    snapshot: Snapshot,
    place: str,
    sources: Sequence[Source],
    *,
    overwrite: Overwrite,
    delete: bool,
    verify: bool,
) -> RestorePlan:
    written = [entry.size for entry in planner.entries if entry.writes_content]
    return RestorePlan(
        snapshot=snapshot,
        target=place,
        sources=tuple(source.landing for source in sources),
        overwrite=overwrite,
        delete=delete,
        verify=verify,
        entries=tuple(planner.entries),
        packs=planner.content.finish(),
        resumed=planner.resumed,
        deletes=tuple(planner.deletes),
        leftovers=tuple(planner.leftovers),
        bytes_total=sum(e.size for e in planner.entries if e.link == NO_LINK),
        bytes_to_write=sum(written),
        bytes_to_fetch=planner.bytes_to_fetch,
        space_needed=planner.room.needed,
        space_free=free_bytes(place),
        unreadable=planner.unreadable,
        problems=tuple(planner.problems),
        counts=Counter(entry.action for entry in planner.entries if entry.type != "dir"),
    )
