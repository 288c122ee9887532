"""Following the backups of many machines: so many at a time, none waited for without end, none stopping the others.

Pure reckoning over what somebody else starts and looks at (``Hands``), so that it can be tried without any server.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from backup_core.clock import Clock
from backup_core.errors import BackupError

POLL = 5.0
"""Seconds between two looks; one question each, however many runs there are."""
MOST_ATTEMPTS = 3
"""So often is a backup begun whose run crashed: one that crashes each time has a cause of its own."""

_LOG = logging.getLogger("backup_core.fleet")


@dataclass(frozen=True, slots=True)
class Job:
    """One backup to be made on one machine."""

    host: str
    configuration: str
    deployment: str
    """Id of the deployment, "" when there is none."""
    pool: str
    """Whose worker is to take it."""


class Phase(Enum):
    """Where a run is."""

    WAITING = "waiting"
    """Nobody has taken it."""
    WORKING = "working"
    DONE = "done"
    FAILED = "failed"
    CRASHED = "crashed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Seen:
    """A run at one look."""

    phase: Phase
    message: str = ""
    problems: bool = False
    """Whether it is done with problems."""


class Result(Enum):
    """How a backup ended."""

    DONE = "backed up"
    PROBLEMS = "backed up with problems"
    FAILED = "failed"
    CRASHED = "crashed"
    CANCELLED = "cancelled"
    NOT_TAKEN = "not begun"
    """No worker took it in time; it was withdrawn."""
    LOST = "lost sight of"
    """Its worker has fallen silent; it may be at work, or not."""
    LEFT = "still at work"
    """After the longest time; it goes on."""

    @property
    def good(self) -> bool:
        """Whether there is a new backup."""
        return self in (Result.DONE, Result.PROBLEMS)


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of one job."""

    job: Job
    result: Result
    message: str = ""
    run: str = ""
    """Id of its last run, "" when there was none."""
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient the fleet is."""

    at_once: int
    """Machines that work at the same time; each does its backups one after the other."""
    start_within: float
    """Seconds in which a worker must take a run."""
    silence: float
    """Seconds without a sign of a worker after which its run is lost sight of."""
    longest: float
    """Seconds after which a run is not followed any more."""


class Hands(Protocol):
    """What acts for the fleet. All but ``silence`` raise ``BackupError`` when something cannot be done at all."""

    def start(self, job: Job) -> str:
        """Put a run of the job down; its id."""
        ...

    def start_again(self, job: Job, run: str, times: int) -> str:
        """Put a run down that goes on, for the ``times``-th time, with what a crashed one left; its id. Asked twice
        there is still one."""
        ...

    def successor(self, run: str) -> str:
        """Id of the run that was put down to go on with this one, "" when there is none."""
        ...

    def look(self, runs: Sequence[str]) -> Mapping[str, Seen]:
        """How these runs are; those of which nothing can be known now are left out."""
        ...

    def stop(self, run: str) -> None:
        """Have a run stopped, or withdrawn when it has not begun."""
        ...

    def silence(self, pool: str) -> float | None:
        """Seconds since a worker of this pool was heard of, None when there never was one."""
        ...


@dataclass(slots=True)
class _UnderWay:
    """A machine at work."""

    job: Job
    rest: deque[Job]
    """What it has to do afterwards."""
    run: str
    begun: float
    """When the job's first run was put down."""
    put_down: float
    """When the present one was."""
    attempts: int = 1

    def ended(self, result: Result, message: str) -> Ended:
        return Ended(self.job, result, message, self.run, self.attempts)


