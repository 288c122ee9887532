"""Commands of a configuration: those around its backups, and those whose output is backed up.

A command is either a list of words, which is started as it is, or one text, which is given to a shell.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from backup_core.config import rules
from backup_core.config.checked import checked


def _command(value: str | list[str]) -> str | list[str]:
    words = [value] if isinstance(value, str) else value
    if not words or not words[0].strip():
        raise ValueError("a command is a text for the shell, or a list of words that begins with a program")
    if any("\0" in word for word in words):
        raise ValueError("a command may not hold a NUL character")
    return value


CommandText = Annotated[str | list[str], AfterValidator(_command)]
"""Text for a shell, or words."""
Seconds = Annotated[float, Field(gt=0, le=7 * 24 * 3600)]


class _Part(BaseModel):
    """Part of a configuration."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Hooks(_Part):
    """Commands around each backup. They see in their environment what it is about, see ``services.live.hooks``."""

    before: list[CommandText] = Field(default_factory=list)
    """One after the other, when the repository is open and nothing was read yet. The backup fails with the first that
    fails."""
    after: list[CommandText] = Field(default_factory=list)
    """Always when ``before`` was begun, however the backup ended."""
    on_failure: list[CommandText] = Field(default_factory=list)
    """When it failed or was cancelled, ahead of ``after``."""
    timeout: Seconds = 600.0
    """Seconds for each of them; then it is stopped and counts as failed."""


class CommandConfig(_Part):
    """A command whose standard output is stored as a file."""

    name: Annotated[str, checked(rules.stored_name)]
    """The file's path from the root of the backup, such as ``shop.sql`` or ``dumps/shop.sql``."""
    command: CommandText
    timeout: Seconds = 24 * 3600.0
    """Seconds; then it is stopped and the backup fails."""


def collisions(sources: list[str], commands: list[CommandConfig]) -> list[str]:
    """Outputs that would lie inside a source or another output, or the other way round, as sentences."""
    names = ["/" + command.name for command in commands]
    problems = [f"command_sources: {name} is named twice" for name in sorted({n for n in names if names.count(n) > 1})]
    others = [source for source in sources if source != "/"]
    for name in dict.fromkeys(names):
        for other in dict.fromkeys([*others, *names]):
            if other.startswith(name + "/") or name.startswith(other + "/") or (other in others and other == name):
                problems.append(f"command_sources: {name} and {other} lie inside each other")
    return problems
