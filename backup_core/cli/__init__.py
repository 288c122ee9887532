"""The davault command."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Sequence

_OBJECTS_BETWEEN_LOOKS = 1_000_000
"""For the garbage collector. Loading packages makes half a million objects that all stay; looking through them again
and again, as by default, took an eighth of every start."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (default: this process's) and return its exit code; see docs/cli.md."""
    if arguments is None:
        gc.set_threshold(_OBJECTS_BETWEEN_LOOKS, *gc.get_threshold()[1:])
        # The interpreter looks through everything once more before it ends, for a third of a second and nothing.
        atexit.register(gc.freeze)
    from backup_core.cli.app import run

    return run(arguments)
