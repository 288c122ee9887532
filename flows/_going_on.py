"""What ties a run that was put down anew to the one whose work it goes on with.

Workers put down what crashed or was stopped (``deployments.unfinished``), and so does a fleet run
(``flows._fleet_hands``). Under one key the server makes one run, whoever asks first.
"""

from __future__ import annotations

_PREFIX = "goes-on"


def key_of(run: object, times: int) -> str:
    """Idempotency key of the run that goes on with ``run`` (its id), for the ``times``-th time in a row."""
    return f"{_PREFIX}-{times}-{run}"


def times_of(key: str | None) -> int:
    """How often in a row the work of the run with this key was put down anew before it; 0 for one that a person or a
    schedule has put down."""
    prefix, _, rest = (key or "").partition(f"{_PREFIX}-")
    number = rest.partition("-")[0]
    return int(number) if not prefix and number.isdecimal() else 0
