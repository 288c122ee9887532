"""Interim answers (1xx), which httpcore passes over silently for as long as they come: a bound on their number."""

from __future__ import annotations

from typing import Any

import httpcore

MOST_INTERIM = 1_000
"""For one request. Servers at long work send "102 Processing" every so many seconds, others one 100 or 103."""

_receive_event = httpcore.HTTP11Connection._receive_event
_SO_FAR = "_davault_interim_answers"


def bound_interim_answers() -> None:
    """Let every connection break that gets more of them in a row; for all of the process, and as often as is liked.

    httpcore has no hook for these: time limits are for single reads, and each interim answer ends one.
    """
    httpcore.HTTP11Connection._receive_event = _receive_bounded  # type: ignore[method-assign, assignment]


def _receive_bounded(connection: httpcore.HTTP11Connection, timeout: float | None = None) -> Any:
    event = _receive_event(connection, timeout)
    status = getattr(event, "status_code", 0)  # only the heads of answers have one
    if 100 <= status < 200:
        count = getattr(connection, _SO_FAR, 0) + 1
        if count > MOST_INTERIM:
            raise httpcore.RemoteProtocolError(f"more than {MOST_INTERIM} interim answers and no final one")
        setattr(connection, _SO_FAR, count)
    elif status:
        setattr(connection, _SO_FAR, 0)
    return event
