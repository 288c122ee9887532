"""``davault find``, ``davault diff`` and ``davault history``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from backup_core.cli import units
from backup_core.cli.exits import ExitCode
from backup_core.cli.frame import Invocation, UsageError, command
from backup_core.cli.output import Reply, facts, show_problems, table

if TYPE_CHECKING:
    from rich.console import Console

    from backup_core.services.inspection.records import (
        BackupDifference,
        FileChange,
        PathHistory,
        PathVersion,
        SearchResult,
        SideCounts,
    )

_BACKUP = "As davault list shows it, or a snapshot id's first digits."


def register(app: typer.Typer) -> None:
    """Add these commands to ``app``."""
    command(app, "find")(find)
    command(app, "diff")(diff)
    command(app, "history")(history)


def find(
    run: Invocation,
    *,
    patterns: Annotated[
        list[str],
        typer.Argument(metavar="PATTERN...", help="Names or paths such as '*.pdf', 合同.txt or /docs/**/*.txt."),
    ],
    config: Annotated[
        str | None,
        typer.Option("--config", metavar="NAME", help="Only in this configuration's backups (default: all)."),
    ] = None,
    backup: Annotated[str | None, typer.Option("--backup", metavar="BACKUP_ID", help="Only in this backup.")] = None,
    ignore_case: Annotated[bool, typer.Option("--ignore-case", help="Patterns ignore case.")] = False,
) -> Reply:
    """Find files in backups by name: each version, and which backups hold it.

    Nothing but directories is read, and those are in the local cache.
    """
    if config is not None and backup is not None:
        raise UsageError("--config and --backup are two ways to say where to look; give one")
    with run.long_work():
        result = run.application.inspection.find(
            patterns, config_name=config, backup_id=backup, case_insensitive=ignore_case, cancel=run.cancel
        )
    from backup_core.cli import inspection_documents

    code = ExitCode.DAMAGE if result.problems else ExitCode.OK
    return Reply(inspection_documents.search(result), lambda out: _show_found(out, result, patterns), code)


def _show_found(out: Console, result: SearchResult, patterns: Sequence[str]) -> None:
    rows = [
        (
            f.entry.path,
            f.entry.type,
            units.size(f.entry.size) if f.entry.type == "file" else "-",
            units.moment(f.entry.modified_at),
            units.number(f.backups),
            f.last_backup,
        )
        for f in result.files
    ]
    if rows:
        columns = ("PATH", "TYPE", "SIZE", "MODIFIED", "BACKUPS", "NEWEST BACKUP")
        out.print(table(columns, rows, right=("SIZE", "BACKUPS")))
    versions = "1 version" if len(rows) == 1 else f"{units.number(len(rows))} versions"
    out.print(f"{versions} found in {units.number(result.backups)} backups")
    if not rows and (plain := [p for p in patterns if not set("*?[/") & set(p)]):
        out.print(f"a pattern is compared with the whole name; for a part of one: davault find '*{plain[0]}*'")
    show_problems(out, result.problems)


def diff(
    run: Invocation,
    *,
    before: Annotated[str, typer.Argument(metavar="BEFORE", help=f"The first backup. {_BACKUP}")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="The second one.")],
    metadata: Annotated[
        bool, typer.Option("--metadata", help="Also list what changed only in owner, mode, time or attributes.")
    ] = False,
) -> Reply:
    """Show what changed from one backup to another.

    Marks: + added, - removed, M other content, U only metadata, T another type.
    """
    with run.long_work():
        result = run.application.inspection.diff(before, after, cancel=run.cancel)
    from backup_core.cli import inspection_documents

    return Reply(inspection_documents.difference(result), lambda out: _show_difference(out, result, metadata=metadata))


def _show_difference(out: Console, result: BackupDifference, *, metadata: bool) -> None:
    for change in result.changes:
        if metadata or change.mark != "U":
            out.print(_change_line(change), soft_wrap=True)
    out.print(
        facts(
            [
                ("from", f"{result.before.backup_id}, {units.moment(result.before.created_at)}"),
                ("to", f"{result.after.backup_id}, {units.moment(result.after.created_at)}"),
                ("added", _side(result.added)),
                ("removed", _side(result.removed)),
                ("other content", units.number(result.content_changed)),
                ("only metadata", units.number(result.metadata_changed)),
                ("another type", units.number(result.type_changed)),
                ("new data", f"{units.size(result.new_data)}, stored as {units.size(result.new_stored)}"),
                ("no longer there", f"{units.size(result.gone_data)}, stored as {units.size(result.gone_stored)}"),
            ]
        )
    )


def _change_line(change: FileChange) -> str:
    sizes = ""
    if change.type == "file":
        shown = [units.size(size) for size in (change.size_before, change.size_after) if size is not None]
        sizes = f"  ({' -> '.join(shown)})"
    slash = "/" if change.type == "dir" else ""
    return f"{change.mark}  {units.printable(change.path)}{slash}{sizes}"


def _side(counts: SideCounts) -> str:
    others = f", {units.number(counts.others)} others" if counts.others else ""
    return (
        f"{units.number(counts.files)} files ({units.size(counts.size)}), "
        f"{units.number(counts.directories)} directories{others}"
    )


def history(
    run: Invocation,
    *,
    path: Annotated[str, typer.Argument(metavar="PATH", help="A file or directory, as it was named on its machine.")],
    config: Annotated[
        str | None,
        typer.Option("--config", metavar="NAME", help="Only in this configuration's backups (default: all)."),
    ] = None,
) -> Reply:
    """Show the versions of one file or directory: when it changed, how, and which backups hold each version."""
    with run.long_work():
        found = run.application.inspection.history(path, config_name=config, cancel=run.cancel)
    from backup_core.cli import inspection_documents

    return Reply(inspection_documents.histories(found), lambda out: _show_history(out, found))


def _show_history(out: Console, found: list[PathHistory]) -> None:
    columns = ("SINCE", "CHANGE", "SIZE", "DIFFERENCE", "MODIFIED", "CONTENT", "BACKUPS", "FIRST BACKUP", "LAST BACKUP")
    for one in found:
        of = f"configuration {one.config_name}" if one.config_name else "made by another program"
        out.print(f"{units.printable(one.path)} ({units.printable(of)})", soft_wrap=True)
        rows = [_version_row(version) for version in one.versions]
        out.print(table(columns, rows, right=("SIZE", "DIFFERENCE", "BACKUPS")))


def _version_row(version: PathVersion) -> tuple[str, ...]:
    entry = version.entry
    sized = entry is not None and entry.type == "file"
    sign = "+" if version.size_change > 0 else ""
    return (
        units.moment(version.first_backup_at),
        version.change,
        units.size(entry.size) if entry is not None and sized else "-",
        f"{sign}{units.size(version.size_change)}" if version.size_change else "-",
        units.moment(entry.modified_at if entry is not None else None),
        version.content or "-",
        units.number(version.backups),
        version.first_backup,
        version.last_backup,
    )