class Fleet:
    """Starts and follows the jobs of one fleet run."""

    def __init__(self, hands: Hands, limits: Limits, clock: Clock) -> None:
        self._hands = hands
        self._limits = limits
        self._clock = clock
        self._waiting: deque[deque[Job]] = deque()
        self._under_way: list[_UnderWay] = []
        self._ended: list[Ended] = []

    def run(self, jobs: Iterable[Job]) -> list[Ended]:
        """Carry all out; what became of each, in the order of their ends.

        When somebody stops it - an exception that is no ``Exception`` - the runs under way are stopped, too.
        """
        by_host: dict[str, deque[Job]] = {}
        for job in jobs:
            by_host.setdefault(job.host, deque()).append(job)
        self._waiting.extend(by_host.values())
        try:
            while self._waiting or self._under_way:
                while self._waiting and len(self._under_way) < self._limits.at_once:
                    self._begin_next(self._waiting.popleft())
                self._clock.sleep(POLL)
                self._look()
        except BaseException as interruption:
            if not isinstance(interruption, Exception):
                self._stop_all()
            raise
        return self._ended

    def _begin_next(self, rest: deque[Job]) -> None:
        """Start the next of a machine's jobs that can be started."""
        while rest:
            job = rest.popleft()
            try:
                run = self._hands.start(job)
            except BackupError as error:
                self._end(Ended(job, Result.FAILED, str(error)))
                continue
            now = self._clock.monotonic()
            self._under_way.append(_UnderWay(job, rest, run, now, now))
            return

    def _look(self) -> None:
        if not self._under_way:
            return
        seen = self._hands.look([one.run for one in self._under_way])
        for one in list(self._under_way):
            ended = self._judged(one, seen.get(one.run))
            if ended is None:
                continue
            self._under_way.remove(one)
            self._end(ended)
            if ended.result in (Result.NOT_TAKEN, Result.LOST):
                # Nobody would take the others, either.
                for job in one.rest:
                    self._end(Ended(job, Result.NOT_TAKEN, "not tried: the machine's worker does not answer"))
            else:
                self._begin_next(one.rest)

    def _judged(self, one: _UnderWay, seen: Seen | None) -> Ended | None:
        """What became of a run, None while it is under way."""
        if seen is None:
            seen = Seen(Phase.WORKING)
        match seen.phase:
            case Phase.DONE:
                return one.ended(Result.PROBLEMS if seen.problems else Result.DONE, seen.message)
            case Phase.FAILED:
                return one.ended(Result.FAILED, seen.message)
            case Phase.CRASHED | Phase.CANCELLED:
                return self._broken_off(one, seen)
            case Phase.WAITING:
                return self._not_taken(one)
            case Phase.WORKING:
                return self._too_long(one)

    def _broken_off(self, one: _UnderWay, seen: Seen) -> Ended | None:
        """A run that crashed is begun again. One that was cancelled is only followed into the run that goes on with it,
        as when its worker was stopped: people's wish to stop it is respected."""
        crashed = seen.phase is Phase.CRASHED
        if crashed and one.attempts >= MOST_ATTEMPTS:
            return one.ended(Result.CRASHED, seen.message)
        try:
            run = self._again(one) if crashed else self._hands.successor(one.run)
        except BackupError as error:
            return one.ended(Result.CRASHED, f"{seen.message}; it could not be started again: {error}")
        if not run:
            return one.ended(Result.CANCELLED, seen.message)
        self._goes_on(one, run)
        return None

    def _again(self, one: _UnderWay) -> str:
        return self._hands.start_again(one.job, one.run, one.attempts)

    def _goes_on(self, one: _UnderWay, run: str) -> None:
        _LOG.warning("the backup of %s on %s goes on in another run", one.job.configuration, one.job.host)
        one.run, one.put_down, one.attempts = run, self._clock.monotonic(), one.attempts + 1

    def _not_taken(self, one: _UnderWay) -> Ended | None:
        if self._clock.monotonic() - one.put_down < self._limits.start_within:
            return None
        self._hands.stop(one.run)
        return one.ended(Result.NOT_TAKEN, f"no worker took the run, which was withdrawn; {self._heard(one.job.pool)}")

    def _too_long(self, one: _UnderWay) -> Ended | None:
        if self._clock.monotonic() - one.begun >= self._limits.longest:
            return one.ended(Result.LEFT, "it goes on, and is not followed any more")
        silence = self._hands.silence(one.job.pool)
        if silence is not None and silence >= self._limits.silence:
            return one.ended(Result.LOST, self._heard(one.job.pool))
        return None

    def _heard(self, pool: str) -> str:
        silence = self._hands.silence(pool)
        if silence is None:
            return f"no worker was ever heard of in the work pool {pool}"
        return f"the worker of {pool} was last heard of {silence / 60:.0f} minutes ago"

    def _end(self, ended: Ended) -> None:
        log = _LOG.info if ended.result.good else _LOG.error
        log("%s on %s: %s", ended.job.configuration, ended.job.host, ended.result.value)
        self._ended.append(ended)

    def _stop_all(self) -> None:
        for one in self._under_way:
            try:
                self._hands.stop(one.run)
            except BackupError as error:
                _LOG.warning("the run of %s on %s was not stopped: %s", one.job.configuration, one.job.host, error)
