"""Where a command's answer goes: tables for people or one JSON document on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from shutil import copyfileobj
from typing import TYPE_CHECKING, TextIO, cast

from backup_core.cli.exits import ExitCode
from backup_core.cli.units import printable
from backup_core.deferred import dataclass
from backup_core.results import Problem, Severity

if TYPE_CHECKING:
    from rich.console import Console

    from backup_core.cli.plain_table import PlainFacts, PlainTable

_PIPE_WIDTH = 4096
"""Columns when stdout is no terminal: nothing is cut or wrapped for a program that reads tables."""
_ASK_FOR_COLOUR = ("FORCE_COLOR", "TTY_COMPATIBLE")
"""Variables by which Rich is told to treat a pipe as a terminal."""
_SPOOL = 8 * 1024 * 1024
"""Characters of a document kept in memory; a longer one is spooled to disk until it is complete."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a command answers: the document for ``--json``, the same for people, and how the program ends."""

    document: Mapping[str, object]
    show: Callable[[Console], None]
    exit_code: ExitCode = ExitCode.OK
    told: bool = False
    """True when the answer was printed already, because the command went on afterwards."""


def prepare_streams() -> None:
    """Let names that the terminal's encoding cannot hold be shown as escapes instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            with suppress(ValueError):  # a stream that has been read from already
                reconfigure(errors="backslashreplace")


def console(stream: TextIO) -> Console:
    """A console that adds nothing to what it is given: no highlighting, no markup, no emoji codes."""
    if not stream.isatty() and not any(os.environ.get(variable) for variable in _ASK_FOR_COLOUR):
        from backup_core.cli.plain_console import PlainConsole

        return cast("Console", PlainConsole(stream, width=_PIPE_WIDTH))
    from rich.console import Console

    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def write_json(document: Mapping[str, object], stream: TextIO) -> None:
    """One JSON document and a line feed, or nothing at all when making it fails half way.

    A value that is an iterator becomes an array without all of it being held in memory.
    """
    from tempfile import SpooledTemporaryFile

    utf8 = (stream.encoding or "").lower().replace("-", "") == "utf8"
    # A lone surrogate (a byte of a name that is not UTF-8) becomes \udcXX by the error handler, which is right in JSON.
    with SpooledTemporaryFile(_SPOOL, "w+", encoding="utf-8", errors="backslashreplace", newline="") as spool:
        for chunk in _encoded(document, json.JSONEncoder(ensure_ascii=not utf8, indent=2)):
            spool.write(chunk)
        spool.seek(0)
        copyfileobj(spool, stream)
    stream.flush()


def _encoded(document: Mapping[str, object], encoder: json.JSONEncoder) -> Iterator[str]:
    opening = "{"
    for key, value in document.items():
        yield f"{opening}\n  {encoder.encode(key)}: "
        if isinstance(value, Iterator):
            yield from _encoded_array(value, encoder)
        else:
            yield encoder.encode(value).replace("\n", "\n  ")
        opening = ","
    yield "{}\n" if opening == "{" else "\n}\n"


def _encoded_array(values: Iterator[object], encoder: json.JSONEncoder) -> Iterator[str]:
    opening = "["
    for value in values:
        yield f"{opening}\n    " + encoder.encode(value).replace("\n", "\n    ")
        opening = ","
    yield "[]" if opening == "[" else "\n  ]"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> PlainTable:
    """A table with plain cells; the columns named in ``right`` hold numbers."""
    from backup_core.cli.plain_table import PlainTable

    return PlainTable(columns, [[printable(cell) for cell in row] for row in rows], right=right)


def facts(pairs: Iterable[tuple[str, str]]) -> PlainFacts:
    """Names and values below each other, one line each."""
    from backup_core.cli.plain_table import PlainFacts

    return PlainFacts([(name, printable(value)) for name, value in pairs])


def show_lines(out: Console, word: str, sentences: Sequence[str], *, most: int = 20) -> None:
    """The first ``most`` sentences, one line each after ``word``, and how many more there are."""
    for sentence in sentences[:most]:
        out.print(printable(f"{word}: {sentence}"), soft_wrap=True)
    if len(sentences) > most:
        out.print(f"… and {len(sentences) - most} more; --json lists all of them")


def show_problems(out: Console, problems: Sequence[Problem]) -> None:
    """Problems, the worst first."""
    for severity in (Severity.ERROR, Severity.WARNING, Severity.HINT):
        show_lines(out, severity.value, [p.message for p in problems if p.severity is severity])
