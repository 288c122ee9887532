"""Validation: is a backup whole, down to a depth that the caller chooses?

* ``quick``: snapshots, trees and index fit together, every pack is on the server with its right size, and so are the
  small files. A few listings; trees come from the local cache once they have been read.
* ``data``: besides, every pack that the backup needs is downloaded, and every blob in it authenticated, decompressed
  and hashed; the small files are fetched past the cache. With a ``Subset``, only a part of the packs this time.
* ``restore``: besides, the backup is really restored into a scratch directory, and compared with what the snapshot
  says - and, if wished, with the live source.

Several snapshots are validated in one pass: what they share is read once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from backup_core.clock import Clock
from backup_core.engine.subset import Subset
from backup_core.engine.verify_metadata import COMMON, check_content, check_presence
from backup_core.engine.verify_packs import Examiners, read_packs
from backup_core.engine.verify_restore import Rehearsal
from backup_core.engine.verify_survey import BadPack, Survey
from backup_core.errors import ConfigError
from backup_core.format.ids import from_hex
from backup_core.format.snapshot import Snapshot
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.repository.check import PackReport
from backup_core.repository.repository import Repository
from backup_core.results import CheckSummary, Problem
from backup_core.types import PackId, SnapshotId

__all__ = ["Depth", "Subset", "validate"]

Depth = Literal["quick", "data", "restore"]
_SECONDS_A_DAY = 86_400


def validate(
    repository: Repository,
    snapshots: Sequence[Snapshot],
    *,
    depth: Depth = "quick",
    subset: Subset | None = None,
    scratch: Path | None = None,
    live_source: bool = False,
    clock: Clock,
    progress: ProgressTracker,
    cancel: CancelToken,
    examiners: Examiners | None = None,
) -> dict[SnapshotId, CheckSummary]:
    """Validate snapshots to a depth; one summary for each, in which damage is data.

    ``subset`` belongs to depth "data"; shares and sizes take another part each day. ``scratch``: where depth "restore"
    makes a directory for itself and removes it again (the system's temporary directory by default).
    ``live_source``: compare what was restored with the sources on this machine too. ``examiners``: forked in advance.

    Raises ``ConfigError`` for options that do not fit the depth, ``Cancelled``, ``RestoreError`` when scratch has not
    the room, and ``StorageError`` when the server does not answer: then nothing is known.
    """
    if subset is not None and depth != "data":
        raise ConfigError(f'a part of the data can only be chosen at depth "data", not "{depth}"')
    if live_source and depth != "restore":
        raise ConfigError(f'the live source can only be compared at depth "restore", not "{depth}"')
    validation = _Validation(repository, snapshots, clock=clock, progress=progress, cancel=cancel)
    validation.survey()
    if depth == "data":
        validation.read_packs(subset, examiners)
    summaries = validation.summaries(depth)
    if depth == "restore":
        rehearsal = Rehearsal(
            repository, scratch=scratch, live_source=live_source, clock=clock, progress=progress, cancel=cancel
        )
        for snapshot in snapshots:
            summaries[snapshot.id] = rehearsal.hold(snapshot, summaries[snapshot.id])
    progress.phase("done")
    return validation.with_costs(summaries)


class _Validation:
    def __init__(
        self,
        repository: Repository,
        snapshots: Sequence[Snapshot],
        *,
        clock: Clock,
        progress: ProgressTracker,
        cancel: CancelToken,
    ) -> None:
        self._repository = repository
        self._snapshots = snapshots
        self._clock = clock
        self._progress = progress
        self._cancel = cancel
        self._started = clock.monotonic()
        self._requests = Counter(repository.backend.requests.by_method)
        self._survey = Survey(repository, progress=progress, cancel=cancel)
        self._problems: dict[SnapshotId, list[Problem]] = {COMMON: []}
        self._pack_problems: dict[PackId, list[Problem]] = {}
        self._bad: dict[PackId, BadPack] = {}
        self._read: dict[PackId, int] = {}

    def survey(self) -> None:
        """Depth "quick"."""
        self._progress.phase("check")
        index = self._repository.load_index(
            self._progress, self._cancel, problems=self._problems[COMMON], allow_unproved=True
        )
        if not index.complete and not self._problems[COMMON]:
            told = "the server may not have listed all index files; what they list counts as missing"
            self._problems[COMMON].append(Problem("unproved-listing", told))
        self._note(check_presence(self._repository, self._snapshots))
        for snapshot in self._snapshots:
            self._survey.add(snapshot.tree)
        for problem in self._repository.check_packs(self._survey.packs, cancel=self._cancel):
            self._add_pack_problem(problem)
            self._bad[PackId(from_hex(problem.object_id))] = BadPack(problem.message, None)

    def read_packs(self, subset: Subset | None, examiners: Examiners | None) -> None:
        """Depth "data"."""
        sizes = {pack: self._repository.index.pack_size(pack) or 0 for pack in self._survey.packs}
        turn = int(self._clock.now().timestamp()) // _SECONDS_A_DAY
        chosen = sorted(sizes) if subset is None else subset.choose(sizes, turn=turn)
        self._progress.phase("check", files_total=len(chosen), bytes_total=sum(sizes[pack] for pack in chosen))
        self._note(check_content(self._repository, self._snapshots, cancel=self._cancel))
        for report in read_packs(self._repository, sizes, chosen, cancel=self._cancel, examiners=examiners):
            self._take(report)
            self._progress.advance(files=1, bytes_=sizes[report.pack], stored=report.size)

    def _take(self, report: PackReport) -> None:
        self._read[report.pack] = report.size
        for problem in report.problems:
            self._add_pack_problem(problem)
        if report.damaged:
            known = self._bad.get(report.pack)
            # Blob by blob is known better now than from the pack's size.
            reason = report.problems[-1].message if report.problems else known.reason if known else ""
            self._bad[report.pack] = BadPack(reason, report.damaged)
        else:
            self._bad.pop(report.pack, None)

    def summaries(self, depth: Depth) -> dict[SnapshotId, CheckSummary]:
        """What was found, snapshot by snapshot."""
        made = {}
        for snapshot in self._snapshots:
            files, damaged, packs = self._survey.report(snapshot.tree, self._bad)
            own = [p for pack in sorted(packs) for p in self._pack_problems.get(pack, ())]
            made[snapshot.id] = CheckSummary(
                depth=depth,
                files_checked=files,
                files_passed=files - len(damaged),
                packs_checked=len(packs & self._read.keys()) if depth == "data" else len(packs),
                bytes_read=sum(self._read.get(pack, 0) for pack in packs),
                damaged_files=damaged,
                problems=(*self._problems[COMMON], *self._problems.get(snapshot.id, ()), *own),
            )
        return made

    def with_costs(self, summaries: Mapping[SnapshotId, CheckSummary]) -> dict[SnapshotId, CheckSummary]:
        """The summaries with time and requests, which are those of the whole validation."""
        seconds = self._clock.monotonic() - self._started
        requests = dict(Counter(self._repository.backend.requests.by_method) - self._requests)
        return {id_: replace(summary, seconds=seconds, requests=requests) for id_, summary in summaries.items()}

    def _note(self, found: Mapping[SnapshotId, Iterable[Problem]]) -> None:
        for snapshot, problems in found.items():
            known = self._problems.setdefault(snapshot, [])
            known.extend(problem for problem in problems if problem not in known)

    def _add_pack_problem(self, problem: Problem) -> None:
        self._pack_problems.setdefault(PackId(from_hex(problem.object_id)), []).append(problem)
