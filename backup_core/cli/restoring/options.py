"""Options that several ways of restoring share."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from backup_core.cli import units
from backup_core.cli.frame import UsageError
from backup_core.deferred import dataclass


class Overwrite(StrEnum):
    """What ``--overwrite`` takes."""

    ALWAYS = "always"
    IF_CHANGED = "if-changed"
    IF_NEWER = "if-newer"
    NEVER = "never"


AtOption = Annotated[
    str | None, typer.Option("--at", metavar="TIME", help="The newest backup at or before: '2025-10-31 14:30'.")
]
BackupOption = Annotated[str | None, typer.Option("--backup", metavar="BACKUP_ID", help="This backup.")]
NameArgument = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="A configuration: its newest backup is taken.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """What of a backup is restored."""

    pattern: Annotated[
        list[str] | None, typer.Option("--pattern", metavar="G", help="Only what matches this; repeatable.")
    ] = None
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", metavar="G", help="Leave out what matches this; repeatable.")
    ] = None
    ignore_case: Annotated[bool, typer.Option("--ignore-case", "--case-insensitive", help="Patterns ignore case.")] = (
        False
    )
    files_from: Annotated[
        Path | None,
        typer.Option(
            "--files-from", metavar="F", help="Also the paths in this file, by line or NUL-ended; - is stdin."
        ),
    ] = None

    def choice(self) -> dict[str, Any]:
        """As keyword arguments of a restore. Raises ``UsageError`` when the list cannot be read."""
        return {
            "patterns": self.pattern or [],
            "exclude": self.exclude or [],
            "case_insensitive": self.ignore_case,
            "listed": None if self.files_from is None else _read_list(self.files_from),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How it is restored."""

    overwrite: Annotated[
        Overwrite, typer.Option("--overwrite", help="What to do with files that exist at the target.")
    ] = Overwrite.IF_CHANGED
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove what lies in the restored directories and is not in the backup.")
    ] = False
    verify: Annotated[bool, typer.Option("--verify", help="Read everything back from disk and compare.")] = False

    def choice(self) -> dict[str, Any]:
        """As keyword arguments of a restore."""
        return {"overwrite": self.overwrite.value, "delete": self.delete}


def checked_moment(name: str | None, backup: str | None, at: str | None) -> datetime | None:
    """The time asked for. Raises ``UsageError`` when it is none, or when the options make no sense together."""
    if (name is None) == (backup is None):
        raise UsageError("say what to restore: a configuration's NAME, or --backup BACKUP_ID")
    if at is not None and backup is not None:
        raise UsageError("--at chooses among the backups of a configuration; it makes no sense with --backup")
    return moment_of(at)


def moment_of(at: str | None) -> datetime | None:
    """The time given with ``--at``. Raises ``UsageError``."""
    from backup_core.cli.times import parse_time

    try:
        return None if at is None else parse_time(at)
    except ValueError as error:
        raise UsageError(f"--at: {error}") from error


def distance_text(backup_time: datetime | None, asked_for: datetime | None) -> str:
    """How far a backup is from the time asked for, as a sentence's end; "" when no time was asked for."""
    if backup_time is None:
        return ""
    shown = f"of {units.moment(backup_time)}"
    if asked_for is None:
        return shown
    return f"{shown}, {units.duration(distance(backup_time, asked_for).total_seconds())} before the time asked for"


def distance(backup_time: datetime, asked_for: datetime) -> timedelta:
    """How long before the time asked for a backup was made; naive times are local."""
    return asked_for.astimezone() - backup_time.astimezone()


def _read_list(path: Path) -> tuple[bytes, ...]:
    from backup_core.engine.path_lists import parse_path_list

    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.expanduser().read_bytes()
    except OSError as error:
        raise UsageError(f"--files-from {path}: {error.strerror}") from error
    return parse_path_list(data)
