"""Restore sessions: their progress kept in the catalogue, so that any process can watch and stop them."""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backup_core.catalogue.catalogue import Catalogue
from backup_core.catalogue.restore_rows import RestoreSessionRow
from backup_core.clock import Clock
from backup_core.deferred import dataclass
from backup_core.errors import Cancelled, CatalogueError
from backup_core.progress import CancelToken, Progress, ProgressSink
from backup_core.repository.options import default_hostname
from backup_core.repository.processes import process_alive
from backup_core.results import Outcome, RestoreSummary, Severity
from backup_core.services.moments import to_local, to_local_if_any
from backup_core.services.records import BackupManifest
from backup_core.services.recovery_records import RecoveryProgress, RecoveryStatus

_LOG = logging.getLogger(__name__)
_BEAT = 0.5
"""Seconds between two looks at the catalogue."""
_VERIFYING = "verify"
_COUNTING = ("restore",)
"""Phases whose counts are those of the restore; the others count something else."""
_MOST_ERRORS = 1000
_ours: set[str] = set()
"""Sessions that this process is carrying out, through whichever service."""
_FIGURES = (
    "files_total",
    "files_restored",
    "files_unchanged",
    "files_verified",
    "bytes_restored",
    "bytes_downloaded",
    "seconds",
)


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """What is to be restored, and how."""

    backup: BackupManifest
    opened_by: str
    """Configuration through which the repository is opened."""
    target: Path
    patterns: tuple[str, ...] = ()
    """Empty: everything."""
    exclude: tuple[str, ...] = ()
    listed: tuple[bytes, ...] | None = None
    """Paths to restore besides what the patterns select; None: no such list."""
    case_insensitive: bool = False
    """Patterns ignore case."""
    in_place: bool = False
    """Everything goes to where it was when it was backed up; ``target`` says nothing."""
    overwrite: str = "if-changed"
    delete: bool = False
    verify: bool = False
    """Read everything back from disk afterwards."""
    plan_id: str = ""
    """The disaster-recovery plan it belongs to."""


