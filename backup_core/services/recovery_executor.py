"""Carrying out restores: in the calling thread, or in the background as sessions."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Literal, cast

from backup_core.errors import BackupError
from backup_core.progress import CancelToken, ProgressSink, ProgressTracker, no_progress
from backup_core.repository.options import default_hostname
from backup_core.results import Problem, RestoreSummary
from backup_core.services.accounts.cautions import account_cautions
from backup_core.services.mirroring.fallback import Fallback, Reached
from backup_core.services.moments import to_aware
from backup_core.services.recovery_records import RecoveryProgress, RestorePreview
from backup_core.services.restore_sessions import RestoreRequest, Session, shown
from backup_core.storage.request_ledger import Priority

if TYPE_CHECKING:
    from backup_core.engine.restore_hands import Hands
    from backup_core.engine.restore_plan import RestorePlan
    from backup_core.services.backup_service import BackupService

_LOG = logging.getLogger(__name__)
_MOST_CHANGES = 1000
_CHANGING = ("replace", "update", "create")


class RecoveryExecutor:
    """Plans and runs restores. Safe between threads."""

    def __init__(self, backup_service: BackupService) -> None:
        self._service = backup_service
        self.fallback = Fallback(backup_service)
        self._live: dict[str, Session] = {}
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    @staticmethod
    def make_ready() -> None:
        """Load what a restore takes now, while the key of its repository may still be being derived."""
        for module in ("restore_hands", "restore_plan", "restore_run"):
            import_module(f"backup_core.engine.{module}")

    def preview(
        self,
        request: RestoreRequest,
        *,
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
    ) -> RestorePreview:
        """What ``run`` would do."""
        tracker = ProgressTracker(progress, clock=self._service.clock)
        cancel = cancel or CancelToken()
        with self.fallback.reached(request.opened_by, request.backup, tracker=tracker, cancel=cancel) as reached:
            plan = self._plan(reached, request, tracker, cancel)
            return RestorePreview(
                backup_id=request.backup.backup_id,
                snapshot_id=request.backup.snapshot_id,
                target=plan.target,
                files_total=plan.files_total,
                creates=plan.creates,
                replaces=plan.replaces,
                keeps=plan.keeps,
                deletes=len(plan.deletes),
                bytes_to_write=plan.bytes_to_write,
                bytes_to_download=plan.bytes_to_download,
                packs=len(plan.packs),
                notes=tuple(
                    problem.message
                    for problem in (
                        *_from_elsewhere(request),
                        *reached.problems,
                        *plan.problems,
                        *self._cautions(request, plan),
                    )
                ),
                created_at=request.backup.created_at,
                requests=plan.requests,
                space_needed=plan.space_needed,
                space_free=plan.space_free,
                changes=tuple(islice(_changes(plan), _MOST_CHANGES)),
            )

    def run(
        self,
        request: RestoreRequest,
        *,
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
    ) -> RestoreSummary:
        """Restore in the calling thread. Raises ``RestoreError``, ``RepositoryError``, ``StorageError``,
        ``Cancelled``."""
        session = self.announce(request, cancel or CancelToken())
        return self.carry_out(session, progress)

    def start(self, requests: Sequence[RestoreRequest], *, on_end: Callable[[], None] = lambda: None) -> list[str]:
        """Restore in the background, one request after the other, whatever becomes of those before; their session ids.

        ``on_end`` is called in the background thread when all have ended.
        """
        sessions = [self.announce(request, CancelToken()) for request in requests]

        def work() -> None:
            for session in sessions:
                try:
                    self.carry_out(session, no_progress)
                except BackupError as error:
                    _LOG.error("the restore of %s ended: %s", session.request.backup.backup_id, error)
                except Exception:
                    # Nobody above could be told; the session says "failed", the log says why.
                    _LOG.exception("the restore of %s ended", session.request.backup.backup_id)
            on_end()

        self.in_background(work, name="davault-restore")
        return [session.id for session in sessions]

    def withdraw(self, session: Session, reason: BackupError) -> None:
        """Record that an announced restore will not be done."""
        session.stopped(reason)
        session.close()
        with self._lock:
            self._live.pop(session.id, None)

    def in_background(self, work: Callable[[], None], *, name: str) -> None:
        """Have a thread do ``work``, which handles its own errors, and have ``wait`` wait for it."""
        # The context carries what a caller's logging hangs on (Prefect's run, say). Not a daemon: a program that starts
        # a restore and comes to its end wants the restore finished.
        thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), name=name)
        with self._lock:
            self._threads = [t for t in self._threads if t.is_alive()] + [thread]
        thread.start()

    def progress(self, session_id: str) -> RecoveryProgress | None:
        """How far a session is, from any process; None when there is none of this id."""
        row = self._service.catalogue.restores.get(session_id)
        return None if row is None else shown(row)

    def cancel(self, session_id: str) -> bool:
        """Ask a session to stop, from any process; False when it is unknown or has ended."""
        known = self.progress(session_id)
        if known is None or known.status.final:
            return False
        self._service.catalogue.restores.update(session_id, cancel_requested=True)
        with self._lock:
            live = self._live.get(session_id)
        if live is not None:
            live.cancel.cancel("the restore was cancelled")
        return True

    def wait(self) -> None:
        """Return when no background restore of this process is running any more."""
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    def announce(self, request: RestoreRequest, cancel: CancelToken) -> Session:
        """Record a restore that is to come, so that it can be watched and cancelled; ``carry_out`` does it."""
        session = Session(self._service.catalogue, self._service.clock, request, cancel)
        with self._lock:
            self._live[session.id] = session
        return session

    def carry_out(self, session: Session, progress: ProgressSink) -> RestoreSummary:
        """Do what was announced, in the calling thread. Raises what ``run`` raises."""
        from backup_core.engine.restore_hands import Hands

        try:
            # Before there are threads: the one that watches the session, and the one that renews the lock.
            with Hands() as hands:
                hands.fork_early()
                with session.running():
                    session.cancel.check()
                    summary = self._restore(session.request, session.cancel, session.sink(progress), hands)
        except BaseException as error:
            session.stopped(error)
            raise
        else:
            session.ended(summary)
            return summary
        finally:
            session.close()
            with self._lock:
                self._live.pop(session.id, None)

    # ---- inside

    def _restore(
        self, request: RestoreRequest, cancel: CancelToken, sink: ProgressSink, hands: Hands
    ) -> RestoreSummary:
        from backup_core.engine.restore_run import run_restore

        tracker = ProgressTracker(sink, clock=self._service.clock)
        with self.fallback.reached(request.opened_by, request.backup, tracker=tracker, cancel=cancel) as reached:
            plan = self._plan(reached, request, tracker, cancel)
            cautions = self._cautions(request, plan)
            summary = run_restore(
                reached.repository,
                plan,
                clock=self._service.clock,
                progress=tracker,
                cancel=cancel,
                verify=request.verify,
                copies=reached.copies,
                hands=hands,
            )
            # Those for opening, and for finding the backup, are part of what a restore costs.
            requests = dict(reached.copies.requests())
            summary = replace(summary, problems=(*cautions, *summary.problems), requests=requests)
            made_at = to_aware(request.backup.created_at)
            return replace(reached.told(summary), backup_id=request.backup.backup_id, backup_time=made_at)

    def _cautions(self, request: RestoreRequest, plan: RestorePlan) -> tuple[Problem, ...]:
        return account_cautions(
            self._service.webdav_service,
            self._service.configurations.stored(request.opened_by),
            requests=plan.requests,
            bytes_down=plan.bytes_to_download,
            priority=Priority.RESTORE,
        )

    def _plan(
        self, reached: Reached, request: RestoreRequest, tracker: ProgressTracker, cancel: CancelToken
    ) -> RestorePlan:
        from backup_core.engine.restore_plan import plan_restore

        return plan_restore(
            reached.repository,
            reached.snapshot,
            request.target,
            patterns=request.patterns,
            exclude=request.exclude,
            case_insensitive=request.case_insensitive,
            listed=request.listed,
            in_place=request.in_place,
            overwrite=cast(Literal["always", "if-changed", "if-newer", "never"], request.overwrite),
            delete=request.delete,
            verify=request.verify,
            copies=reached.copies,
            cancel=cancel,
            progress=tracker,
        )


def _from_elsewhere(request: RestoreRequest) -> list[Problem]:
    made_on = request.backup.hostname
    if not request.in_place or made_on in ("", default_hostname()):
        return []
    told = f"the backup was made on {made_on}; its paths may mean something else on this machine"
    return [Problem("elsewhere", told)]


def _changes(plan: RestorePlan) -> Iterator[tuple[str, str]]:
    """What would change at the target; what is replaced or goes first, since that cannot be undone."""
    from backup_core.engine.restore_layout import printable
    from backup_core.engine.target import ROOT

    for extra in plan.deletes:
        above = f"{plan.shown(extra.parent)}/" if extra.parent != ROOT else ""
        yield "delete", above + printable(extra.name)
    for wanted in _CHANGING:
        for number, entry in enumerate(plan.entries):
            if entry.action.value == wanted and entry.type != "dir":
                yield wanted, plan.shown(number)
