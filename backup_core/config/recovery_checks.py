"""What a step of a recovery plan runs, and how it proves that what came back can be used.

Text may hold ``{target}`` (where the step restored to), ``{base}`` (the plan's directory) and ``{step}`` (its name);
other braces are left alone. In shell lines the values are quoted.
"""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from backup_core.config.durations import parse_duration
from backup_core.config.secrets import is_reference

DAY = 86_400.0


def _seconds(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


def _reference(text: str) -> str:
    if not is_reference(text):
        raise ValueError("give a reference: env:NAME, file:PATH or keyring:SERVICE/USER, never the password itself")
    return text


def _words(value: str | list[str]) -> str | list[str]:
    words = [value] if isinstance(value, str) else value
    if not words or not words[0].strip() or any("\0" in word for word in words):
        raise ValueError("a command is needed: a line for the shell, or a list of words")
    return value


def _web_address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("the URL must begin with http:// or https:// and name a host")
    if "@" in parts.netloc:
        raise ValueError("leave the account out of the URL")
    return text


Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0)]
"""A duration: seconds, or text such as ``4h``."""
Patience = Annotated[float, BeforeValidator(_seconds), Field(gt=0, le=DAY)]
Reference = Annotated[str, AfterValidator(_reference)]
Line = Annotated[str | list[str], AfterValidator(_words)]
"""Text is a line for ``/bin/sh -c``, a list the words of a command that needs no shell."""
WebAddress = Annotated[str, AfterValidator(_web_address)]
FilePath = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]
"""Absolute, or relative to the step's target."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True)


class RecoveryCommand(_Part):
    """A command before or after the restore of a step. It should do no harm when it is run twice: a plan that is
    resumed after a crash runs the interrupted stage again."""

    command: Line
    timeout: Patience = 3600.0
    in_drill: bool = False
    """Run it in drills, too. Off, because starting services is for the real thing."""


class CommandCheck(_Part):
    """A command that must end with exit code 0."""

    kind: Literal["command"]
    command: Line
    timeout: Patience = 600.0
    in_drill: bool = True


class FileCheck(_Part):
    """A file that must be there, and with a hash, hold exactly this content."""

    kind: Literal["file"]
    path: FilePath
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    min_size: Annotated[int, Field(ge=0)] = 0
    """Bytes."""
    in_drill: bool = True


class HttpCheck(_Part):
    """An address that must answer."""

    kind: Literal["http"]
    url: WebAddress
    status: Annotated[int, Field(ge=100, le=599)] = 200
    contains: str = ""
    """Text that the first MiB of the answer must hold."""
    timeout: Patience = 30.0
    patience: Annotated[float, BeforeValidator(_seconds), Field(ge=0, le=DAY)] = 60.0
    """Seconds during which a wrong answer is asked for again: services need time to start."""
    in_drill: bool = False
    """Off, because in a drill it would ask the service that is in use."""


class SqliteCheck(_Part):
    """A query on a restored SQLite database, which is opened for reading only."""

    kind: Literal["sqlite"]
    path: FilePath
    query: Annotated[str, Field(min_length=1)] = "PRAGMA integrity_check"
    expect: str | None = "ok"
    """What the first column of the first row must be as text; None: any row will do."""
    timeout: Patience = 600.0
    in_drill: bool = True


class PostgresqlCheck(_Part):
    """A query on a PostgreSQL server, asked through the program ``psql``."""

    kind: Literal["postgresql"]
    connection: Annotated[str, Field(min_length=1)]
    """A libpq connection string without a password, such as ``host=127.0.0.1 dbname=shop user=backup``."""
    password: Reference | None = None
    query: Annotated[str, Field(min_length=1)]
    expect: str | None = None
    """What the first column of the first row must be as text; None: any row will do."""
    timeout: Patience = 600.0
    in_drill: bool = False
    """Off, because in a drill it would ask the server that is in use."""


RecoveryCheck = Annotated[
    CommandCheck | FileCheck | HttpCheck | SqliteCheck | PostgresqlCheck, Field(discriminator="kind")
]
