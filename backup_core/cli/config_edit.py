"""``davault config edit``."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated

import typer

from backup_core.cli import units
from backup_core.cli.config_commands import NameArgument, document_of, group
from backup_core.cli.frame import Invocation, UsageError, command
from backup_core.cli.keep_options import KeepOptions
from backup_core.cli.live_options import LiveOptions
from backup_core.cli.output import Reply
from backup_core.deferred import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class _Changes:
    source_paths: Annotated[list[str] | None, typer.Option("--source", metavar="P", help="Back up these.")] = None
    host: Annotated[
        str | None, typer.Option("--host", metavar="H", help="Only the machine with this label backs it up.")
    ] = None
    include_patterns: Annotated[
        list[str] | None, typer.Option("--include", metavar="G", help="Keep only files matching these.")
    ] = None
    exclude_patterns: Annotated[
        list[str] | None, typer.Option("--exclude", metavar="G", help="Leave out what matches these.")
    ] = None
    max_file_size: Annotated[
        str | None, typer.Option("--max-file-size", metavar="SIZE", help="Leave out larger files.")
    ] = None
    case_insensitive: Annotated[
        bool | None, typer.Option("--ignore-case/--no-ignore-case", help="Whether patterns ignore case.")
    ] = None
    one_file_system: Annotated[
        bool | None, typer.Option("--one-file-system/--no-one-file-system", help="Whether to stay on one file system.")
    ] = None
    compression: Annotated[bool | None, typer.Option("--compression/--no-compression", help="Whether to compress.")] = (
        None
    )
    incremental: Annotated[
        bool | None, typer.Option("--incremental/--full", help="What a backup is when no --type is given.")
    ] = None
    max_versions: Annotated[int | None, typer.Option("--max-versions", metavar="N", help="Keep so many backups.")] = (
        None
    )
    auto_delete_old: Annotated[
        bool | None,
        typer.Option("--auto-delete/--no-auto-delete", help="Whether to forget old backups after each one."),
    ] = None
    parity: Annotated[
        str | None,
        typer.Option("--parity", metavar="SHARE", help="Store so much parity (5%) to rebuild damaged packs from."),
    ] = None
    schedule_time: Annotated[
        str | None, typer.Option("--schedule-time", metavar="HH:MM", help="Back up every day at this local time.")
    ] = None

    def chosen(self) -> dict[str, object]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


@command(group, "edit")
def edit(
    run: Invocation,
    *,
    name: NameArgument,
    changes: _Changes,
    live: LiveOptions,
    keep: KeepOptions,
    clear: Annotated[
        list[str] | None,
        typer.Option("--clear", metavar="FIELD", help="Give this field its default again, such as hooks; repeatable."),
    ] = None,
) -> Reply:
    """Change a configuration: what is named in an option, and nothing else.

    An option that can be repeated replaces all that the field held. Where the backups lie and their key stay the same.
    """
    from backup_core.config.models import BackupConfig

    present = run.application.get_config(name)
    record = present.record() | {"encrypt_key": present.encrypt_key}
    for field in clear or ():
        if field not in record or BackupConfig.model_fields[field].is_required() or field == "encrypt_key":
            raise UsageError(f"--clear cannot be used for {field!r}: there is no such field, or it has no default")
        del record[field]
    config = BackupConfig.model_validate({**record, **changes.chosen(), **keep.fields(), **live.fields(record)})
    run.application.add_config(config, replace=True)
    document = document_of(config)
    changed = [field for field, value in document.items() if value != document_of(present)[field]]
    told = f"changed: {', '.join(changed)}" if changed else "nothing changed"
    return Reply(
        {"config": document, "changed": changed},
        lambda out: out.print(f"configuration {units.printable(config.name)}: {told}"),
    )
