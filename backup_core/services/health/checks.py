"""The checks of one open repository, each of which says what it found and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from backup_core.errors import BackupError
from backup_core.progress import CancelToken
from backup_core.repository.repository import Repository
from backup_core.results import Problem
from backup_core.services.findings import FindingLevel
from backup_core.services.health.records import HealthCheck
from backup_core.storage.backend import Space

OK, WARNING, ERROR = FindingLevel.OK, FindingLevel.WARNING, FindingLevel.ERROR

LITTLE_SPACE = 0.10
"""Share of the account that should be free."""
TOO_LITTLE_SPACE = 0.02
"""Share below which the next backup may well fail."""
LEAST_SPACE = 256 * 1024 * 1024
"""Bytes below which the next backup may well fail, however large the account is."""
_SOON = 0.8
"""Share of the greatest age at which a warning is due."""


def check_index(subject: str, repository: Repository, cancel: CancelToken) -> HealthCheck:
    """Whether everything that the repository holds can be found."""
    problems: list[Problem] = []
    try:
        index = repository.load_index(cancel=cancel, problems=problems, allow_unproved=True)
    except BackupError as error:
        advice = "see what is affected: davault validate --all"
        return HealthCheck(subject, "index", ERROR, f"the index cannot be read: {error}", advice)
    if problems:
        advice = "see what is affected: davault validate --all; a full backup stores again what the source still has"
        return HealthCheck(subject, "index", ERROR, problems[0].message, advice, value=float(len(problems)))
    if not index.complete:
        advice = "try again later; if it stays so, look at the server's limits"
        return HealthCheck(subject, "index", WARNING, "the server may not have listed all index files", advice)
    return HealthCheck(subject, "index", OK, f"{len(index)} objects are listed")


def check_locks(subject: str, repository: Repository, *, now: datetime, configuration: str) -> HealthCheck:
    """Whether programs that died have left locks."""
    try:
        holders = repository.lock_holders()
    except BackupError as error:
        return HealthCheck(subject, "locks", WARNING, f"the locks cannot be looked at: {error}", "try again later")
    stale = [holder for holder in holders if holder.stale]
    if stale:
        message = f"{len(stale)} locks were left behind; {stale[0].describe(now)}"
        return HealthCheck(subject, "locks", WARNING, message, f"davault unlock {configuration}", float(len(stale)))
    living = f"in use: {holders[0].describe(now)}" if holders else "none"
    return HealthCheck(subject, "locks", OK, living, value=0.0)


def check_age(
    subject: str, newest: datetime | None, *, now: datetime, longest: float, advice: str, what: str = "backup"
) -> HealthCheck:
    """Whether the newest backup (or copy of one) is not older than ``longest`` seconds."""
    if newest is None:
        return HealthCheck(subject, "age", ERROR, f"there is no {what} yet", advice, limit=longest)
    age = max(0.0, (now - newest).total_seconds())
    message = f"the newest {what} is {shown_age(age)} old; allowed are {shown_age(longest)}"
    level = ERROR if age > longest else WARNING if age > _SOON * longest else OK
    return HealthCheck(subject, "age", level, message, advice if level is not OK else "", age, longest)


def check_space(subject: str, space: Space) -> HealthCheck:
    """Whether there is room for the next backups, as far as the server tells."""
    if space.available is None:
        return HealthCheck(subject, "space", OK, "the server does not tell how much room is left")
    whole = space.available + (space.used or 0)
    limit = max(LEAST_SPACE, int(TOO_LITTLE_SPACE * whole) if space.used is not None else 0)
    message = f"{space.available / 2**30:.1f} GiB are free"
    if space.used is not None:
        message += f" of {whole / 2**30:.1f} GiB"
    advice = "make room: forget old backups (davault cleanup) and prune, or enlarge the account"
    value = float(space.available)
    if space.available < limit:
        return HealthCheck(subject, "space", ERROR, message, advice, value, float(limit))
    if space.used is not None and space.available < LITTLE_SPACE * whole:
        return HealthCheck(subject, "space", WARNING, message, advice, value, float(limit))
    return HealthCheck(subject, "space", OK, message, "", value, float(limit))


def checks_of_repository(
    subject: str, repository: Repository, *, configuration: str, now: datetime, cancel: CancelToken
) -> Iterator[HealthCheck]:
    """Index, locks and room of an open repository."""
    yield check_index(subject, repository, cancel)
    yield check_locks(subject, repository, now=now, configuration=configuration)
    try:
        space = repository.backend.space()
    except BackupError as error:
        yield HealthCheck(subject, "space", WARNING, f"the server does not tell how much room is left: {error}")
    else:
        yield check_space(subject, space)


def shown_age(seconds: float) -> str:
    """An age in words."""
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 4 * 86_400 else f"{seconds / 86_400:.0f} days"
