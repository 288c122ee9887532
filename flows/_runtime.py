"""How a flow does long work: interruptible, with one writer per repository, retried only when that can help."""

from __future__ import annotations

import contextvars
import hashlib
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, TypeVar

from prefect import get_client, get_run_logger
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.concurrency.sync import concurrency
from prefect.exceptions import MissingContextError, ObjectAlreadyExists, ObjectNotFound
from prefect.runtime import flow_run
from prefect.tasks import exponential_backoff

from backup_core.config.models import BackupConfig
from backup_core.config.secrets import register_resolver
from backup_core.errors import BackupError
from backup_core.progress import CancelToken, ProgressSink
from backup_core.services.application import Application, open_application
from flows._given_up import GivenUpWatch
from flows._progress import ProgressArtifact
from flows.blocks import secret_of_block

register_resolver("prefect", secret_of_block)

T = TypeVar("T")
Stage = Callable[[Application, CancelToken, ProgressSink], T]
"""One stage's work: it gets the application, a token that says when to stop, and somewhere to tell progress."""

STOP_GRACE = 25.0
"""Seconds given to work that was asked to stop. Prefect kills the process 30 seconds after asking."""
LONGEST_RUN = 7 * 24 * 3600
"""Seconds after which a run is given up: a first backup over a slow line takes days, a hanging one for ever."""
LEASE = 120.0
"""Seconds for which a writer that has died keeps its place."""
LONGEST_WAIT = 24 * 3600
"""Seconds to wait for another writer of the same repository."""

RETRIES: dict[str, Any] = {
    "retries": 4,
    "retry_delay_seconds": exponential_backoff(backoff_factor=30),
    "retry_jitter_factor": 0.3,
}
"""For tasks: 30 s, 1, 2 and 4 minutes, spread by chance. What a failed attempt stored is reused by the next one."""


def transient(_task: object, _run: object, state: Any) -> bool:
    """Whether trying a failed task again may help: its error says so itself."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, BackupError) and error.transient


def run_stage(work: Stage[T], *, title: str) -> T:
    """Do one stage's work with an open application and a progress artifact, so that it can be interrupted.

    Prefect cancels a run, and ends one that takes too long, by raising in the main thread wherever that is. So the work
    has a thread of its own, which is asked to stop through its token, and the main thread does nothing but wait.
    """
    cancel = CancelToken()
    done: Future[T] = Future()
    watch = GivenUpWatch(cancel)

    def act() -> None:
        try:
            artifact = ProgressArtifact(title, also=_watcher.get())
            with artifact as progress, watch, open_application() as application:
                done.set_result(work(application, cancel, progress))
        except BaseException as error:
            done.set_exception(error)

    # The copied context carries the run that log records and artifacts belong to.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(act,), name="davault-stage", daemon=True)
    thread.start()
    try:
        result = done.result()
    except BaseException as interruption:
        if not done.done():
            _say("stopping at the next safe point")
            cancel.cancel(f"the run was stopped ({type(interruption).__name__})")
            thread.join(STOP_GRACE)
        if watch.found is not None and isinstance(interruption, Exception):
            raise watch.found from interruption
        raise
    thread.join()
    return result


def _say(line: str) -> None:
    """Into the run's log, if there is a run."""
    with suppress(MissingContextError):
        get_run_logger().warning(line)


_watcher: contextvars.ContextVar[ProgressSink | None] = contextvars.ContextVar("davault_watcher", default=None)


@contextmanager
def watched_by(sink: ProgressSink) -> Iterator[None]:
    """Tell ``sink`` the progress of every stage that runs inside, besides the artifact in Prefect."""
    token = _watcher.set(sink)
    try:
        yield
    finally:
        _watcher.reset(token)


def slug(name: str) -> str:
    """``name`` as Prefect's keys must be: lower-case ASCII words; a hash keeps names apart that lose letters by it."""
    words = "-".join(re.findall(r"[a-z0-9]+", name.lower()))
    if words == name:
        return words
    return f"{words[:40]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".lstrip("-")


def writer_limit(config: BackupConfig) -> str:
    """Name of the concurrency limit that stands for a configuration's repository."""
    return f"repository-{slug(f'{config.target_client_id}{config.target_path}')}"


def ensure_limit(name: str, *, slots: int = 1) -> None:
    """Make a global concurrency limit if there is none of this name; one that exists keeps its size."""
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            try:
                client.create_global_concurrency_limit(
                    GlobalConcurrencyLimitCreate(name=name, limit=slots, active=True)
                )
            except ObjectAlreadyExists:
                return  # another run was quicker


@contextmanager
def only_writer(config: BackupConfig) -> Iterator[None]:
    """Hold the one writing slot of a configuration's repository while inside.

    This orders runs that know of each other. The repository's own locks are what keeps it safe.
    """
    name = writer_limit(config)
    ensure_limit(name)
    with concurrency(
        name,
        occupy=1,
        strict=True,
        timeout_seconds=LONGEST_WAIT,
        lease_duration=LEASE,
        # The server may be away for longer than that. The work goes on then: others might begin, and find its locks.
        raise_on_lease_renewal_failure=False,
    ):
        yield


def subject_of(configuration: str | None, backup_ids: Sequence[str] = ()) -> str:
    """What a run is about, for people: a configuration, the backups named, or everything."""
    if configuration:
        return configuration
    named = [backup for backup in backup_ids if backup]
    if not named:
        return "all configurations"
    return named[0] if len(named) == 1 else f"{len(named)} backups"


def run_name(kind: str) -> Callable[[], str]:
    """A maker of run names such as ``incremental 重要文档 2026-11-23 02:00`` (local time of the schedule)."""

    def name() -> str:
        parameters = flow_run.get_parameters()
        subject = subject_of(
            parameters.get("configuration"), parameters.get("backup_ids") or [parameters.get("backup_id") or ""]
        )
        due: datetime = flow_run.get_scheduled_start_time()
        return f"{kind} {subject} {due.astimezone():%Y-%m-%d %H:%M}"

    return name
