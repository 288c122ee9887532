"""``davault config``: what is backed up, where to, and how."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backup_core.cli import units
from backup_core.cli.frame import Invocation, UsageError, command
from backup_core.cli.keep_options import KeepOptions
from backup_core.cli.live_options import LiveOptions, shown_command
from backup_core.cli.output import Reply, facts, show_lines, table
from backup_core.cli.passwords import reference_note, secret_reference
from backup_core.deferred import dataclass

if TYPE_CHECKING:
    from rich.console import Console

    from backup_core.config.models import BackupConfig

group = typer.Typer(name="config", help="What is backed up, where to, and how.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The configuration's name.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    client: Annotated[str, typer.Option("--client", metavar="C", help="Name of the client to store at.")]
    path: Annotated[str, typer.Option("--path", metavar="P", help="Folder on the server that holds the repository.")]
    host: Annotated[
        str, typer.Option("--host", metavar="H", help="Only the machine with this label backs it up (default: any).")
    ] = ""
    source: Annotated[
        list[str] | None, typer.Option("--source", metavar="P", help="A file or directory to back up; repeat for more.")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Selection:
    include: Annotated[
        list[str] | None, typer.Option("--include", metavar="G", help="Keep only files matching this; repeatable.")
    ] = None
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", metavar="G", help="Leave out what matches this; repeatable.")
    ] = None
    ignore_case: Annotated[bool, typer.Option("--ignore-case", help="Patterns ignore case.")] = False
    max_file_size: Annotated[
        str | None, typer.Option("--max-file-size", metavar="SIZE", help="Leave out larger files, such as 500M.")
    ] = None
    one_file_system: Annotated[
        bool, typer.Option("--one-file-system", help="Do not cross into other mounted file systems.")
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Manner:
    no_encrypt: Annotated[
        bool, typer.Option("--no-encrypt", help="Anybody who can read the server can read the files.")
    ] = False
    key_env: Annotated[
        str | None, typer.Option("--key-env", metavar="VAR", help="Take the key from this variable.")
    ] = None
    key_file: Annotated[
        Path | None, typer.Option("--key-file", metavar="F", help="Take the key from this file's first line.")
    ] = None
    no_compression: Annotated[bool, typer.Option("--no-compression", help="Store uncompressed.")] = False
    full: Annotated[bool, typer.Option("--full", help="Back up in full when no --type is given.")] = False
    max_versions: Annotated[
        int | None, typer.Option("--max-versions", metavar="N", help="Keep so many backups (default: all).")
    ] = None
    no_auto_delete: Annotated[
        bool, typer.Option("--no-auto-delete", help="Leave the forgetting of old backups to davault cleanup.")
    ] = False
    parity: Annotated[
        str | None,
        typer.Option("--parity", metavar="SHARE", help="Store so much parity (5%) to rebuild damaged packs from."),
    ] = None
    schedule_time: Annotated[
        str | None, typer.Option("--schedule-time", metavar="HH:MM", help="Back up every day at this local time.")
    ] = None


@command(group, "add")
def add(
    run: Invocation,
    *,
    name: NameArgument,
    places: _Places,
    selection: _Selection,
    manner: _Manner,
    live: LiveOptions,
    keep: KeepOptions,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a configuration of this name.")] = False,
) -> Reply:
    """Remember a configuration.

    Without --key-env and --key-file the key is that of $DAVAULT_KEY, or one that is made at the first use and kept in
    the home: without it nobody can read the backups, so keep a copy of it elsewhere.
    """
    from backup_core.config.models import BackupConfig

    reference = secret_reference(manner.key_env, manner.key_file, "--key-env", "--key-file")
    if manner.no_encrypt and reference is not None:
        raise UsageError("--no-encrypt and a key exclude each other")
    chosen = _chosen_fields(places, selection, manner) | live.fields() | keep.fields()
    config = BackupConfig.model_validate({"name": name, "encrypt_key": reference, **chosen})
    run.application.add_config(config, replace=replace)
    notes = reference_note(reference)

    def show(out: Console) -> None:
        out.print(f"configuration {units.printable(config.name)} added ({units.encryption(config.encrypt)})")
        out.print(f"next: davault init {units.printable(config.name)}")
        show_lines(out, "note", notes)

    return Reply({"config": document_of(config), "notes": notes}, show)


def _chosen_fields(places: _Places, selection: _Selection, manner: _Manner) -> dict[str, object]:
    return {
        "source_paths": places.source or [],
        "target_client_id": places.client,
        "target_path": places.path,
        "host": places.host,
        "include_patterns": selection.include or [],
        "exclude_patterns": selection.exclude or [],
        "case_insensitive": selection.ignore_case,
        "max_file_size": selection.max_file_size,
        "one_file_system": selection.one_file_system,
        "encrypt": not manner.no_encrypt,
        "compression": not manner.no_compression,
        "incremental": not manner.full,
        "max_versions": manner.max_versions,
        "auto_delete_old": not manner.no_auto_delete,
        "parity": manner.parity,
        "schedule_time": manner.schedule_time,
    }


@command(group, "list")
def list_(run: Invocation) -> Reply:
    """List the configurations."""
    configs = run.application.list_configs()

    def show(out: Console) -> None:
        rows = [
            (
                c.name,
                ", ".join(c.stored_paths),
                f"{c.target_client_id}:{c.target_path}",
                units.encryption(c.encrypt),
                c.schedule_time or "-",
                _kept(c),
            )
            for c in configs
        ]
        out.print(table(("NAME", "SOURCES", "TARGET", "ENCRYPTION", "DAILY AT", "KEEP"), rows))

    return Reply({"configs": [document_of(c) for c in configs]}, show)


@command(group, "show")
def show_(run: Invocation, *, name: NameArgument) -> Reply:
    """Show everything about a configuration."""
    config = run.application.get_config(name)
    return Reply({"config": document_of(config)}, lambda out: out.print(facts(_facts(config))))


@command(group, "remove")
def remove(run: Invocation, *, name: NameArgument) -> Reply:
    """Forget a configuration. Its backups stay on the server, and its key where it is."""
    run.application.remove_config(name)
    return Reply({"removed": name}, lambda out: out.print(f"configuration {units.printable(name)} removed"))


@command(group, "import")
def import_(
    run: Invocation,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE.toml", help="A file as davault config export writes it.")],
    replace: Annotated[bool, typer.Option("--replace", help="Replace what has the same names.")] = False,
) -> Reply:
    """Add the clients and configurations of a TOML file: all of them, or none when anything in it is wrong."""
    names = run.application.import_configs(file, replace=replace)

    def show(out: Console) -> None:
        out.print(f"{len(names)} configurations imported: {units.printable(', '.join(names))}", soft_wrap=True)

    return Reply({"imported": names}, show)


@command(group, "export")
def export(
    run: Invocation,
    *,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Only these configurations (default: all).")
    ] = None,
) -> Reply:
    """Print configurations and their clients as TOML; references to secrets are included, secrets never."""
    text = run.application.export_configs(names or ())
    return Reply({"toml": text}, lambda out: out.print(text, soft_wrap=True, end=""))


def _key_source(config: BackupConfig) -> str | None:
    stored = config.record()["encrypt_key"]
    return None if stored is None else str(stored)


def document_of(config: BackupConfig) -> dict[str, object]:
    """A configuration as JSON; instead of its key it says where that comes from."""
    record = config.record()
    record["key_source"] = record.pop("encrypt_key")
    return record


def _kept(config: BackupConfig) -> str:
    """What the configuration's rules keep, in short."""
    rules = {
        "last": max(config.keep_last, config.max_versions or 0),
        "hourly": config.keep_hourly,
        "daily": config.keep_daily,
        "weekly": config.keep_weekly,
        "monthly": config.keep_monthly,
        "yearly": config.keep_yearly,
        "within": config.keep_within,
        "tags": ", ".join(config.keep_tags),
    }
    used = {name: value for name, value in rules.items() if value}
    if used.keys() == {"last"}:
        return str(used["last"])
    return ", ".join(f"{name} {value}" for name, value in used.items()) or "all"


