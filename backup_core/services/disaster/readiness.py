"""Whether a plan could be executed now, found out without moving data and without changing anything at its targets."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from backup_core.config.durations import duration_text
from backup_core.config.recovery_checks import CommandCheck, PostgresqlCheck
from backup_core.config.recovery_plans import RecoveryPlan, RecoveryStep
from backup_core.engine.target import free_bytes
from backup_core.errors import BackupError, Cancelled
from backup_core.progress import CancelToken, ProgressSink, no_progress
from backup_core.services.disaster.choice import Choice, Chooser
from backup_core.services.disaster.estimates import Measured, expected_speed, plan_seconds
from backup_core.services.disaster.plans import KeptPlan
from backup_core.services.disaster.records import ReadinessReport, StepReadiness
from backup_core.services.findings import Finding, FindingLevel
from backup_core.services.moments import to_aware, to_local
from backup_core.services.recovery_records import RecoveryStatus

if TYPE_CHECKING:
    from backup_core.services.notices import Notices
    from backup_core.services.recovery_service import RecoveryService

OK, WARNING, ERROR = FindingLevel.OK, FindingLevel.WARNING, FindingLevel.ERROR
_PAST_RESTORES = 200
_SPARE = 1.05
"""Room wanted for each byte to be written: file systems need some for themselves."""
_DRILL_DUE = 40 * 86_400
"""Seconds after which a drill is overdue: a month and some days."""


class Readiness:
    """Examines plans."""

    def __init__(self, recovery: RecoveryService, notices: Notices) -> None:
        self._recovery = recovery
        self._notices = notices
        self._service = recovery.backup_service

    def examine(
        self, kept: KeptPlan, *, cancel: CancelToken | None = None, progress: ProgressSink = no_progress
    ) -> ReadinessReport:
        """Look at everything that executing the plan would need. What is wrong is a finding, with advice."""
        plan, now = kept.plan, self._service.clock.now()
        token = cancel or CancelToken()
        choices = Chooser(self._recovery).choose(plan, kept.plan_id)
        steps = [self._step(choice, now.timestamp(), token, progress) for choice in choices]
        findings = [
            *(finding for step, facts in zip(plan.steps, steps, strict=True) for finding in _backup(step, facts, plan)),
            *self._packs([c for c, facts in zip(choices, steps, strict=True) if not facts.error], token, progress),
            *_targets(choices),
            *_room(choices, steps),
            *_programs(plan),
        ]
        estimate = self._estimate(plan, steps)
        findings += [*_time(plan, steps, estimate), *self._people(plan), *self._drilled(kept, now.timestamp())]
        ages = [step.age for step in steps if step.age is not None]
        return ReadinessReport(
            plan_id=kept.plan_id,
            plan_name=plan.name,
            tested_at=to_local(now),
            findings=tuple(findings),
            steps=tuple(steps),
            rto_target=plan.rto,
            rpo_target=plan.rpo,
            rto_estimate=estimate,
            rpo=max(ages, default=None),
        )

    def _step(self, choice: Choice, now: float, cancel: CancelToken, progress: ProgressSink) -> StepReadiness:
        step = choice.step
        known = [] if choice.problem else self._service.manifests(step.configuration)
        facts = StepReadiness(
            step.name, step.configuration, str(choice.target), backup_count=len(known), error=choice.problem
        )
        if choice.request is None:
            return facts
        backup = choice.request.backup
        facts = replace(
            facts,
            backup_id=backup.backup_id,
            created_at=backup.created_at,
            age=now - to_aware(backup.created_at).timestamp(),
        )
        try:
            would = self._recovery.executor.preview(choice.request, cancel=cancel, progress=progress)
        except Cancelled:
            raise
        except BackupError as error:
            return replace(facts, error=str(error))
        speed = expected_speed(step.configuration, self._past())
        return replace(
            facts,
            files=would.creates + would.replaces,
            bytes_to_write=would.bytes_to_write,
            bytes_to_download=would.bytes_to_download,
            estimate=None if speed is None else would.bytes_to_write / speed.rate,
        )

    def _past(self) -> list[Measured]:
        rows = self._service.catalogue.restores.listed(limit=_PAST_RESTORES)
        return [
            Measured(row.configuration, int(row.figures["bytes_restored"]), float(row.figures["seconds"]))
            for row in rows
            if row.status == RecoveryStatus.COMPLETED.value and {"bytes_restored", "seconds"} <= row.figures.keys()
        ]

    def _estimate(self, plan: RecoveryPlan, steps: Sequence[StepReadiness]) -> float | None:
        seconds = {step.name: step.estimate for step in steps if step.estimate is not None}
        return plan_seconds(plan, seconds) if len(seconds) == len(steps) else None

    def _packs(self, choices: Sequence[Choice], cancel: CancelToken, progress: ProgressSink) -> Iterator[Finding]:
        from backup_core.services.backup_validator import BackupValidator

        validator = BackupValidator(self._service)
        for choice in choices:
            if choice.request is None:
                continue
            subject = f"data of {choice.step.name}"
            try:
                (found,) = validator.validate(
                    [choice.request.backup.snapshot_id], depth="quick", cancel=cancel, progress=progress
                )
            except Cancelled:
                raise
            except BackupError as error:
                # The step can be planned all the same, so a mirror has what it needs.
                told = f"only a mirror can be read: {error}"
                yield Finding(WARNING, subject, told, "check the server: davault client probe CLIENT")
                continue
            advice = "run a full backup while the files still exist, or choose an older backup with the step's at"
            if found.is_valid and not found.warnings:
                told = f"all {found.packs_checked} packs of {found.backup_id} are on the server, by proved listings"
                yield Finding(OK, subject, told)
            for sentence in found.errors:
                yield Finding(ERROR, subject, sentence, advice)
            for warning in found.warnings:
                yield Finding(WARNING, subject, warning)

    def _people(self, plan: RecoveryPlan) -> Iterator[Finding]:
        for problem in self._notices.unresolved(addresses=plan.addresses, channels=plan.notify):
            yield Finding(WARNING, "notifications", problem, "without it nobody is told how a recovery went")

    def _drilled(self, kept: KeptPlan, now: float) -> Iterator[Finding]:
        runs = self._service.catalogue.recoveries.listed(kept.plan_id, kind="drill", limit=1)
        advice = f"hold one: davault dr drill {kept.plan.name}"
        if not runs:
            yield Finding(WARNING, "drill", "this plan was never drilled", advice)
        elif (age := now - runs[0].started_at.timestamp()) > _DRILL_DUE:
            yield Finding(WARNING, "drill", f"the last drill was {duration_text(age // 86_400 * 86_400)} ago", advice)
        else:
            level = OK if runs[0].state == "completed" else WARNING
            yield Finding(level, "drill", f"the last drill, {runs[0].run_id}, ended {runs[0].state}")


def _backup(step: RecoveryStep, facts: StepReadiness, plan: RecoveryPlan) -> Iterator[Finding]:
    subject = f"backup of {step.name}"
    if facts.error:
        yield Finding(ERROR, subject, facts.error, f"make it restorable: davault backup {step.configuration}")
        return
    shown = f"{facts.backup_id} is {_rounded(facts.age or 0.0)} old, the one chosen of {facts.backup_count}"
    if plan.rpo is not None and (facts.age or 0.0) > plan.rpo:
        advice = f"back up now (davault backup {step.configuration}), and more often than every {_rounded(plan.rpo)}"
        yield Finding(ERROR, subject, f"{shown}. More than {duration_text(plan.rpo)} of work would be lost", advice)
    else:
        yield Finding(OK, subject, shown)


def _targets(choices: Sequence[Choice]) -> Iterator[Finding]:
    for choice in choices:
        subject = f"target of {choice.step.name}"
        existing = _nearest(choice.target)
        if not existing.is_dir():
            yield Finding(ERROR, subject, f"{existing} is no directory", "choose another target, or move it away")
            continue
        try:
            # A file without a name: it proves that writing works, and nothing of it is left.
            with tempfile.TemporaryFile(dir=existing) as probe:
                probe.write(b"davault")
        except OSError as error:
            yield Finding(ERROR, subject, f"{existing} cannot be written: {error.strerror}", "check its rights")
        else:
            yield Finding(OK, subject, f"{choice.target} can be written")


def _nearest(path: Path) -> Path:
    return next((place for place in (path, *path.parents) if os.path.lexists(place)), Path("/"))


def _room(choices: Sequence[Choice], steps: Sequence[StepReadiness]) -> Iterator[Finding]:
    """Steps that write to the same file system share its room."""
    wanted: dict[int, int] = defaultdict(int)
    places: dict[int, Path] = {}
    for choice, facts in zip(choices, steps, strict=True):
        place = _nearest(choice.target)
        device = place.stat().st_dev
        wanted[device] += facts.bytes_to_write
        places.setdefault(device, place)
    for device, needed in wanted.items():
        free = free_bytes(str(places[device]))
        shown = f"{needed / 2**20:,.1f} MiB are needed at {places[device]}, {free / 2**20:,.0f} MiB are free"
        if needed * _SPARE > free:
            yield Finding(ERROR, "room", shown, "make room, or restore elsewhere")
        else:
            yield Finding(OK, "room", shown)


def _programs(plan: RecoveryPlan) -> Iterator[Finding]:
    for step in plan.steps:
        commands = [c.command for c in (*step.before, *step.after)]
        commands += [check.command for check in step.checks if isinstance(check, CommandCheck)]
        programs = [command[0] for command in commands if not isinstance(command, str)]
        programs += ["psql" for check in step.checks if isinstance(check, PostgresqlCheck)]
        for program in dict.fromkeys(programs):
            # One that lies below a target is restored first.
            if "{" not in program and shutil.which(program) is None:
                advice = "install it, or change the plan"
                yield Finding(ERROR, f"commands of {step.name}", f"there is no program {program}", advice)


def _time(plan: RecoveryPlan, steps: Sequence[StepReadiness], estimate: float | None) -> Iterator[Finding]:
    subject = "recovery time"
    if estimate is None:
        unknown = [step.name for step in steps if step.estimate is None and not step.error]
        if unknown:
            told = f"no restore of {', '.join(unknown)} was ever measured, so nobody knows how long it takes"
            yield Finding(WARNING, subject, told, f"hold a drill: davault dr drill {plan.name}")
        return
    shown = f"about {_rounded(estimate)} by the speed of past restores"
    if plan.rto is None:
        yield Finding(OK, subject, shown)
    elif estimate > plan.rto:
        advice = "restore from a nearer place, split steps so that they run side by side, or allow more time"
        yield Finding(ERROR, subject, f"{shown}; {_rounded(plan.rto)} are allowed", advice)
    else:
        yield Finding(OK, subject, f"{shown}, of {_rounded(plan.rto)} allowed (commands not counted)")


def _rounded(seconds: float) -> str:
    """A duration to two units, which is as much as anybody wants to read."""
    whole = max(seconds, 0.0)
    step = 3600 if whole >= 86_400 else 60 if whole >= 3600 else 1
    return duration_text(round(whole / step) * step) if whole >= 1 else f"{whole:.1f}s"
