"""The command line as a whole: all commands, the options before them, and how usage errors are told."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.core import TyperGroup

from backup_core.cli.exits import ExitCode
from backup_core.cli.faults import usage_fault
from backup_core.cli.frame import PROGRAM, Invocation, UsageError
from backup_core.cli.lazy import program
from backup_core.cli.options import Settings, parameters_of, spread
from backup_core.cli.output import prepare_streams
from backup_core.deferred import dataclass

_HELP = """Back up files to WebDAV servers, and get them back.

Backups go to repositories that restic can read. A first backup takes four commands:

  davault client add cloud --url https://dav.example.org/ --username me
  davault config add docs --client cloud --path /backups --source ~/Documents
  davault init docs
  davault backup docs
"""


_HERE = "backup_core.cli"
_COMMANDS = {
    name: f"{_HERE}.{module}"
    for module, names in {
        "backup_commands": ("init", "backup", "unlock"),
        "estimate_command": ("estimate",),
        "inspect_commands": ("list", "files"),
        "inspection_commands": ("find", "diff", "history"),
        "validate_command": ("validate",),
        "restore_command": ("restore",),
        "restoring.set_command": ("restore-set",),
        "restoring.dump_command": ("dump",),
        "restoring.browse_command": ("browse",),
        "restoring.restores_command": ("restores",),
        "recover_command": ("recover", "vanished"),
        "kit_command": ("kit",),
        "retention_commands": ("cleanup", "forget"),
        "mirror_command": ("mirror",),
        "prune_command": ("prune",),
        "report_commands": ("usage", "stats", "report", "metrics"),
        "health_command": ("health",),
        "disaster.alerts_command": ("alerts",),
        "serve_command": ("serve",),
        "system_commands": ("quickstart", "doctor", "version"),
    }.items()
    for name in names
}
"""Where each command lies, in the order in which people meet them."""
_GROUPS = {
    name: f"{_HERE}.{place}"
    for name, place in {
        "client": "client_commands:group",
        "config": "config_edit:group",
        "key": "key_commands:group",
        "repair": "repair_commands:group",
        "parity": "parity_commands:group",
        "service": "service_commands:group",
        "pin": "retention_commands:pins",
        "hold": "retention_commands:holds",
        "dr": "disaster:plans",
        "notify": "disaster.notify_commands:group",
    }.items()
}


def build() -> TyperGroup:
    """The program with every command; each is loaded when it is asked for."""
    app = typer.Typer(
        name=PROGRAM,
        help=_HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(spread(_before_command, parameters_of(_before_command)))
    return program(app, _COMMANDS, _GROUPS)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return the exit code."""
    prepare_streams()
    words = list(sys.argv[1:] if arguments is None else arguments)
    entry = build()
    try:
        ended = entry.main(args=words, prog_name=PROGRAM, standalone_mode=False)
    except typer.TyperException as error:
        return _usage_error(error, words)
    return ended if isinstance(ended, int) else ExitCode.OK


def _show_version(asked: bool) -> None:
    if asked:
        from backup_core.cli import system_commands

        typer.echo(f"{PROGRAM} {system_commands.program_version()}")
        raise typer.Exit


@dataclass(frozen=True, slots=True, kw_only=True)
class _Early:
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=_show_version)
    ] = False


def _before_command(ctx: typer.Context, early: _Early, settings: Settings) -> None:
    ctx.obj = settings


def _usage_error(error: typer.TyperException, words: Sequence[str]) -> int:
    message = error.format_message()
    if not message:  # help was printed because nothing was asked for
        return ExitCode.USAGE
    context = getattr(error, "ctx", None)
    fault = usage_fault(UsageError(message), context.command_path if context is not None else PROGRAM)
    # The words could not be parsed: whether JSON is wanted is seen from the words alone.
    return Invocation(Settings(json_output="--json" in words)).tell(fault)
