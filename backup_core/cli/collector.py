"""The garbage collector: out of the way of commands that end soon, as usual in those that go on for days."""

from __future__ import annotations

import gc

_USUAL = gc.get_threshold()
_OBJECTS_BETWEEN_LOOKS = 1_000_000
"""Loading packages makes half a million objects that all stay; looking through them again and again, as by default,
took an eighth of every start."""


def hold_back() -> None:
    """Let it look less often: for this process, which is to run one command."""
    gc.set_threshold(_OBJECTS_BETWEEN_LOOKS, *_USUAL[1:])


def as_usual() -> None:
    """Let it look as often as ever, and not at what has been loaded: for a command that serves until it is stopped."""
    gc.freeze()
    gc.set_threshold(*_USUAL)
