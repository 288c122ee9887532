"""``davault restores``: restores of the past and present, from whichever process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from backup_core.cli import units
from backup_core.cli.frame import Invocation, command
from backup_core.cli.output import Reply, show_lines, table
from backup_core.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from backup_core.services.recovery_records import RecoveryProgress


def register(app: typer.Typer) -> None:
    """Add this command to ``app``."""
    command(app, "restores")(restores)


def restores(
    run: Invocation,
    *,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Show so many, the newest first.")] = 20,
    cancel: Annotated[
        str | None, typer.Option("--cancel", metavar="SESSION_ID", help="Ask this one to stop; whole files stay.")
    ] = None,
) -> Reply:
    """Show how far restores are, those of other processes too, and stop one."""
    library = run.application.recovery
    if cancel is not None and not library.cancel_recovery(cancel):
        raise ConfigError(f"no restore {cancel!r} is under way")
    found = library.list_sessions(limit=limit)
    document = {"cancelled": cancel, "restores": [_document(session) for session in found]}
    return Reply(document, lambda out: _show(out, found, cancel))


def _document(session: RecoveryProgress) -> dict[str, object]:
    return {
        "session_id": session.session_id,
        "backup_id": session.backup_id,
        "config_name": session.config_name,
        "target": session.target_path,
        "status": session.status.value,
        "phase": session.phase,
        "files_total": session.total_files,
        "files_done": session.processed_files,
        "bytes_total": session.total_size,
        "bytes_done": session.processed_size,
        "percent": round(session.percent, 1),
        "rate": session.rate,
        "eta": session.eta,
        "current_path": session.current_file,
        "message": session.message,
        "error": session.error,
        "errors": list(session.errors),
        "started_at": units.timestamp(session.started_at),
        "ended_at": units.timestamp(session.ended_at),
    }


def _show(out: Console, found: list[RecoveryProgress], cancelled: str | None) -> None:
    rows = [
        (
            s.session_id,
            s.backup_id,
            s.status.value if s.status.final else f"{s.status.value} {s.percent:.0f} %",
            f"{units.number(s.processed_files)}/{units.number(s.total_files)}",
            units.size(s.processed_size),
            "-" if s.eta is None else units.duration(s.eta),
            units.moment(s.started_at),
            s.target_path,
        )
        for s in found
    ]
    columns = ("SESSION", "BACKUP ID", "STATUS", "FILES", "SIZE", "LEFT", "STARTED", "TARGET")
    out.print(table(columns, rows, right=("FILES", "SIZE", "LEFT")))
    show_lines(out, "error", [f"{s.session_id}: {s.error}" for s in found if s.error])
    if cancelled is not None:
        out.print(f"{units.printable(cancelled)} was asked to stop")
