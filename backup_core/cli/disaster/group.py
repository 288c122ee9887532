"""The group ``davault dr``, and what its commands share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backup_core.cli.exits import ExitCode
from backup_core.cli.frame import Invocation, UsageError

if TYPE_CHECKING:
    from backup_core.services.disaster.records import RunReport
    from backup_core.services.dr_manager import DisasterRecoveryManager

group = typer.Typer(name="dr", help="Disaster recovery: plans, readiness, drills, execution.", no_args_is_help=True)

PlanArgument = Annotated[str, typer.Argument(metavar="PLAN", help="The plan's name or id.")]
Report = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Write a report there: .md, or .json for programs.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


def manager(run: Invocation) -> DisasterRecoveryManager:
    """The disaster-recovery part of the library."""
    return run.application.recovery.disaster_recovery


def confirmed(run: Invocation, question: str, *, yes: bool) -> None:
    """Ask whether to go on; the program ends when the answer is no."""
    if yes:
        return
    if run.settings.json_output or not sys.stdin.isatty():
        raise UsageError("this asks for a confirmation, and there is nobody to ask; --yes gives it")
    typer.confirm(question, abort=True, err=True)


def exit_code(report: RunReport) -> ExitCode:
    """How the program ends after a drill or an execution: not 0 when anything is missing. A drill that missed an
    objective has problems, a real recovery that is late has not failed."""
    from backup_core.services.disaster.records import StepState

    codes = {
        StepState.COMPLETED: ExitCode.PROBLEMS if report.kind == "drill" and report.breaches else ExitCode.OK,
        StepState.INCOMPLETE: ExitCode.DAMAGE,
        StepState.CANCELLED: ExitCode.CANCELLED,
    }
    return codes.get(report.state, ExitCode.FAILED)


def write_report(report: RunReport, file: Path | None) -> None:
    """Write a report where it was asked for."""
    import json

    from backup_core.services.disaster.reports import document, run_markdown

    if file is None:
        return
    text = json.dumps(document(report), indent=2) if file.suffix == ".json" else run_markdown(report)
    file.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
