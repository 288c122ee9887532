"""Bringing the flows onto a Prefect server: work pool, concurrency limits, and a schedule for each configuration."""

from __future__ import annotations

import socket

POOL = "davault"
"""The work pool of what is not for one machine alone."""


def worker_name() -> str:
    """What this machine's worker is called, unless somebody says otherwise. The next worker of that name takes up what
    the last one left, so it must not change from start to start."""
    return f"davault on {socket.gethostname()}"
