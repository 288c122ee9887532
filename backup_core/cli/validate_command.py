"""``davault validate``."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backup_core.cli import units
from backup_core.cli.exits import ExitCode
from backup_core.cli.frame import Invocation, UsageError, command
from backup_core.cli.output import Reply, show_lines, table

if TYPE_CHECKING:
    from rich.console import Console

    from backup_core.services.findings import BackupValidationResult


class ValidationDepth(StrEnum):
    """What ``validate --depth`` takes."""

    QUICK = "quick"
    DATA = "data"
    RESTORE = "restore"


def register(app: typer.Typer) -> None:
    """Add this command to ``app``."""
    command(app, "validate", opens="config")(validate)


def validate(
    run: Invocation,
    *,
    backup_id: Annotated[str | None, typer.Argument(metavar="[BACKUP_ID]", help="As davault list shows it.")] = None,
    config: Annotated[
        str | None, typer.Option("--config", metavar="NAME", help="All backups of this configuration.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="All backups of all configurations.")] = False,
    depth: Annotated[
        ValidationDepth,
        typer.Option(
            "--depth",
            help="quick: everything is there; data: read and check its content; restore: restore and compare.",
        ),
    ] = ValidationDepth.QUICK,
    subset: Annotated[
        str | None,
        typer.Option("--read-data-subset", metavar="S", help="Read only a part at depth data: 1/7, 5% or 500M."),
    ] = None,
    live_source: Annotated[
        bool, typer.Option("--live-source", help="At depth restore, compare with the files on this machine, too.")
    ] = False,
    scratch: Annotated[
        Path | None, typer.Option("--scratch", metavar="DIR", help="Where depth restore restores to.")
    ] = None,
    mirror: Annotated[
        str | None,
        typer.Option("--mirror", metavar="CLIENT", help="With --config: its copies at this mirror (or CLIENT:/PATH)."),
    ] = None,
) -> Reply:
    """Check backups: one, those of a configuration, or all."""
    from backup_core.cli import documents

    _refuse_nonsense(
        subjects=sum((backup_id is not None, config is not None, all_)),
        subset=subset is not None and depth is not ValidationDepth.DATA,
        restoring=(live_source or scratch is not None) and depth is not ValidationDepth.RESTORE,
        mirror=mirror is not None and config is None,
    )
    with run.long_work() as progress:
        results = run.application.validate(
            [] if backup_id is None else [backup_id],
            config_name=config,
            depth=depth.value,
            subset=subset,
            live_source=live_source,
            scratch=scratch,
            mirror=mirror,
            cancel=run.cancel,
            progress=progress,
        )
    damaged = [r for r in results if not r.is_valid]
    document = {
        "is_valid": not damaged,
        "depth": depth.value,
        "checked": len(results),
        "damaged": len(damaged),
        "results": [documents.validation(r) for r in results],
    }
    return Reply(document, lambda out: _show(out, results), ExitCode.DAMAGE if damaged else ExitCode.OK)


def _refuse_nonsense(*, subjects: int, subset: bool, restoring: bool, mirror: bool) -> None:
    """Options that make no sense together: ``subjects`` are counted, of the others one that is true is wrong."""
    if subjects != 1:
        raise UsageError("say what to validate: a BACKUP_ID, --config NAME or --all")
    if subset:
        raise UsageError("--read-data-subset needs --depth data")
    if mirror:
        raise UsageError("--mirror needs --config NAME")
    if restoring:
        raise UsageError("--live-source and --scratch need --depth restore")


def _show(out: Console, results: Sequence[BackupValidationResult]) -> None:
    rows = [
        (
            r.backup_id or "-",
            "whole" if r.is_valid else "DAMAGED",
            r.depth,
            f"{units.number(r.files_passed)} of {units.number(r.files_checked)}",
            units.number(r.packs_checked),
            units.size(r.bytes_read),
            units.duration(r.seconds),
        )
        for r in results
    ]
    columns = ("BACKUP ID", "RESULT", "DEPTH", "FILES PASSED", "PACKS", "READ", "TIME")
    out.print(table(columns, rows, right=("FILES PASSED", "PACKS", "READ", "TIME")))
    if not results:
        out.print("there are no backups to check")
    for r in results:
        show_lines(out, "error", r.errors)
        show_lines(out, "warning", r.warnings)
