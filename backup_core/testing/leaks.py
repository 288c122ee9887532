"""Where secrets may show up: how they are spelled then, and the arguments of the programs that are started."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, quote_plus

_recorders: list[list[Any]] = []


def _note_programs(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn"):
        for recorded in _recorders:
            recorded.append(arguments[:2])


sys.addaudithook(_note_programs)  # once for the whole process: it cannot be taken away


@contextmanager
def started_programs() -> Iterator[list[Any]]:
    """The program and the arguments of everything that this process starts while the block runs."""
    recorded: list[Any] = []
    _recorders.append(recorded)
    try:
        yield recorded
    finally:
        _recorders[:] = [other for other in _recorders if other is not recorded]


def spellings(secret: str, user: str) -> list[bytes]:
    """How a secret may look when it has leaked.

    Plain, in an address, in Python and JSON, in base64, and in the login of ``user``.
    """
    plain = [secret, quote(secret), quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1]]
    encoded = [base64.b64encode(text.encode()).decode().rstrip("=") for text in (secret, f"{user}:{secret}")]
    escaped = secret.encode("unicode_escape").decode()  # as JSON has it
    return [text.encode() for text in (*plain, *encoded, escaped)]
