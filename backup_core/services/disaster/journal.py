"""One drill or execution in the catalogue: noted before each stage, so that it can be watched and resumed."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import islice
from typing import Any

from backup_core.catalogue.catalogue import Catalogue
from backup_core.catalogue.disaster_rows import RecoveryRunRow, RecoveryStepRow
from backup_core.clock import Clock
from backup_core.config.recovery_plans import RecoveryPlan
from backup_core.errors import CatalogueError
from backup_core.repository.options import default_hostname
from backup_core.repository.processes import process_alive
from backup_core.services.disaster.choice import Choice
from backup_core.services.disaster.records import ActResult, Mode, RunReport, StepReport, StepState
from backup_core.services.moments import to_aware, to_local, to_local_if_any

_LOG = logging.getLogger(__name__)
_MOST_LOST = 10_000
_ours: set[str] = set()
"""Runs that this process is carrying out."""


class Journal:
    """The written side of one run. A recovery goes on when it cannot be written: the files matter more."""

    def __init__(self, catalogue: Catalogue, clock: Clock, run_id: str) -> None:
        self.run_id = run_id
        self._catalogue = catalogue
        self._clock = clock

    def step(self, name: str, **fields: Any) -> None:
        """Note how far a step is."""
        try:
            self._catalogue.recoveries.update_step(self.run_id, name, **fields)
        except CatalogueError as error:
            _LOG.warning("the progress of step %s could not be recorded: %s", name, error)

    def run(self, **fields: Any) -> None:
        """Note something about the whole run."""
        try:
            self._catalogue.recoveries.update(self.run_id, **fields)
        except CatalogueError as error:
            _LOG.warning("the progress of %s could not be recorded: %s", self.run_id, error)

    def report(self) -> RunReport:
        """The run as it stands. Raises ``CatalogueError``."""
        return load_report(self._catalogue, self.run_id)

    def close(self) -> None:
        """Nothing more will come from this process."""
        _ours.discard(self.run_id)


def begin(
    catalogue: Catalogue,
    clock: Clock,
    plan: RecoveryPlan,
    choices: Sequence[Choice],
    *,
    plan_id: str,
    kind: Mode,
    options: Mapping[str, Any] | None = None,
    scratch: str = "",
    started: datetime | None = None,
) -> Journal:
    """Record a run with all its steps, before anything is done. ``started``: when the clock began to count."""
    now = started or clock.now()
    run_id = f"{kind}_{now.astimezone():%Y%m%d_%H%M%S}_{uuid.uuid4().hex[:6]}"
    steps = [_step_row(run_id, number, choice, now) for number, choice in enumerate(choices)]
    ages = [row.rpo for row in steps if row.rpo is not None]
    run = RecoveryRunRow(
        run_id=run_id,
        plan_id=plan_id,
        plan_name=plan.name,
        kind=kind,
        plan=plan.record(),
        options=dict(options or {}),
        started_at=now,
        rto_target=plan.rto,
        rpo_target=plan.rpo,
        rpo=max(ages, default=None),
        scratch=scratch,
        hostname=default_hostname(),
        pid=os.getpid(),
    )
    _ours.add(run_id)
    catalogue.recoveries.begin(run, steps)
    return Journal(catalogue, clock, run_id)


def take_over(catalogue: Catalogue, clock: Clock, run_id: str) -> Journal:
    """Go on with a run that another process, or an earlier call, has left."""
    _ours.add(run_id)
    journal = Journal(catalogue, clock, run_id)
    journal.run(
        state=StepState.RUNNING.value,
        ended_at=None,
        rto=None,
        error="",
        hostname=default_hostname(),
        pid=os.getpid(),
    )
    return journal


def _step_row(run_id: str, position: int, choice: Choice, now: datetime) -> RecoveryStepRow:
    backup = choice.request.backup if choice.request is not None else None
    return RecoveryStepRow(
        run_id=run_id,
        position=position,
        name=choice.step.name,
        configuration=choice.step.configuration,
        state=StepState.PENDING.value,
        backup_id=backup.backup_id if backup else "",
        snapshot_id=backup.snapshot_id if backup else "",
        target=str(choice.target),
        rpo=(now - to_aware(backup.created_at)).total_seconds() if backup else None,
        error=choice.problem,
    )


# ---- reading


def load_report(catalogue: Catalogue, run_id: str) -> RunReport:
    """A run with its steps; ``CatalogueError`` when it is unknown."""
    row = catalogue.recoveries.get(run_id)
    if row is None:
        raise CatalogueError(f"the run {run_id!r} is not in the catalogue")
    return shown(row, catalogue.recoveries.steps(run_id))


def shown(row: RecoveryRunRow, steps: Sequence[RecoveryStepRow] = ()) -> RunReport:
    """A run as people see it; one whose process is gone was interrupted."""
    return RunReport(
        run_id=row.run_id,
        kind="drill" if row.kind == "drill" else "execution",
        plan_id=row.plan_id,
        plan_name=row.plan_name,
        state=StepState.INTERRUPTED if abandoned(row) else StepState(row.state),
        started_at=to_local(row.started_at),
        ended_at=to_local_if_any(row.ended_at),
        steps=tuple(_shown_step(step, gone=abandoned(row)) for step in steps),
        rto_target=row.rto_target,
        rpo_target=row.rpo_target,
        rto=row.rto,
        rpo=row.rpo,
        sample=str(row.options.get("sample", "")),
        error=row.error,
        notes=tuple(row.notes),
    )


def abandoned(row: RecoveryRunRow) -> bool:
    """True when a run says that it is going on, but its process on this machine is not."""
    if row.state != StepState.RUNNING.value or row.hostname != default_hostname():
        return False
    return row.run_id not in _ours if row.pid == os.getpid() else not process_alive(row.pid)


def _shown_step(row: RecoveryStepRow, *, gone: bool) -> StepReport:
    running = row.state == StepState.RUNNING.value
    return StepReport(
        name=row.name,
        configuration=row.configuration,
        state=StepState.INTERRUPTED if gone and running else StepState(row.state),
        target=row.target,
        backup_id=row.backup_id,
        snapshot_id=row.snapshot_id,
        session_id=row.session_id,
        stage=row.stage,
        started_at=to_local_if_any(row.started_at),
        ended_at=to_local_if_any(row.ended_at),
        seconds=row.seconds,
        restore_seconds=row.restore_seconds,
        rpo=row.rpo,
        files_total=row.files_total,
        files_restored=row.files_restored,
        bytes_restored=row.bytes_restored,
        lost=dict(row.lost),
        acts=tuple(ActResult(**act) for act in row.acts),
        error=row.error,
    )


def stored_lost(lost: Mapping[str, str]) -> dict[str, str]:
    """The first ten thousand losses: a lost repository makes millions."""
    return dict(islice(lost.items(), _MOST_LOST))


def stored_acts(acts: Sequence[ActResult]) -> list[dict[str, Any]]:
    """Commands and checks as plain values."""
    return [asdict(act) for act in acts]
