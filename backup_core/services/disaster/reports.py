"""Drills, executions and readiness as markdown and as documents: for mail, artifacts, files and programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from enum import Enum
from typing import Any

from backup_core.config.durations import duration_text
from backup_core.services.disaster.records import (
    PlannedStep,
    Preview,
    ReadinessReport,
    RunReport,
    StepReport,
    StepState,
)

MOST_LINES = 100
_ESCAPED = str.maketrans({c: f"\\{c}" for c in "\\`*_[]<>#|~"} | {"\n": " "})
_VERDICTS = {
    StepState.COMPLETED: "everything came back",
    StepState.INCOMPLETE: "some files are LOST",
    StepState.FAILED: "FAILED",
    StepState.CANCELLED: "cancelled; it can be resumed",
    StepState.INTERRUPTED: "interrupted; it can be resumed",
    StepState.RUNNING: "still running",
    StepState.PENDING: "not begun",
    StepState.BLOCKED: "not begun",
}


def document(record: Any) -> dict[str, Any]:
    """A record of this package as plain JSON values: moments with their offset, states as words."""
    plain = _plain(asdict(record))
    if isinstance(record, RunReport):
        met = {"good": record.good, "breaches": list(record.breaches)}
        return {**plain, **met, "rto_met": record.rto_met, "rpo_met": record.rpo_met}
    if isinstance(record, ReadinessReport):
        return {**plain, "passed": record.passed}
    return {**plain, "problems": list(record.problems)} if isinstance(record, Preview) else plain


def subject(report: RunReport) -> str:
    """One line for the subject of a mail."""
    what = "Drill" if report.kind == "drill" else "Recovery"
    late = f", {' and '.join(b.upper() for b in report.breaches)} missed" if report.breaches else ""
    return f"{what} of {report.plan_name}: {_VERDICTS[report.state]}{late}"


def run_markdown(report: RunReport, trend: Sequence[str] = ()) -> str:
    """What a drill or execution did: what was recovered, what was not, and why."""
    lines = [f"# {_text(subject(report))}", "", *_figures(report), "", *_steps(report.steps), ""]
    if report.error:
        lines += [f"**Error:** {_text(report.error)}", ""]
    for step in report.steps:
        lines += _step_details(step)
    lines += _section("Trend", trend)
    lines += _section("Notes", report.notes)
    return "\n".join(lines)


def _figures(report: RunReport) -> list[str]:
    rows = [
        ("Run", report.run_id),
        ("Started", f"{report.started_at:%Y-%m-%d %H:%M:%S}"),
        ("Ended", f"{report.ended_at:%Y-%m-%d %H:%M:%S}" if report.ended_at else "-"),
        ("Restored", report.sample or "everything"),
        ("Recovery time (RTO)", _objective(report.rto, report.rto_target, missed="rto" in report.breaches)),
        ("Lost work (RPO)", _objective(report.rpo, report.rpo_target, missed="rpo" in report.breaches)),
        ("Files", f"{sum(s.files_restored for s in report.steps):,}"),
        ("Lost files", f"{sum(len(s.lost) for s in report.steps):,}"),
    ]
    return ["| | |", "|---|---|", *(f"| {name} | {_text(value)} |" for name, value in rows)]


def _objective(found: float | None, target: float | None, *, missed: bool) -> str:
    shown = _seconds(found)
    if target is None:
        return f"{shown} (no objective)"
    return f"{shown} of {duration_text(target)} allowed{': MISSED' if missed else ''}"


def _steps(steps: Sequence[StepReport]) -> list[str]:
    rows = [
        f"| {_text(s.name)} | {s.state.value} | {_text(s.backup_id or '-')} | {s.files_restored:,} | {len(s.lost):,} "
        f"| {s.bytes_restored / 2**20:,.1f} MiB | {_seconds(s.seconds)} | {_seconds(s.rpo)} | {_text(s.target)} |"
        for s in steps
    ]
    head = "| Step | Result | Backup | Files | Lost | Written | Time | Age of backup | Target |"
    return [head, "|---|---|---|---:|---:|---:|---:|---:|---|", *rows]


def _step_details(step: StepReport) -> list[str]:
    acts = [
        f"{act.outcome}: {act.kind} {_text(act.subject)}{' – ' + _text(act.message) if act.message else ''} "
        f"({_seconds(act.seconds)})"
        for act in step.acts
    ]
    lost = [f"{_text(path)}: {_text(why)}" for path, why in step.lost.items()]
    if not (acts or lost or step.error):
        return []
    error = [f"**{step.state.value}:** {_text(step.error)}", ""] if step.error else []
    return [
        f"## {_text(step.name)}",
        "",
        *error,
        *_section("Commands and checks", acts, level=3, text=str),
        *_section(f"Lost: {len(lost):,}", lost, level=3, text=str),
    ]


def readiness_markdown(report: ReadinessReport) -> str:
    """Whether a plan could be executed now."""
    verdict = "ready" if report.passed else "NOT ready"
    rows = [
        f"| {f.level.value} | {_text(f.subject)} | {_text(f.message)} | {_text(f.advice)} |" for f in report.findings
    ]
    return "\n".join(
        [
            f"# {_text(report.plan_name)} is {verdict}",
            "",
            f"Recovery time: {_objective(report.rto_estimate, report.rto_target, missed=False)}, estimated. "
            f"Oldest backup: {_objective(report.rpo, report.rpo_target, missed=False)}.",
            "",
            "| Level | Subject | Finding | Advice |",
            "|---|---|---|---|",
            *rows,
        ]
    )


def preview_markdown(preview: Preview) -> str:
    """What an execution would do, for the person who has to approve it: lists, which fit into a narrow dialog."""
    manner = (
        f"{preview.parallel} steps at a time; on failure: {preview.on_failure}. "
        "Files at the targets that differ are replaced; other files stay."
    )
    lines = [f"# Execute {_text(preview.plan_name)}?", "", manner, "", *_section("Problems", preview.problems)]
    for number, step in enumerate(preview.steps, 1):
        lines += [f"## {number}. {_text(step.name)}", "", *(f"- {fact}" for fact in _planned(step)), ""]
    commands = [f"{s.name}: {command}" for s in preview.steps for command in s.commands]
    return "\n".join([*lines, *_section("Commands that will be run", commands)])


def _planned(step: PlannedStep) -> Iterator[str]:
    made = "" if step.created_at is None else f" of {step.created_at.astimezone():%Y-%m-%d %H:%M}"
    yield f"into **{_text(step.target)}**"
    yield f"backup {_text(step.backup_id)}{made}" if step.backup_id else "**no backup**"
    yield f"{step.files:,} files, {step.total_size / 2**20:,.1f} MiB"
    if step.depends_on:
        yield f"after {_text(', '.join(step.depends_on))}"
    yield f"commands: {len(step.commands)}, checks: {step.checks}"


def _section(title: str, lines: Iterable[str], *, level: int = 2, text: Any = None) -> list[str]:
    shown = [*lines]
    if not shown:
        return []
    more = [f"- … and {len(shown) - MOST_LINES:,} more"] if len(shown) > MOST_LINES else []
    clean = text or _text
    return [f"{'#' * level} {title}", "", *(f"- {clean(line)}" for line in shown[:MOST_LINES]), *more, ""]


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f}s"
    return duration_text(round(seconds / 60) * 60 if seconds >= 3600 else round(seconds))


def _text(text: str) -> str:
    """Foreign text that neither ends a table cell nor turns into markup nor steers a terminal."""
    clean = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return clean.translate(_ESCAPED)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone().isoformat()
    return value.value if isinstance(value, Enum) else value
