"""``davault estimate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from backup_core.cli import units
from backup_core.cli.backup_commands import BackupType, NameArgument
from backup_core.cli.frame import Invocation, command
from backup_core.cli.output import Reply, facts, show_lines

if TYPE_CHECKING:
    from rich.console import Console

    from backup_core.cli.documents import Document
    from backup_core.services.estimates import BackupEstimate


def register(app: typer.Typer) -> None:
    """Add this command to ``app``."""
    command(app, "estimate")(estimate)


def estimate(
    run: Invocation,
    *,
    name: NameArgument,
    type_: Annotated[
        BackupType | None,
        typer.Option("--type", help="Of this kind of backup (default: what the configuration says)."),
    ] = None,
) -> Reply:
    """Say what the next backup will need: bytes, requests, windows, time.

    The source is walked, and a sample of what is new or changed is read; nothing is stored.
    """
    with run.long_work() as progress:
        found = run.application.manager.storage_manager.estimate(
            name, kind=None if type_ is None else type_.value, cancel=run.cancel, progress=progress
        )
    return Reply({"config": name, **document(found)}, lambda out: _show(out, found))


def document(found: BackupEstimate) -> Document:
    """What ``estimate`` answers, and ``backup --dry-run`` under ``planned``."""
    planned, forecast = found.planned, found.forecast
    return {
        "backup_type": found.rehearsal.backup_type,
        "files": found.rehearsal.files,
        "total_size": found.rehearsal.total_size,
        "data_added": found.rehearsal.data_added,
        "stored_size": planned.bytes_up,
        "packs": planned.packs,
        "requests": planned.requests,
        "bytes_to_read": planned.bytes_read,
        "bytes_sampled": planned.sampled_bytes,
        "windows": forecast.windows,
        "window_requests": forecast.window_requests,
        "window_seconds": forecast.window_seconds,
        "waiting_seconds": round(forecast.waiting_seconds, 1),
        "transfer_seconds": None if forecast.transfer_seconds is None else round(forecast.transfer_seconds, 1),
        "finish_at": units.timestamp(forecast.finish_at),
        "exceeds_traffic": forecast.exceeds_traffic,
        "says": list(forecast.sentences()),
    }


def _show(out: Console, found: BackupEstimate) -> None:
    planned = found.planned
    needs, *warnings = found.forecast.sentences()
    rows = [
        ("backup", found.rehearsal.backup_type),
        ("files", units.number(found.rehearsal.files)),
        ("size", units.size(found.rehearsal.total_size)),
        ("to be read", units.size(planned.bytes_read)),
        ("new data", f"about {units.size(found.rehearsal.data_added)}"),
        ("stored", f"about {units.size(planned.bytes_up)} in {units.number(planned.packs)} packs"),
        ("needs", f"about {needs}"),
    ]
    out.print(facts(rows))
    show_lines(out, "note", [*found.rehearsal.notes, *warnings])
