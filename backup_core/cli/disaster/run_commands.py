"""``davault dr test|drill|execute|resume|history|report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backup_core.cli import units
from backup_core.cli.disaster.group import (
    PlanArgument,
    Report,
    Yes,
    confirmed,
    exit_code,
    group,
    manager,
    write_report,
)
from backup_core.cli.exits import ExitCode
from backup_core.cli.frame import Invocation, UsageError, command
from backup_core.cli.output import Reply, facts, show_lines, table

if TYPE_CHECKING:
    from rich.console import Console

    from backup_core.services.disaster.records import Preview, ReadinessReport, RunReport, StepReport, Trend

_KINDS = ("drill", "execution")


@command(group, "test")
def test(run: Invocation, *, plan: PlanArgument) -> Reply:
    """Find out whether a plan could be executed now, without moving data.

    Looks at every configuration, key and backup, at the packs on the servers, at targets, room, programs and people to
    be told, and estimates the time from past restores.
    """
    from backup_core.services.disaster.reports import document

    with run.long_work() as progress:
        report = manager(run).readiness(plan, cancel=run.cancel, progress=progress)
    code = ExitCode.OK if report.passed else ExitCode.PROBLEMS
    return Reply(document(report), lambda out: _show_readiness(out, report), code)


@command(group, "drill")
def drill(
    run: Invocation,
    *,
    plan: PlanArgument,
    step: Annotated[
        list[str] | None, typer.Option("--step", metavar="STEP", help="Only this step; repeatable.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option("--sample", metavar="N", help="Restore only N files of each step, others each time.")
    ] = None,
    scratch: Annotated[
        Path | None, typer.Option("--scratch", metavar="DIR", help="Make the drill's directory below this one.")
    ] = None,
    report: Report = None,
) -> Reply:
    """Restore a plan into a scratch directory, verify it, run its checks, measure it, and remove it again."""
    from backup_core.services.disaster.reports import document

    with run.long_work() as progress:
        done = manager(run).drill(
            plan, steps=step or (), sample=sample, scratch=scratch, cancel=run.cancel, progress=progress
        )
    write_report(done, report)
    trend = manager(run).trend(plan)

    def show(out: Console) -> None:
        _show_run(out, done)
        _show_trend(out, trend)

    return Reply({**document(done), "trend": document(trend)}, show, exit_code(done))


@command(group, "execute")
def execute(run: Invocation, *, plan: PlanArgument, yes: Yes = False, report: Report = None) -> Reply:
    """Carry out a plan: the real thing. Shows what would be done and asks first.

    Ends with an exit code other than 0 when anything is missing. After a crash, davault dr resume goes on where it
    stood.
    """
    if not yes:
        preview = manager(run).preview(plan)
        _show_preview(run.err, preview)
        confirmed(run, f"Carry out {units.printable(preview.plan_name)} now?", yes=False)
    with run.long_work() as progress:
        done = manager(run).carry_out(plan, cancel=run.cancel, progress=progress)
    return _executed(done, report)


@command(group, "resume")
def resume(
    run: Invocation,
    *,
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="A plan's name or id, or the id of an execution.")],
    yes: Yes = False,
    report: Report = None,
) -> Reply:
    """Go on with a plan's last execution where it stopped, with the backups that were chosen then.

    Steps that were completed are not touched; a failed or interrupted one goes on with the stage where it stood.
    """
    stopped = manager(run).executions.resumable(plan)
    if stopped is not None and not yes:
        _show_run(run.err, stopped)
        confirmed(run, f"Go on with {stopped.run_id}?", yes=False)
    with run.long_work() as progress:
        done = manager(run).resume(plan, cancel=run.cancel, progress=progress)
    return _executed(done, report)


@command(group, "history")
def history(
    run: Invocation,
    *,
    plan: Annotated[str | None, typer.Argument(metavar="[PLAN]", help="Only this plan.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", metavar="drill|execution", help="Only these.")] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most so many.")] = 20,
) -> Reply:
    """Show drills and executions, newest first; for one plan also the trend of its drills and the first breach."""
    from backup_core.services.disaster.reports import document

    if kind is not None and kind not in _KINDS:
        raise UsageError(f"--kind is one of {', '.join(_KINDS)}")
    runs = manager(run).history(plan, kind=kind, limit=limit)
    trend = manager(run).trend(plan) if plan is not None else None

    def show(out: Console) -> None:
        out.print(table(_RUN_COLUMNS, [_run_row(r) for r in runs], right=("RTO", "RPO")))
        if trend is not None:
            _show_trend(out, trend)

    return Reply({"runs": [document(r) for r in runs], "trend": document(trend) if trend else None}, show)


@command(group, "report")
def report_(
    run: Invocation, *, run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="As davault dr history shows it.")]
) -> Reply:
    """Print the report of a drill or execution: what came back, what did not, and why."""
    from backup_core.services.disaster.reports import document, run_markdown

    found = manager(run).report(run_id)
    return Reply(document(found), lambda out: out.print(run_markdown(found), soft_wrap=True))


# ---- showing


def _executed(done: RunReport, file: Path | None) -> Reply:
    from backup_core.services.disaster.reports import document

    write_report(done, file)
    return Reply(document(done), lambda out: _show_run(out, done), exit_code(done))


def _show_readiness(out: Console, report: ReadinessReport) -> None:
    rows = [(f.level.value, f.subject, f.message) for f in report.findings]
    out.print(table(("LEVEL", "SUBJECT", "FINDING"), rows))
    for f in report.findings:
        if f.advice and f.level.value != "ok":
            out.print(f"{units.printable(f.subject)}: {units.printable(f.advice)}", soft_wrap=True)
    out.print(f"{units.printable(report.plan_name)} is {'ready' if report.passed else 'NOT ready'}")


def _show_preview(out: Console, preview: Preview) -> None:
    rows = [
        (
            s.name,
            ", ".join(s.depends_on) or "-",
            s.backup_id or "-",
            units.number(s.files),
            units.size(s.total_size),
            s.target,
            str(len(s.commands)),
            str(s.checks),
        )
        for s in preview.steps
    ]
    columns = ("STEP", "AFTER", "BACKUP", "FILES", "SIZE", "TARGET", "COMMANDS", "CHECKS")
    out.print(table(columns, rows, right=("FILES", "SIZE", "COMMANDS", "CHECKS")))
    out.print(f"{preview.parallel} steps at a time; on failure: {preview.on_failure}")
    show_lines(out, "will run", [f"{s.name}: {command}" for s in preview.steps for command in s.commands])
    show_lines(out, "problem", preview.problems)


_RUN_COLUMNS = ("RUN", "PLAN", "STARTED", "RESULT", "RTO", "RPO", "MISSED", "RESTORED")


def _run_row(report: RunReport) -> tuple[str, ...]:
    return (
        report.run_id,
        report.plan_name,
        units.moment(report.started_at),
        report.state.value,
        _seconds(report.rto),
        _seconds(report.rpo),
        ", ".join(report.breaches) or "-",
        report.sample or "everything",
    )


def _show_run(out: Console, report: RunReport) -> None:
    from backup_core.services.disaster.reports import subject

    out.print(units.printable(subject(report)), soft_wrap=True)
    out.print(facts([("run", report.run_id), ("RTO", _of(report.rto, report.rto_target)),
                     ("RPO", _of(report.rpo, report.rpo_target))]))  # fmt: skip
    out.print()
    columns = ("STEP", "RESULT", "BACKUP", "FILES", "LOST", "WRITTEN", "TIME", "AGE OF BACKUP")
    rows = [_step_row(step) for step in report.steps]
    out.print(table(columns, rows, right=("FILES", "LOST", "WRITTEN", "TIME", "AGE OF BACKUP")))
    for step in report.steps:
        if step.error:
            show_lines(out, f"{step.name} {step.state.value}", [step.error])
        show_lines(out, f"{step.name} lost", [f"{path}: {why}" for path, why in step.lost.items()])
        shown = [f"{act.outcome}: {act.kind} {act.subject} {act.message}".rstrip() for act in step.acts]
        show_lines(out, step.name, shown)
    show_lines(out, "error", [report.error] if report.error else [])
    show_lines(out, "note", report.notes)


def _step_row(step: StepReport) -> tuple[str, ...]:
    return (
        step.name,
        step.state.value,
        step.backup_id or "-",
        units.number(step.files_restored),
        units.number(len(step.lost)),
        units.size(step.bytes_restored),
        units.duration(step.seconds),
        _seconds(step.rpo),
    )


def _show_trend(out: Console, trend: Trend) -> None:
    show_lines(out, "trend", trend.sentences)


def _of(found: float | None, target: float | None) -> str:
    allowed = "no objective" if target is None else f"{units.duration(target)} allowed"
    return f"{_seconds(found)} ({allowed})"


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else units.duration(seconds)
