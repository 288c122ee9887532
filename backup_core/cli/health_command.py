"""``davault health``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from backup_core.cli import units
from backup_core.cli.exits import ExitCode
from backup_core.cli.frame import Invocation, UsageError, command
from backup_core.cli.output import Reply, table

if TYPE_CHECKING:
    from rich.console import Console

    from backup_core.services.health.records import HealthReport

_LONGEST_RPO = 10 * 365 * 24.0


def register(app: typer.Typer) -> None:
    """Add this command to ``app``."""
    command(app, "health")(health)


def health(
    run: Invocation,
    *,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Only these configurations (default: all).")
    ] = None,
    rpo: Annotated[
        float | None,
        typer.Option("--rpo", metavar="HOURS", help="How old a newest backup may be (default: recovery plans, or 48)."),
    ] = None,
) -> Reply:
    """Look whether all is well: servers, keys, indexes, locks, room, and the age of the newest backups.

    Mirrors are looked at, too. Nothing is changed. Fit for a monitoring system: exit code 0 when all is well (warnings
    do not count), 3 when something is wrong.
    """
    if rpo is not None and not 0 < rpo <= _LONGEST_RPO:
        raise UsageError("--rpo: give hours, more than 0")
    with run.long_work() as progress:
        report = run.application.health.check(
            names or (), rpo=None if rpo is None else rpo * 3600, cancel=run.cancel, progress=progress
        )
    return Reply(document(report), lambda out: _show(out, report), ExitCode.OK if report.healthy else ExitCode.PROBLEMS)


def document(report: HealthReport) -> dict[str, object]:
    """The answer as ``--json`` gives it."""
    return {
        "healthy": report.healthy,
        "at": units.timestamp(report.at),
        "errors": len(report.errors),
        "warnings": len(report.warnings),
        "seconds": round(report.seconds, 3),
        "checks": [
            {
                "subject": check.subject,
                "check": check.check,
                "level": check.level.value,
                "message": check.message,
                "advice": check.advice,
                "value": check.value,
                "limit": check.limit,
            }
            for check in report.checks
        ],
    }


def _show(out: Console, report: HealthReport) -> None:
    rows = [(c.subject, c.check, c.level.value, c.message, c.advice or "-") for c in report.checks]
    out.print(table(("SUBJECT", "CHECK", "RESULT", "MESSAGE", "ADVICE"), rows))
    if not report.checks:
        out.print("there are no configurations to look at")
    elif report.healthy:
        out.print("all is well" if not report.warnings else f"well, with {len(report.warnings)} warnings")
    else:
        out.print(f"{len(report.errors)} things are wrong")
