"""When a limit will be reached, and how sure that is.

Method: the past daily changes of what is stored, in blocks of seven days in a row (so that a weekly full backup or
cleanup stays whole), are drawn again at random, with replacement, to make a thousand possible futures of five years;
each says on which day it first reaches the limit. The middle one of them is the forecast, the 10th and 90th of a
hundred the range in which it lies with a probability of 80 %, provided that the future is like the past. This is the
moving-block bootstrap (H. R. Künsch, "The Jackknife and the Bootstrap for General Stationary Observations", 1989). It
asks for no model of growth, keeps the effect of cleanups, and is the same for the same past: the chance is seeded.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd

from backup_core.deferred import dataclass

BLOCK = 7
"""Days."""
LEARNED_FROM = 180
"""Days of the past, at most: what was true three years ago says little."""
SHORTEST_PAST = 14
"""Days; less says nothing."""
HORIZON = 5 * 365
"""Days."""
FUTURES = 1000
_SEED = 20_251_031


@dataclass(frozen=True, slots=True)
class Forecast:
    """When a limit is reached."""

    limit_bytes: int
    """Stored bytes."""
    stored_bytes: int
    """Now."""
    growth_per_day: float
    """Stored bytes a day, on average over the past it was learned from; negative when it shrinks."""
    learned_days: int
    """Days of the past; 0 when they were too few for a forecast."""
    probability: float
    """That it is reached within the horizon of five years, 0 to 1."""
    likely: date | None
    """The day on which half of the futures have reached it; None when fewer do at all."""
    early: date | None
    """A tenth of them have by this day."""
    late: date | None
    """Nine tenths have; None when fewer do within the horizon."""

    @property
    def reached(self) -> bool:
        """True when the limit is reached already."""
        return self.stored_bytes >= self.limit_bytes


def forecast_limit(daily: pd.Series[int], limit_bytes: int, *, today: date) -> Forecast:
    """When ``daily`` (stored bytes at the end of each day, the last one being today's) reaches ``limit_bytes``."""
    past = daily.to_numpy(dtype="float64")[-(LEARNED_FROM + 1) :]
    changes = np.diff(past)
    stored = int(past[-1]) if len(past) else 0
    growth = float(changes.mean()) if len(changes) else 0.0
    if stored >= limit_bytes:
        return Forecast(limit_bytes, stored, growth, len(changes), 1.0, today, today, today)
    if len(changes) < SHORTEST_PAST:
        return Forecast(limit_bytes, stored, growth, 0, 0.0, None, None, None)
    days = np.sort(_first_days(changes, limit_bytes - stored))
    return Forecast(
        limit_bytes=limit_bytes,
        stored_bytes=stored,
        growth_per_day=growth,
        learned_days=len(changes),
        probability=float(np.mean(days <= HORIZON)),
        likely=_date(days, 0.5, today),
        early=_date(days, 0.1, today),
        late=_date(days, 0.9, today),
    )


def forecast_band(daily: pd.Series[int], days: int) -> pd.DataFrame:
    """The same futures as a band for charts: ``low``, ``middle``, ``high`` stored bytes (10th, 50th and 90th of a
    hundred), for each of the next ``days`` days. Empty when the past is too short."""
    past = daily.to_numpy(dtype="float64")[-(LEARNED_FROM + 1) :]
    changes = np.diff(past)
    if len(changes) < SHORTEST_PAST:
        return pd.DataFrame({"low": [], "middle": [], "high": []}, dtype="float64")
    futures = np.maximum(past[-1] + _futures(changes, days), 0)
    low, middle, high = np.quantile(futures, (0.1, 0.5, 0.9), axis=0)
    return pd.DataFrame({"low": low, "middle": middle, "high": high})


def _futures(changes: np.ndarray, days: int) -> np.ndarray:
    """Cumulated changes, one future a row."""
    chance = np.random.default_rng(_SEED)
    blocks = -(-days // BLOCK)
    # Around the end and back to the beginning, so that every day of the past is drawn equally often.
    starts = chance.integers(0, len(changes), size=(FUTURES, blocks))
    picked = (starts[:, :, None] + np.arange(BLOCK)) % len(changes)
    return np.asarray(changes[picked].reshape(FUTURES, -1)[:, :days].cumsum(axis=1))


def _first_days(changes: np.ndarray, room: int) -> np.ndarray:
    """Days until each future has used up ``room`` bytes; one more than the horizon when it does not."""
    reached = _futures(changes, HORIZON) >= room
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, HORIZON + 1)


def _date(sorted_days: np.ndarray, share: float, today: date) -> date | None:
    day = int(sorted_days[int(np.ceil(share * len(sorted_days))) - 1])
    return None if day > HORIZON else today + timedelta(days=day)
