"""What is dear in production on purpose, or done once in a lifetime there, and would be done a thousand times in tests.

Three things: stretching passwords, building the tables of a new catalogue, and the wait between writing a lock and
looking again, which gives other processes time to come in between. The tests of these very things take them as they
are (``at_full_cost``); processes that a test starts always do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from backup_core.catalogue import database
from backup_core.catalogue.migrations import upgrade
from backup_core.clock import SystemClock
from backup_core.format import kdf, key_file
from backup_core.format.cipher import MasterKey
from backup_core.format.kdf import ScryptParameters, derive
from backup_core.progress import CancelToken
from backup_core.repository.locks import WAIT_SECONDS
from backup_core.types import Secret

_REAL = (
    (key_file, "derive", derive),
    (kdf, "begin", kdf.begin),
    (key_file, "ScryptParameters", ScryptParameters),
    (database, "upgrade", upgrade),
    (SystemClock, "sleep", SystemClock.sleep),
)
_SLEEP = SystemClock.sleep
_KEYS: dict[tuple[str, ScryptParameters], MasterKey] = {}
"""For the whole process: what is stretched for a repository that many tests share serves them all."""
_TABLES: list[str] = []
"""What SQLite must be told to build a catalogue like the first one of this process."""


@contextmanager
def thrift() -> Iterator[None]:
    """Within this, new keys cost next to nothing, no key is stretched twice, and tables are built by copying."""
    with keys_derived_once(), ExitStack() as stack:
        stack.enter_context(mock.patch.object(key_file, "ScryptParameters", _least_cost))
        stack.enter_context(mock.patch.object(database, "upgrade", _upgrade_by_copying))
        stack.enter_context(mock.patch.object(SystemClock, "sleep", _sleep_for_no_lock))
        yield


@contextmanager
def at_full_cost() -> Iterator[None]:
    """Within this, all is as in production, also within ``thrift``."""
    with ExitStack() as stack:
        for home, name, real in _REAL:
            stack.enter_context(mock.patch.object(home, name, real))
        yield


@contextmanager
def keys_derived_once() -> Iterator[None]:
    """Within this, the same password with the same parameters is stretched only the first time, and none ahead."""

    def derive_once(password: Secret, parameters: ScryptParameters) -> MasterKey:
        wanted = (password.reveal(), parameters)
        if wanted not in _KEYS:
            _KEYS[wanted] = derive(password, parameters)
        return _KEYS[wanted]

    with mock.patch.object(key_file, "derive", derive_once), mock.patch.object(kdf, "begin"):
        yield


def _least_cost(n: int = 2, r: int = 8, p: int = 1, salt: bytes = b"") -> ScryptParameters:
    return ScryptParameters(n, r, p, salt)


def _sleep_for_no_lock(clock: SystemClock, seconds: float, cancel: CancelToken | None = None) -> None:
    # The machine's clock alone: time must pass on a clock that stands still otherwise.
    _SLEEP(clock, 0 if seconds == WAIT_SECONDS else seconds, cancel)


def _upgrade_by_copying(connection: Any) -> None:
    driver = connection.connection.driver_connection
    if connection.dialect.name != "sqlite" or driver is None or _holds_tables(connection):
        upgrade(connection)
    elif not _TABLES:
        upgrade(connection)
        # The transaction is the caller's, at either end.
        _TABLES.extend(line for line in driver.iterdump() if line not in ("BEGIN TRANSACTION;", "COMMIT;"))
    else:
        for line in _TABLES:
            driver.execute(line)


def _holds_tables(connection: Any) -> bool:
    return bool(connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar())
