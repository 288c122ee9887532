"""A WebDAV backend on a scripted server, with a clock that stands still."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from backup_core.progress import CancelToken
from backup_core.storage.options import BackendOptions
from backup_core.storage.webdav.backend import WebDAVBackend
from backup_core.testing.clocks import ManualClock
from backup_core.testing.fake_webdav import BASE, HOST, FakeDav
from backup_core.types import Secret


class Bench:
    """The server, a backend on it, its clock, and what it said while waiting."""

    def __init__(self, clock: ManualClock) -> None:
        self.server = FakeDav()
        self.clock = clock
        self.cancel = CancelToken()
        self.said: list[str] = []
        self.backend = self.open()

    def open(self, url: str = f"https://{HOST}{BASE}", **options: Any) -> WebDAVBackend:
        """Another backend on the same server."""
        self.backend = WebDAVBackend(
            url,
            username="me",
            password=Secret("secret"),
            options=BackendOptions(**options),
            clock=self.clock,
            cancel=self.cancel,
            on_wait=self.said.append,
            transport=httpx.MockTransport(self.server),
        )
        return self.backend

    @property
    def slept(self) -> float:
        """Seconds waited so far."""
        return sum(self.clock.slept)


@pytest.fixture
def bench(clock: ManualClock) -> Bench:
    return Bench(clock)
