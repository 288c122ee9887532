"""The davault command."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Sequence

from backup_core.cli import collector


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (default: this process's) and return its exit code; see docs/cli.md."""
    if arguments is not None:
        return _run(arguments)
    collector.hold_back()
    code: list[int] = []
    # Registered first, so called last, when threads have ended and everybody else has put things away.
    atexit.register(_leave, code)
    code.append(_run(None))
    return code[0]


def _run(arguments: Sequence[str] | None) -> int:
    from backup_core.cli.app import run

    return run(arguments)


def _leave(code: list[int]) -> None:
    """End the process without taking half a million objects apart one by one, for a twentieth of a second and nothing.

    Where something went wrong the interpreter ends as ever, and tells it.
    """
    gc.freeze()  # spares it one more look through everything
    if not code:
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return
    os._exit(code[0])
