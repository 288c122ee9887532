"""``davault backup --all``: the answer for many configurations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from backup_core.cli import units
from backup_core.cli.exits import ExitCode, exit_code_of
from backup_core.cli.faults import fault_of
from backup_core.cli.frame import Invocation
from backup_core.cli.output import Reply, show_lines, table
from backup_core.results import Outcome

if TYPE_CHECKING:
    from rich.console import Console

    from backup_core.services.live.all_backups import ConfigurationOutcome

DEFAULT_JOBS = 4
"""Repositories that are written at the same time."""


def back_up_all(run: Invocation, *, kind: str | None, dry_run: bool, jobs: int) -> Reply:
    """Back up every configuration."""
    with run.long_work() as progress:
        ended = run.application.upkeep.all_backups.run(
            kind=kind, dry_run=dry_run, jobs=jobs, cancel=run.cancel, progress=progress
        )
    document = {
        "configurations": len(ended),
        "failed": sum(one.summary is None for one in ended),
        "backups": [_document(one) for one in ended],
    }
    return Reply(document, lambda out: _show(out, ended), exit_code_of_all(ended))


def exit_code_of_all(ended: Sequence[ConfigurationOutcome]) -> ExitCode:
    """Cancelled before failed before problems; of failures that all have one code, that one."""
    if any(one.outcome is Outcome.CANCELLED for one in ended):
        return ExitCode.CANCELLED
    codes = {exit_code_of(one.error) for one in ended if one.error is not None}
    if codes:
        return codes.pop() if len(codes) == 1 else ExitCode.FAILED
    problems = any(one.outcome is Outcome.COMPLETED_WITH_PROBLEMS for one in ended)
    return ExitCode.PROBLEMS if problems else ExitCode.OK


def _document(one: ConfigurationOutcome) -> dict[str, object]:
    from backup_core.cli import documents

    return {
        "config": one.name,
        "outcome": one.outcome.value,
        "error": None if one.error is None else fault_of(one.error).document()["error"],
        "backup": None if one.summary is None else documents.backup(one.summary),
    }


def _show(out: Console, ended: Sequence[ConfigurationOutcome]) -> None:
    rows = []
    for one in ended:
        done = one.summary
        figures = ("-",) * 4
        if done is not None:
            size, added = units.size(done.total_size), units.size(done.data_added)
            figures = (units.number(done.files), size, added, units.duration(done.seconds))
        rows.append((one.name, one.outcome.value, done.backup_id if done else "-", *figures))
    columns = ("NAME", "OUTCOME", "BACKUP", "FILES", "SIZE", "NEW DATA", "TIME")
    out.print(table(columns, rows, right=columns[3:]))
    for one in ended:
        if one.error is not None:
            show_lines(out, f"{one.name}: {one.outcome.value}", [fault_of(one.error).message])
        else:
            show_lines(out, f"{one.name}: problem", [p.message for p in one.summary.problems] if one.summary else [])
