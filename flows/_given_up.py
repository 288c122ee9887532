"""Noticing that the server has given up a run which is still at work.

Usually it is the worker that stops a cancelled run. When the worker has died, its runs go on without it and nobody
stops them: the server calls them cancelled or crashed while they still write. So every run looks for itself.
"""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Self
from uuid import UUID

from prefect import get_client, get_run_logger
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run

from backup_core.progress import CancelToken

INTERVAL = 10.0
"""Seconds between two looks."""
_WANTED = frozenset({StateType.RUNNING, StateType.PAUSED})
_CANCELLED = frozenset({StateType.CANCELLING, StateType.CANCELLED})

_logger = logging.getLogger(__name__)


class GivenUp(BaseException):
    """The server does not want this run to go on. Not an ``Exception``: nothing is to be tried again or done instead,
    and a run that goes through many configurations must not begin with the next one."""

    def __init__(self, reason: str, *, cancelled: bool) -> None:
        super().__init__(reason)
        self.cancelled = cancelled
        """By a person, and not because the server believes that it has died."""


class GivenUpWatch:
    """Sets a token when the server does not want the present run, or the one that started it, to go on.

    A context manager. A server that does not answer has not given up anything.
    """

    def __init__(self, cancel: CancelToken) -> None:
        self._cancel = cancel
        self.found: GivenUp | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=contextvars.copy_context().run, args=(self._look_all,), name="davault-given-up", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        # Not waited for: it may be asking a server that does not answer.
        self._stop.set()

    def _look_all(self) -> None:
        while not self._stop.wait(INTERVAL):
            try:
                with get_client(sync_client=True) as client:
                    found = given_up(client, _runs())
            except Exception as error:  # the client also lets through whatever its HTTP library raises
                _logger.debug("the server cannot be asked about this run: %s", error)
                continue
            if found is not None and not self._stop.is_set():
                get_run_logger().warning("%s: stopping at the next safe point", found)
                self.found = found
                self._cancel.cancel(str(found))
                return


def given_up(client: SyncPrefectClient, runs: Iterable[UUID]) -> GivenUp | None:
    """Why the first of ``runs`` that the server does not want to go on should stop; None when it wants all of them."""
    for run in runs:
        try:
            state = client.read_flow_run(run).state
        except ObjectNotFound:
            return GivenUp("the run was deleted from the Prefect server", cancelled=True)
        if state is not None and state.type not in _WANTED:
            name = (state.name or state.type.value).lower()
            return GivenUp(f"the Prefect server says that the run is {name}", cancelled=state.type in _CANCELLED)
    return None


def _runs() -> list[UUID]:
    names = (flow_run.get_id(), flow_run.get_root_flow_run_id())
    return [UUID(name) for name in dict.fromkeys(names) if name]
