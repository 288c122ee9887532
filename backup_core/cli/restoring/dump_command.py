"""``davault dump``: one file of a backup on standard output."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Annotated

import typer

from backup_core.cli.frame import Invocation, UsageError, command
from backup_core.cli.output import Reply
from backup_core.cli.restoring.options import AtOption, BackupOption, NameArgument, checked_moment


def register(app: typer.Typer) -> None:
    """Add this command to ``app``."""
    command(app, "dump", opens="name")(dump)


def dump(
    run: Invocation,
    *,
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="As it was backed up, or as it is called below a source.")
    ],
    name: NameArgument = None,
    backup: BackupOption = None,
    at: AtOption = None,
) -> Reply:
    """Write one file of a backup to standard output, byte by byte as it was.

    Each piece is verified before it is written; when something is damaged, the output ends before it, and the exit code
    tells.
    """
    return write_file(run, path, name=name, backup=backup, at=checked_moment(name, backup, at))


def write_file(run: Invocation, path: str, *, name: str | None, backup: str | None, at: datetime | None) -> Reply:
    """Write a file to standard output. Raises ``UsageError`` with ``--json``, which wants stdout for itself."""
    if run.settings.json_output:
        raise UsageError("the file itself goes to stdout, so there is no --json")
    stream = sys.stdout.buffer
    with run.long_work() as progress:
        run.application.recovery.single_files.write_out(
            path, stream.write, config_name=name, backup_id=backup, at=at, cancel=run.cancel, progress=progress
        )
        stream.flush()
    return Reply({}, lambda _: None)
