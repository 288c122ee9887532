"""Drills: a plan carried out in a scratch directory, measured, and cleared away again.

A drill removes the directory that it made itself, and nothing else. One that was killed leaves its directory behind;
the next drill finds it in the catalogue and removes it.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from backup_core.config.recovery_plans import RecoveryPlan
from backup_core.engine.target import remove_tree
from backup_core.errors import ConfigError, RestoreError
from backup_core.progress import CancelToken, ProgressSink, no_progress
from backup_core.services.disaster import journal as journals
from backup_core.services.disaster.choice import Choice, Chooser
from backup_core.services.disaster.plans import KeptPlan, Plans
from backup_core.services.disaster.records import RunReport, StepState
from backup_core.services.disaster.run import PlanRun
from backup_core.services.disaster.sampling import MOST_FILES, sampled

if TYPE_CHECKING:
    from backup_core.services.recovery_service import RecoveryService

_LOG = logging.getLogger(__name__)
PREFIX = "davault-drill-"


class Drills:
    """Holds drills of plans."""

    def __init__(
        self, recovery: RecoveryService, plans: Plans, tell: Callable[[RecoveryPlan, RunReport], list[str]]
    ) -> None:
        """``tell`` notifies people of a drill that ended; it returns what could not be delivered."""
        self._recovery = recovery
        self._service = recovery.backup_service
        self._plans = plans
        self._tell = tell

    def hold(
        self,
        plan: str,
        *,
        steps: Collection[str] = (),
        sample: int | None = None,
        scratch: Path | None = None,
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
    ) -> RunReport:
        """Restore all of a plan, the steps named, or ``sample`` files of each, into a new directory below ``scratch``;
        verify it, run the checks, measure, and remove the directory. What went wrong is in the report.

        Raises ``ConfigError`` for unknown plans and steps, ``RestoreError`` when no directory can be made.
        """
        kept = self._plans.find(plan)
        strangers = [name for name in steps if name not in {step.name for step in kept.plan.steps}]
        if strangers:
            raise ConfigError(f"the plan {kept.plan.name!r} has no step {strangers[0]!r}")
        if sample is not None and not 0 < sample <= MOST_FILES:
            raise ConfigError(f"a sample is of 1 to {MOST_FILES} files")
        self._clear_up()
        above = scratch or (Path(kept.plan.drill_scratch) if kept.plan.drill_scratch else None)
        token = cancel or CancelToken()
        notes: list[str] = []
        with _scratch_directory(above, notes) as place:
            started = self._service.clock.now()
            choices = self._choices(kept, place, only=steps, sample=sample, cancel=token)
            journal = journals.begin(
                self._service.catalogue,
                self._service.clock,
                kept.plan,
                choices,
                plan_id=kept.plan_id,
                kind="drill",
                options={"steps": list(steps), "sample": _sample_text(steps, sample)},
                scratch=str(place),
                started=started,
            )
            run = PlanRun(
                recovery=self._recovery,
                journal=journal,
                plan=kept.plan,
                mode="drill",
                choices={choice.step.name: choice for choice in choices},
                base=place,
                cancel=token,
                progress=progress,
                sampled=sample is not None,
            )
            try:
                report = run.carry_out()
            finally:
                journal.close()
        notes += self._tell(kept.plan, report)
        journal.run(scratch="", notes=notes)
        return journal.report()

    def _choices(
        self, kept: KeptPlan, place: Path, *, only: Collection[str], sample: int | None, cancel: CancelToken
    ) -> list[Choice]:
        choices = Chooser(self._recovery).choose(kept.plan, kept.plan_id, scratch=place, only=only)
        if sample is None:
            return choices
        # Another sample each time, so that in the long run everything has been looked at.
        seed = place.name
        return [sampled(self._recovery, choice, files=sample, seed=seed, cancel=cancel) for choice in choices]

    def _clear_up(self) -> None:
        """Remove what drills that were killed have left."""
        recoveries = self._service.catalogue.recoveries
        for row in recoveries.listed(kind="drill"):
            if not journals.abandoned(row):
                continue
            place = Path(row.scratch) if row.scratch else None
            if place is not None and place.name.startswith(PREFIX) and place.is_dir() and not place.is_symlink():
                _LOG.warning("removing %s, left by the drill %s, which was interrupted", place, row.run_id)
                _remove(place)
            recoveries.update(row.run_id, state=StepState.INTERRUPTED.value, scratch="", error="its process has ended")


def _sample_text(steps: Collection[str], sample: int | None) -> str:
    parts = [f"the steps {', '.join(steps)}"] if steps else []
    parts += [f"{sample} files of each step"] if sample is not None else []
    return ", ".join(parts)


@contextmanager
def _scratch_directory(above: Path | None, notes: list[str]) -> Iterator[Path]:
    """A new directory, removed in the end; ``notes`` gets a sentence when that is not possible."""
    try:
        if above is not None:
            above = above.expanduser().absolute()
            above.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=PREFIX, dir=above))
    except OSError as error:
        shown = str(above or tempfile.gettempdir())
        raise RestoreError(f"no scratch directory can be made in {shown}: {error.strerror}", path=shown) from error
    try:
        yield place
    finally:
        try:
            _remove(place)
        except OSError as error:
            notes.append(f"the scratch directory {place} could not be removed: {error.strerror}")


def _remove(place: Path) -> None:
    parent = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        remove_tree(parent, os.fsencode(place.name))
    finally:
        os.close(parent)
