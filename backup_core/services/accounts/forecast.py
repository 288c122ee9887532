"""How long so many requests and bytes will take an account, given its limits: pure reckoning.

``services/estimates.py`` (what a backup will need, before it runs) asks ``Accounts.forecast``, which fills in what is
known of the account; so does whoever wants to say "this will not fit into the month" before a run begins.
"""

from __future__ import annotations

import heapq
from datetime import datetime, timedelta

from backup_core.deferred import dataclass
from backup_core.storage.bandwidth import Timetable
from backup_core.storage.request_ledger import WindowUse

_STEP = timedelta(minutes=15)
"""Timetables are looked at so often when the end of a long transfer is reckoned."""
_LONGEST = timedelta(days=3650)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficLeft:
    """What an account may still send and receive in this month, in bytes; None where nobody limits it."""

    month: str = ""
    """YYYY-MM"""
    up: int | None = None
    down: int | None = None
    resets_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountForecast:
    """What a piece of work will cost an account."""

    account: str
    """For people; "" for storage without one."""
    requests: int
    bytes_up: int
    bytes_down: int
    window_requests: int | None
    """Requests that this kind of work may send in one window; None when nobody limits them."""
    window_seconds: float | None
    windows: int
    """Windows that the requests are spread over; 0 without a limit."""
    waiting_seconds: float
    """Spent on waiting for windows, those included that other work has used up."""
    transfer_seconds: float | None
    """What the bytes take at the bandwidth that is allowed, or was measured; None when neither is known."""
    finish_at: datetime
    """About when it is done, if it begins now."""
    upload_left: int | None
    download_left: int | None
    traffic_resets_at: datetime | None
    exceeds_traffic: bool
    """It needs more than is left of this month's traffic."""

    def sentences(self) -> tuple[str, ...]:
        """The same for people; the first one is about requests and time, others are warnings."""
        told = [f"{self.requests} requests"]
        if self.window_requests is not None and self.window_seconds is not None:
            span = f"{self.window_requests} in {self.window_seconds / 60:.0f} min"
            told.append(f"{self.windows} window{'' if self.windows == 1 else 's'} of {span}")
            if self.waiting_seconds >= 60:
                told.append(f"{self.waiting_seconds / 60:.0f} min of waiting")
        if self.waiting_seconds or self.transfer_seconds is not None:
            told.append(f"done about {self.finish_at.astimezone():%Y-%m-%d %H:%M}")
        return (", ".join(told), *self._shortfalls())

    def _shortfalls(self) -> tuple[str, ...]:
        when = f"; it begins anew on {self.traffic_resets_at:%Y-%m-%d} (UTC)" if self.traffic_resets_at else ""
        return tuple(
            f"{needed / 1e6:.0f} MB will be {verb}, and {self.account} has {max(left, 0) / 1e6:.0f} MB left of this "
            f"month's traffic{when}"
            for needed, left, verb in (
                (self.bytes_up, self.upload_left, "sent"),
                (self.bytes_down, self.download_left, "received"),
            )
            if left is not None and needed > left
        )


def waiting_seconds(requests: int, *, allowed: int, seconds: float, use: WindowUse | None = None) -> float:
    """Seconds from now until the last of ``requests`` may be sent, when at most ``allowed`` may be in any ``seconds``,
    all are sent as soon as that permits, and ``use`` is in the window already."""
    use = use or WindowUse()
    in_use = list(use.in_use)
    heapq.heapify(in_use)
    moment, used, left = use.blocked_seconds, use.requests, requests
    while left > 0:
        while in_use and in_use[0][0] <= moment:
            used -= heapq.heappop(in_use)[1]
        sent = min(allowed - used, left)
        if sent > 0:
            heapq.heappush(in_use, (moment + seconds, sent))
            used += sent
            left -= sent
        if left > 0:
            moment = max(in_use[0][0], moment)
    return moment


def transfer_seconds(count: int, timetable: Timetable, begins: datetime, *, measured: float | None) -> float | None:
    """Seconds that ``count`` bytes take from ``begins`` on, by the limits of ``timetable`` and, where that has none, at
    the ``measured`` bytes a second. None when a time without limit is reached and nothing was measured."""
    moment, left = begins, float(count)
    while left > 0:
        limit = timetable.rate_at(moment)
        rate = min((r for r in (limit, measured) if r), default=None)
        if rate is None:
            return None
        if left <= rate * _STEP.total_seconds() or moment - begins > _LONGEST:
            return (moment - begins).total_seconds() + left / rate
        left -= rate * _STEP.total_seconds()
        moment += _STEP
    return 0.0


def finish(begins: datetime, *, waiting: float, transfer: float | None, windows: int) -> datetime:
    """About when work ends: transfers fill the windows that are waited for, and the last window's come after."""
    transfer = transfer or 0.0
    return begins + timedelta(seconds=max(waiting + transfer / max(windows, 1), transfer))
