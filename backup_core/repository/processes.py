"""Whether a process of this machine still lives."""

from __future__ import annotations

import os


def process_alive(pid: int) -> bool:
    """True unless the system says that there is no process of this number."""
    if os.name == "nt" or pid <= 0:
        return True  # there, signal 0 is a real one; and numbers below 1 name groups
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
