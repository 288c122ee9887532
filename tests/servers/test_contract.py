"""The backend contract on WebDAV servers of other makers, each as its distribution ships it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backup_core.clock import SystemClock
from backup_core.storage.options import BackendOptions
from backup_core.storage.retry import RetryPolicy
from backup_core.storage.webdav.backend import WebDAVBackend
from backup_core.testing.backend_contract import BackendContract
from backup_core.testing.server_programs import PASSWORD, RECIPES, USER, Server, running
from backup_core.types import Secret

pytestmark = pytest.mark.server


@pytest.fixture(scope="module", params=sorted(RECIPES))
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(request.param) as started:
        yield started


def open_folder(server: Server, folder: str) -> WebDAVBackend:
    return WebDAVBackend(
        f"{server.url}{folder}",
        username=USER,
        password=Secret(PASSWORD),
        options=BackendOptions(retry=RetryPolicy(first_wait=0.1, deadline=5.0)),
        clock=SystemClock(),
    )


class TestServer(BackendContract):
    @pytest.fixture
    def backend(self, server: Server, request: pytest.FixtureRequest) -> Iterator[WebDAVBackend]:
        test = request.node.name.translate(str.maketrans("[]/ ", "____"))
        backend = open_folder(server, f"t/{abs(hash(test))}")
        yield backend
        backend.close()


def test_every_legal_name_of_the_users_folder_works(server: Server) -> None:
    folder = "100%25 %23 %3F ;+&= 备份 e\u0301"
    backend = open_folder(server, folder)
    backend.put("data/3f/abc", b"x" * 1000)
    backend.put("config", b"c")
    again = open_folder(server, folder)
    assert again.get("data/3f/abc", offset=1, length=2) == b"xx"
    assert [o.name for o in again.list("data/3f").objects] == ["data/3f/abc"]
    assert again.list("").proved_complete
    assert (server.served / "100% # ? ;+&= 备份 e\u0301" / "config").read_bytes() == b"c"
    for each in (backend, again):
        each.close()


def test_one_request_puts_an_object_once_its_folder_is_known(server: Server) -> None:
    backend = open_folder(server, f"count-{server.kind}")
    backend.put("data/00/first", b"1" * 300_000)
    before = backend.requests.by_method.copy()
    for number in range(5):
        backend.put(f"data/00/{number}", b"2" * 300_000)
    after = backend.requests.by_method
    assert after["PUT"] - before["PUT"] == 5
    assert sum(after.values()) - sum(before.values()) == 5
    backend.close()


def test_the_servers_own_log_shows_as_many_requests_as_were_counted(server: Server) -> None:
    if server.access_log is None:
        pytest.skip(f"{server.kind} writes no log of requests")
    backend = open_folder(server, f"log-{server.kind}")
    backend.put("keys/one", b"1")
    backend.put("data/00/first", b"1" * 300_000)
    backend.list("data")
    backend.list("index")
    backend.get("keys/one")
    backend.delete("keys/one")
    backend.close()
    for _ in range(100):  # the line may be written after the answer was sent
        lines = [line for line in server.access_log.read_text().splitlines() if f"/log-{server.kind}" in line]
        if len(lines) >= backend.requests.total:
            break
        SystemClock().sleep(0.05)
    assert len(lines) == backend.requests.total, lines
