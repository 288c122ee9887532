"""Progress as an artifact in Prefect, sent by a thread of its own that can neither slow nor break the work."""

from __future__ import annotations

import contextvars
import logging
import threading
from types import TracebackType
from typing import Self
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from backup_core.cli.progress_view import describe
from backup_core.progress import Progress, ProgressSink

INTERVAL = 2.0
"""Seconds between two updates."""
LAST_WORD = 5.0
"""Seconds that the end of a stage waits for the last update to be sent."""

_logger = logging.getLogger(__name__)


class ProgressArtifact:
    """A progress sink and context manager. The newest state is sent every two seconds, older ones are skipped.

    When the server cannot be reached, updates are lost and the work goes on.
    """

    def __init__(self, title: str, *, also: ProgressSink | None = None) -> None:
        self._title = title
        self._also = also
        self._newest = Progress()
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=contextvars.copy_context().run, args=(self._send_all,), name="davault-progress", daemon=True
        )
        self._artifact: UUID | None = None
        self._sent: tuple[float, str] | None = None
        self._complained = False

    def __call__(self, progress: Progress) -> None:
        """Take a state; returns at once."""
        self._newest = progress
        if self._also is not None:
            self._also(progress)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(LAST_WORD)
        if error is None and not self._thread.is_alive():
            self._send(100.0, f"done - {self._title}")

    def _send_all(self) -> None:
        while not self._stop.wait(INTERVAL):
            state = self._newest
            value = percent(state)
            # The page of a run shows the first forty characters, and names the run above them.
            share = f"{value:.0f} %, " if value else ""
            self._send(value, f"{share}{describe(state) or 'starting'} - {self._title}")

    def _send(self, value: float, text: str) -> None:
        if self._sent == (value, text):
            return
        try:
            if self._artifact is None:
                made = create_progress_artifact(progress=value, description=text)
                # Its type allows for an awaitable too, but that is only given inside an event loop.
                self._artifact = made if isinstance(made, UUID) else None
            else:
                update_progress_artifact(self._artifact, progress=value, description=text)
            self._sent = (value, text)
        except Exception as error:
            if not self._complained:
                _logger.warning("progress cannot be shown in Prefect at the moment: %s", error)
                self._complained = True


def percent(state: Progress) -> float:
    """0 to 100 within the present phase: by bytes when their total is known, else by files, else 0."""
    if state.bytes_total:
        return min(100.0, round(100 * state.bytes_done / state.bytes_total, 1))
    if state.files_total:
        return min(100.0, round(100 * state.files_done / state.files_total, 1))
    return 0.0
