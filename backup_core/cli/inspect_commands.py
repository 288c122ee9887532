"""``davault list`` and ``davault files``."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Annotated

import typer

from backup_core.cli import units
from backup_core.cli.exits import ExitCode
from backup_core.cli.frame import Invocation, command
from backup_core.cli.output import Reply, table

if TYPE_CHECKING:
    from rich.console import Console

    from backup_core.services.listings import FileEntry
    from backup_core.services.records import BackupManifest


def register(app: typer.Typer) -> None:
    """Add these commands to ``app``."""
    command(app, "list")(list_)
    command(app, "files")(files)


def list_(
    run: Invocation,
    *,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only this configuration (default: all).")
    ] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Ask the server, instead of the catalogue of this machine.")
    ] = False,
) -> Reply:
    """List backups, newest first. Exit code 3 when a repository or a snapshot could not be read."""
    from backup_core.cli import documents
    from backup_core.services.at_a_glance import backups_at_a_glance

    quick = None if refresh else backups_at_a_glance(run.settings.home, name)
    found = run.application.backups(name, refresh=refresh) if quick is None else quick
    problems = run.application.manager.listing_problems(name) if quick is None else []
    document = {
        "config": name,
        "backups": [documents.manifest(m) for m in found],
        "problems": documents.problems(problems),
    }
    code = ExitCode.PROBLEMS if problems else ExitCode.OK
    return Reply(document, lambda out: _show_list(out, found), code)


def _show_list(out: Console, found: list[BackupManifest]) -> None:
    rows = [
        (
            m.backup_id,
            units.moment(m.created_at),
            m.backup_type,
            units.number(m.file_count),
            units.size(m.total_size),
            units.size(m.stored_size),
            units.encryption(m.encrypted),
            units.moment(m.validated_at),
            str(m.problems) if m.problems else "-",
        )
        for m in found
    ]
    columns = ("BACKUP ID", "TIME", "TYPE", "FILES", "SIZE", "STORED", "ENCRYPTION", "VALIDATED", "PROBLEMS")
    out.print(table(columns, rows, right=("FILES", "SIZE", "STORED", "PROBLEMS")))
    out.print(f"{len(found)} backups" if len(found) != 1 else "1 backup")


def files(
    run: Invocation,
    *,
    backup_id: Annotated[
        str, typer.Argument(metavar="BACKUP_ID", help="As davault list shows it, or a snapshot id's first digits.")
    ],
    pattern: Annotated[
        str, typer.Argument(metavar="[PATTERN]", help="Only what matches this, such as '*.pdf' or 'docs/**'.")
    ] = "",
) -> Reply:
    """List the files in a backup."""
    from backup_core.cli import documents

    manifest = run.application.get_backup(backup_id)
    entries = run.application.files(manifest.backup_id, pattern)
    document = {
        "backup_id": manifest.backup_id,
        "pattern": pattern,
        "encrypted": manifest.encrypted,
        "files": (documents.file_entry(e) for e in entries),
    }

    def show(out: Console) -> None:
        for entry in entries:
            out.print(_line(entry), soft_wrap=True)

    return Reply(document, show)


def _line(entry: FileEntry) -> str:
    target = f" -> {entry.link_target}" if entry.link_target else ""
    times = units.moment(entry.modified_at)
    mode = stat.filemode(entry.mode)
    return f"{mode} {units.size(entry.size):>10} {times} {units.printable(entry.path + target)}"