class Session:
    """One restore of this process, from its announcement to its end."""

    def __init__(self, catalogue: Catalogue, clock: Clock, request: RestoreRequest, cancel: CancelToken) -> None:
        self.id = f"restore_{clock.now().astimezone():%Y%m%d_%H%M%S}_{uuid.uuid4().hex[:8]}"
        self.request = request
        self.cancel = cancel
        self._catalogue = catalogue
        self._clock = clock
        self._newest = self._counted = Progress()
        self._told: Progress | None = None
        self._ended = threading.Event()
        _ours.add(self.id)
        now = clock.now()
        catalogue.restores.add(
            RestoreSessionRow(
                session_id=self.id,
                configuration=request.backup.config_name,
                backup_id=request.backup.backup_id,
                snapshot_id=request.backup.snapshot_id,
                target=str(request.target),
                options={
                    "patterns": list(request.patterns),
                    "exclude": list(request.exclude),
                    "listed": None if request.listed is None else len(request.listed),
                    "case_insensitive": request.case_insensitive,
                    "in_place": request.in_place,
                    "overwrite": request.overwrite,
                    "delete": request.delete,
                    "verify": request.verify,
                },
                plan_id=request.plan_id,
                hostname=default_hostname(),
                pid=os.getpid(),
                started_at=now,
                updated_at=now,
            )
        )

    def sink(self, also: ProgressSink) -> ProgressSink:
        """Where the work tells its progress; ``also`` is told everything, too."""

        def tell(progress: Progress) -> None:
            self._newest = progress
            if progress.phase in _COUNTING:
                self._counted = progress
            also(progress)

        return tell

    def close(self) -> None:
        """Nothing more will come from this process."""
        _ours.discard(self.id)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keep the catalogue up to date, and look there for a wish to cancel, while the block runs."""
        self._write(status=RecoveryStatus.RUNNING.value)
        watch = threading.Thread(target=self._watch, name=self.id, daemon=True)
        watch.start()
        try:
            yield
        finally:
            self._ended.set()
            watch.join()

    def ended(self, summary: RestoreSummary) -> None:
        """Record how it went. It failed when anything could not be restored."""
        status, error = _verdict(summary)
        sentences = [f"{path}: {reason}" for path, reason in summary.failed.items()]
        sentences += [problem.message for problem in summary.problems if problem.path not in summary.failed]
        done = {
            "status": status.value,
            "error": error,
            "errors": sentences[:_MOST_ERRORS],
            "figures": {name: getattr(summary, name) for name in _FIGURES}
            | {"requests": dict(summary.requests), "blobs_by_copy": dict(summary.blobs_by_copy)},
            "files_total": summary.files_total,
            "files_done": summary.files_restored + summary.files_unchanged,
            "bytes_done": max(self._counted.bytes_done, summary.bytes_restored),
            "eta": None,
            "message": "",
            "ended_at": self._clock.now(),
        }
        self._write(**_fields(self._newest, self._counted) | done)

    def stopped(self, error: BaseException) -> None:
        """Record that it ended before its end."""
        cancelled = isinstance(error, (Cancelled, KeyboardInterrupt))
        done = {
            "status": (RecoveryStatus.CANCELLED if cancelled else RecoveryStatus.FAILED).value,
            "error": str(error) or type(error).__name__,
            "eta": None,
            "message": "",
            "ended_at": self._clock.now(),
        }
        self._write(**_fields(self._newest, self._counted) | done)

    def _watch(self) -> None:
        while not self._ended.wait(_BEAT):
            self._beat()

    def _beat(self) -> None:
        newest = self._newest
        verifying = newest.phase == _VERIFYING
        status = RecoveryStatus.VERIFYING if verifying else RecoveryStatus.RUNNING
        if newest is not self._told:
            asked = self._write(**_fields(newest, self._counted), status=status.value)
            self._told = newest
        else:
            asked = self._asked_to_cancel()
        if asked:
            self.cancel.cancel("the restore was cancelled")

    def _asked_to_cancel(self) -> bool:
        try:
            row = self._catalogue.restores.get(self.id)
        except CatalogueError:
            return False
        return row is not None and row.cancel_requested

    def _write(self, **fields: Any) -> bool:
        # A restore goes on without a catalogue: the files matter more than the record of them.
        try:
            return self._catalogue.restores.update(self.id, updated_at=self._clock.now(), **fields)
        except CatalogueError as error:
            _LOG.warning("the progress of %s could not be recorded: %s", self.id, error)
            return False


def _verdict(summary: RestoreSummary) -> tuple[RecoveryStatus, str]:
    if summary.outcome is Outcome.CANCELLED:
        return RecoveryStatus.CANCELLED, "the restore was cancelled; restoring again goes on from here"
    if summary.failed:
        return RecoveryStatus.FAILED, f"{len(summary.failed)} of {summary.files_total} entries could not be restored"
    if summary.outcome is Outcome.FAILED:
        grave = [problem.message for problem in summary.problems if problem.severity is Severity.ERROR]
        return RecoveryStatus.FAILED, "; ".join(grave) or "the restore failed"
    return RecoveryStatus.COMPLETED, ""


def _fields(newest: Progress, counted: Progress) -> dict[str, Any]:
    return {
        "phase": newest.phase,
        "rate": newest.rate,
        "eta": newest.eta,
        "current_path": newest.current_path,
        "message": newest.message,
        "files_total": counted.files_total,
        "files_done": counted.files_done,
        "bytes_total": counted.bytes_total,
        "bytes_done": counted.bytes_done,
    }


def shown(row: RestoreSessionRow) -> RecoveryProgress:
    """A session as people see it. One whose process is gone has failed, whatever its row says."""
    status, error = RecoveryStatus(row.status), row.error
    here = row.hostname == default_hostname()
    alive = row.session_id in _ours if row.pid == os.getpid() else process_alive(row.pid)
    if not status.final and here and not alive:
        status = RecoveryStatus.FAILED
        error = "the process that restored has ended; restore again: what is there already is not fetched twice"
    return RecoveryProgress(
        session_id=row.session_id,
        backup_id=row.backup_id,
        config_name=row.configuration,
        target_path=row.target,
        status=status,
        phase=row.phase,
        total_files=row.files_total,
        processed_files=row.files_done,
        total_size=row.bytes_total,
        processed_size=row.bytes_done,
        rate=row.rate,
        eta=row.eta,
        current_file=row.current_path,
        message=row.message,
        error=error,
        errors=tuple(row.errors),
        started_at=to_local(row.started_at),
        ended_at=to_local_if_any(row.ended_at),
    )
