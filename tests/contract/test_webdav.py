"""The backend contract on WebDAV, over HTTP to a real server in this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backup_core.clock import SystemClock
from backup_core.storage.options import BackendOptions
from backup_core.storage.registry import open_backend
from backup_core.storage.webdav.backend import WebDAVBackend
from backup_core.testing.backend_contract import BackendContract
from backup_core.testing.webdav_server import WebDAVServer


@pytest.fixture
def webdav(dav: WebDAVServer) -> Iterator[WebDAVBackend]:
    """A backend in a folder that does not exist yet, below one that does not exist either."""
    backend = WebDAVBackend(
        f"{dav.url}backups/my%20laptop",
        username=dav.username,
        password=dav.password,
        options=BackendOptions(),
        clock=SystemClock(),
    )
    yield backend
    backend.close()


class TestWebDAVBackend(BackendContract):
    @pytest.fixture
    def backend(self, webdav: WebDAVBackend) -> WebDAVBackend:
        return webdav


class TestMemoryByAddress(BackendContract):
    @pytest.fixture
    def backend(self, request: pytest.FixtureRequest) -> object:
        return open_backend(f"memory://{request.node.name}")
