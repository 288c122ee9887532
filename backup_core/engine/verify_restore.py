"""Validation by really restoring: into a scratch directory, compared with the snapshot, and removed again."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from backup_core.clock import Clock
from backup_core.engine.compare import Aspect, Difference, compare_trees
from backup_core.engine.restore_entry import Action, Overwrite
from backup_core.engine.restore_layout import original_path, printable
from backup_core.engine.restore_plan import RestorePlan, plan_restore
from backup_core.engine.restore_run import run_restore
from backup_core.engine.target import remove_tree
from backup_core.errors import RestoreError
from backup_core.format.snapshot import Snapshot
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.repository.repository import Repository
from backup_core.results import CheckSummary, Outcome, Problem, RestoreSummary, Severity

_DIFFERS = {
    Action.CREATE: "it is not there after the restore",
    Action.REPLACE: "what was restored is not what the backup holds",
    Action.UPDATE: "its metadata did not come back as the backup holds it",
}


class Rehearsal:
    """Restores snapshots for no other purpose than to see whether that works."""

    def __init__(
        self,
        repository: Repository,
        *,
        scratch: Path | None,
        live_source: bool,
        clock: Clock,
        progress: ProgressTracker,
        cancel: CancelToken,
    ) -> None:
        self._repository = repository
        self._scratch = scratch
        self._live_source = live_source
        self._clock = clock
        self._progress = progress
        self._cancel = cancel

    def hold(self, snapshot: Snapshot, before: CheckSummary) -> CheckSummary:
        """Restore one snapshot and compare; ``before`` (what was found without) with all that shows."""
        with _scratch_directory(self._scratch) as place:
            plan = self._plan(snapshot, place)
            restored = run_restore(
                self._repository, plan, clock=self._clock, progress=self._progress, cancel=self._cancel
            )
            if restored.outcome is Outcome.CANCELLED:
                self._cancel.check()
            # A plan for what has just been restored is the comparison: it says what still would have to be done.
            again = self._plan(snapshot, place, verify=True)
            damaged = {**before.damaged_files, **self._damaged(plan, restored, again)}
            differences = self._compare_with_source(again, place) if self._live_source else []
        return replace(
            before,
            files_passed=max(0, before.files_checked - len(damaged)),
            bytes_read=before.bytes_read + restored.bytes_downloaded,
            damaged_files=damaged,
            problems=(*before.problems, *_new(before, restored), *differences),
        )

    def _plan(self, snapshot: Snapshot, place: str, *, verify: bool = False) -> RestorePlan:
        return plan_restore(
            self._repository,
            snapshot,
            place,
            overwrite=Overwrite.IF_CHANGED,
            verify=verify,
            cancel=self._cancel,
            progress=self._progress,
        )

    @staticmethod
    def _damaged(plan: RestorePlan, restored: RestoreSummary, again: RestorePlan) -> dict[str, str]:
        told = {original_path(path, plan.sources): reason for path, reason in restored.failed.items()}
        excused = {problem.path for problem in restored.problems if problem.kind == "metadata"}
        for number, entry in enumerate(again.entries):
            shown = again.shown(number)
            if entry.action in _DIFFERS and not (entry.action is Action.UPDATE and shown in excused):
                told.setdefault(original_path(shown, again.sources), _DIFFERS[entry.action])
        return told

    def _compare_with_source(self, plan: RestorePlan, place: str) -> list[Problem]:
        """What differs from the live source: mostly it has simply changed since."""
        problems = []
        for landing in plan.sources:
            source = b"/" + b"/".join(landing.source)
            restored = os.path.join(os.fsencode(place), *landing.place)
            if not os.path.lexists(source) or not os.path.lexists(restored):
                told = f"{printable(source)} is not on this machine (any more), so it was not compared"
                problems.append(Problem("no-source", told, printable(source), severity=Severity.HINT))
                continue
            differences = compare_trees(restored, source, extra_right=False, cancel=self._cancel)
            problems.extend(_judge(printable(source), differences))
        return problems


def _judge(source: str, differences: list[Difference]) -> Iterator[Problem]:
    """A changed file has another time too. Content that changed alone was changed by no ordinary program."""
    moved = {d.path for d in differences if d.aspect is Aspect.TIME}
    for difference in differences:
        path = source if difference.path == "." else f"{source}/{difference.path}"
        if difference.aspect is Aspect.CONTENT and difference.path not in moved:
            told = f"{path}: the content differs from the live file, though their times are the same: one was damaged"
            yield Problem("silent-change", told, path)
        elif difference.aspect is not Aspect.TIME:
            told = f"{path}: {difference.aspect} has changed since the backup"
            yield Problem("changed-since", told, path, severity=Severity.HINT)


def _new(before: CheckSummary, restored: RestoreSummary) -> list[Problem]:
    known = {(problem.kind, problem.path, problem.object_id) for problem in before.problems}
    return [p for p in restored.problems if (p.kind, p.path, p.object_id) not in known]


@contextmanager
def _scratch_directory(above: Path | None) -> Iterator[str]:
    """A new directory, removed in the end with all that is in it."""
    try:
        if above is not None:
            above.mkdir(parents=True, exist_ok=True)
        place = tempfile.mkdtemp(prefix="davault-check-", dir=above)
    except OSError as error:
        shown = str(above or tempfile.gettempdir())
        raise RestoreError(f"no scratch directory can be made in {shown}: {error.strerror}", path=shown) from error
    try:
        yield place
    finally:
        parent = os.open(os.path.dirname(place), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            remove_tree(parent, os.fsencode(os.path.basename(place)))
        finally:
            os.close(parent)
