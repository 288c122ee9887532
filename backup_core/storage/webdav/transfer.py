"""Bytes under way: bodies that can be sent again, and a watch for transfers that hardly move."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from backup_core.clock import Clock
from backup_core.errors import ConnectionLost

SLICE = 256 * 1024
"""Bytes handed to the socket at once. Larger ones gain nothing, because what a send leaves over is copied again."""


class SizedBody(Protocol):
    """A request body of a known size."""

    size: int
    """Bytes."""

    def __iter__(self) -> Iterator[bytes]: ...


class UploadBody:
    """Several buffers as one request body. May be iterated again for a retry, a redirect or a login."""

    def __init__(
        self,
        views: Sequence[memoryview],
        size: int,
        *,
        on_slice: Callable[[], Callable[[int], None]],
        slice_size: Callable[[], int] = lambda: SLICE,
    ) -> None:
        """``size``: bytes of all ``views``. ``on_slice`` is called at the start of every pass; what it returns is told
        the size of each slice before it is sent. ``slice_size`` says how many bytes the next one should have."""
        self._views = views
        self._slice_size = slice_size
        self._on_slice = on_slice
        self.size = size

    def __iter__(self) -> Iterator[bytes]:
        tell = self._on_slice()
        for view in self._views:
            start = 0
            while start < len(view):
                chunk = bytes(view[start : start + self._slice_size()])
                tell(len(chunk))
                yield chunk
                start += len(chunk)


class StallWatch:
    """Gives up a transfer that trickles: timeouts see only silence, and a byte a minute is none."""

    LEAST = 32 * 1024
    """Bytes that must move within ``window`` seconds."""

    def __init__(self, clock: Clock, *, window: float) -> None:
        self._clock = clock
        self._window = window
        self._since = clock.monotonic()
        self._moved = 0

    def moved(self, count: int) -> None:
        """Note ``count`` bytes; ``ConnectionLost`` when there were too few of late."""
        self._moved += count
        passed = self._clock.monotonic() - self._since
        if passed < self._window:
            return
        if self._moved < self.LEAST:
            raise ConnectionLost(f"only {self._moved} bytes moved in {passed:.0f} s: the connection has stalled")
        self._since += passed
        self._moved = 0
