"""The progress of several steps as one."""

from __future__ import annotations

import threading
from collections.abc import Callable

from backup_core.progress import Progress, ProgressSink


class CombinedProgress:
    """Adds up what the steps of a run tell; totals are those of the steps that have begun."""

    def __init__(self, sink: ProgressSink, *, phase: str = "recover", counted: str = "restore") -> None:
        """``phase`` is that of the whole; of the steps, the phase ``counted`` is added up."""
        self._sink = sink
        self._phase = phase
        self._phase_counted = counted
        self._lock = threading.Lock()
        self._newest: dict[str, Progress] = {}
        self._counted: dict[str, Progress] = {}
        self._done: set[str] = set()

    def of(self, step: str) -> ProgressSink:
        """Where one step tells its progress."""

        def tell(progress: Progress) -> None:
            with self._lock:
                self._newest[step] = progress
                if progress.phase == self._phase_counted:
                    self._counted[step] = progress
                combined = self._combined()
            self._sink(combined)

        return tell

    def ended(self, step: str) -> None:
        """A step has ended, in whatever way."""
        with self._lock:
            self._done.add(step)

    def _combined(self) -> Progress:
        busy = {name: p for name, p in self._newest.items() if name not in self._done}
        rate = sum(p.rate for p in busy.values())
        done, total = self._sum(lambda p: p.bytes_done), self._sum(lambda p: p.bytes_total)
        newest = next(reversed(busy.values()), Progress())
        return Progress(
            phase=self._phase,
            files_done=self._sum(lambda p: p.files_done),
            files_total=self._sum(lambda p: p.files_total),
            bytes_done=done,
            bytes_total=total,
            bytes_stored=sum(p.bytes_stored for p in self._newest.values()),
            requests=sum(p.requests for p in self._newest.values()),
            rate=rate,
            eta=(total - done) / rate if rate > 0 and total >= done else None,
            current_path=newest.current_path,
            message=", ".join(f"{name}: {p.message or p.phase}" for name, p in busy.items()),
        )

    def _sum(self, count: Callable[[Progress], int]) -> int:
        return sum(count(p) for p in self._counted.values())
