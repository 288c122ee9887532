"""Runs configurations at their ``schedule_time``, every day, in a thread of this process, in the rhythm of full and
incremental backups that ``config.rhythm`` knows.

What is due follows from the configuration and the record of past runs alone, so a run that was missed (the machine
slept, the program was down) is made up for once, and a restart repeats nothing.
"""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING

from backup_core.config.rhythm import Kind, kind_on
from backup_core.errors import BackupError, Cancelled, LockHeld
from backup_core.progress import CancelToken
from backup_core.services.moments import to_local, to_local_if_any

if TYPE_CHECKING:
    from backup_core.config.models import BackupConfig
    from backup_core.services.backup_service import BackupService

_LOG = logging.getLogger(__name__)
_LOOK_EVERY = 30.0
"""Seconds."""


def last_due(schedule_time: str, now: datetime) -> datetime:
    """The newest moment at or before ``now`` (naive local time) that the schedule "HH:MM" names."""
    hour, minute = (int(part) for part in schedule_time.split(":"))
    today = datetime.combine(now.date(), time(hour, minute))
    return today if today <= now else today - timedelta(days=1)


def is_due(schedule_time: str | None, *, now: datetime, known_since: datetime, last_start: datetime | None) -> bool:
    """Whether a run is due: the schedule named a moment since the configuration was made, and none began since then.

    All moments are naive local time. A last start in the future (the clock was set back) counts as now.
    """
    if schedule_time is None:
        return False
    due = last_due(schedule_time, now)
    started = min(last_start, now) if last_start is not None else None
    return due > known_since and (started is None or started < due)


class Scheduler:
    """Looks every half minute at what is due and does it, one configuration after the other."""

    def __init__(self, service: BackupService, run: Callable[[BackupConfig, Kind, CancelToken], object]) -> None:
        self._service = service
        self._run = run
        self._thread: threading.Thread | None = None
        self._stop = CancelToken()
        self._lock = threading.Lock()

    @property
    def running(self) -> bool:
        """True between ``start`` and ``stop``."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin; nothing happens when it runs already. The thread does not keep a program alive by itself."""
        with self._lock:
            if self.running:
                return
            self._stop = CancelToken()
            context = contextvars.copy_context()
            self._thread = threading.Thread(
                target=context.run, args=(self._work, self._stop), name="davault-scheduler", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Stop; a backup under way is cancelled at its next safe point, and what it stored is reused by the next."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._stop.cancel("the scheduler was stopped")
        if thread is not None:
            thread.join()

    def run_due(self, cancel: CancelToken) -> list[str]:
        """Do now what is due; names of the configurations that were run, whatever became of them."""
        done = []
        for config in self._service.configurations.of_this_host():
            if cancel.cancelled:
                break
            if (due := self._due(config)) is not None:
                self._attempt(config, kind_on(config, due.date()), cancel)
                done.append(config.name)
        return done

    def _due(self, config: BackupConfig) -> datetime | None:
        """The moment (naive local time) whose run is to be made now, None when there is none."""
        row = self._service.catalogue.setups.configuration(config.name)
        if row is None or config.schedule_time is None:
            return None
        now = to_local(self._service.clock.now())
        last = self._service.catalogue.history.last_start(config.name, kind="backup")
        due = is_due(
            config.schedule_time, now=now, known_since=to_local(row.created_at), last_start=to_local_if_any(last)
        )
        return last_due(config.schedule_time, now) if due else None

    def _attempt(self, config: BackupConfig, kind: Kind, cancel: CancelToken) -> None:
        try:
            self._run(config, kind, cancel)
        except (Cancelled, LockHeld) as error:
            _LOG.warning("the scheduled backup of %s was not made: %s", config.name, error)
        except BackupError as error:
            _LOG.error("the scheduled backup of %s failed: %s", config.name, error)
        except Exception:
            # One job's fault must not end the others' schedule.
            _LOG.exception("the scheduled backup of %s failed", config.name)

    def _work(self, stop: CancelToken) -> None:
        while not stop.cancelled:
            try:
                self.run_due(stop)
            except BackupError as error:
                _LOG.error("the schedule could not be read: %s", error)
            stop.wait(_LOOK_EVERY)
