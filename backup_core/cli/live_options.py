"""The options for what lives: commands around a backup, commands whose output is backed up, databases."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from backup_core.cli.frame import UsageError
from backup_core.deferred import dataclass

_PANEL = "Commands and databases"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions:
    """A command is a text for the shell, or a JSON array of words that is started without one."""

    before: Annotated[
        list[str] | None,
        typer.Option(
            "--before", metavar="CMD", help="Run this before each backup; repeatable.", rich_help_panel=_PANEL
        ),
    ] = None
    after: Annotated[
        list[str] | None,
        typer.Option(
            "--after",
            metavar="CMD",
            help="Run this after each backup, however it ended; repeatable.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    on_failure: Annotated[
        list[str] | None,
        typer.Option(
            "--on-failure", metavar="CMD", help="Run this when a backup has failed; repeatable.", rich_help_panel=_PANEL
        ),
    ] = None
    hook_timeout: Annotated[
        float | None,
        typer.Option(
            "--hook-timeout", metavar="SECONDS", help="Stop each of these after so long (600).", rich_help_panel=_PANEL
        ),
    ] = None
    command: Annotated[
        list[str] | None,
        typer.Option(
            "--command",
            metavar="FILE=CMD",
            help="Store what this prints as FILE, such as shop.sql='pg_dump shop'; repeatable.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    command_timeout: Annotated[
        float | None,
        typer.Option(
            "--command-timeout",
            metavar="SECONDS",
            help="Fail the backup when one of these takes longer (86400).",
            rich_help_panel=_PANEL,
        ),
    ] = None
    sqlite: Annotated[
        bool | None,
        typer.Option(
            "--sqlite/--no-sqlite",
            help="Copy SQLite databases consistently (default), or read their files like any others.",
            rich_help_panel=_PANEL,
        ),
    ] = None

    def fields(self, present: dict[str, object] | None = None) -> dict[str, object]:
        """The options that were given, by the names of a configuration's fields; ``present`` is its record so far."""
        present = present or {}
        chosen: dict[str, object] = {}
        wishes = {"before": self.before, "after": self.after, "on_failure": self.on_failure}
        hooks: dict[str, object] = {name: [_command(c) for c in given] for name, given in wishes.items() if given}
        if self.hook_timeout is not None:
            hooks["timeout"] = self.hook_timeout
        if hooks:
            chosen["hooks"] = {**_table(present.get("hooks")), **hooks}
        commands = [_command_source(text) for text in self.command or ()]
        known = present.get("command_sources")
        if not commands and self.command_timeout is not None and isinstance(known, list):
            commands = [_table(one) for one in known]
        if commands:
            limit = {} if self.command_timeout is None else {"timeout": self.command_timeout}
            chosen["command_sources"] = [{**command, **limit} for command in commands]
        if self.sqlite is not None:
            chosen["sqlite_backup"] = self.sqlite
        return chosen


def shown_command(command: object) -> str:
    """A command as it is given."""
    return command if isinstance(command, str) else json.dumps(command, ensure_ascii=False)


def _table(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, dict) else {}


def _command(text: str) -> object:
    """Raises ``UsageError`` for what begins like an array and is none."""
    if not text.lstrip().startswith("["):
        return text
    try:
        words = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{text!r} is neither a command nor a JSON array of words: {error}") from error
    return words


def _command_source(text: str) -> dict[str, object]:
    name, separator, command = text.partition("=")
    if not separator:
        raise UsageError(f"--command wants FILE=CMD, not {text!r}")
    return {"name": name, "command": _command(command)}