def _facts(config: BackupConfig) -> list[tuple[str, str]]:
    key = _key_source(config) or "$DAVAULT_KEY, or a key file of the home"
    limit = "-" if config.max_file_size is None else units.size(config.max_file_size)
    return [
        ("name", config.name),
        *(("source", path) for path in config.source_paths),
        *([("machine", config.host)] if config.host else []),
        ("target", f"{config.target_client_id}:{config.target_path}"),
        *((f"command for {c.name}", shown_command(c.command)) for c in config.command_sources),
        *(("before", shown_command(c)) for c in config.hooks.before),
        *(("on failure", shown_command(c)) for c in config.hooks.on_failure),
        *(("after", shown_command(c)) for c in config.hooks.after),
        *(("mirror", mirror.shown) for mirror in config.mirrors),
        *(("include", pattern) for pattern in config.include_patterns),
        *(("exclude", pattern) for pattern in config.exclude_patterns),
        ("encryption", f"encrypted; key from {key}" if config.encrypt else units.encryption(config.encrypt)),
        ("compression", f"zstd level {config.compression_level}" if config.compression else "none"),
        ("default type", config.default_type),
        ("backups kept", _kept(config)),
        ("daily at", config.schedule_time or "-"),
        ("largest file", limit),
        ("SQLite databases", "copied consistently" if config.sqlite_backup else "read like other files"),
        ("one file system", "yes" if config.one_file_system else "no"),
        ("patterns ignore case", "yes" if config.case_insensitive else "no"),
    ]
