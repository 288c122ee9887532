"""Several users of one Nutstore account at once, and deletions that the provider only pretends to carry out."""

from __future__ import annotations

import logging
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from backup_core.catalogue import open_catalogue
from backup_core.clock import Clock, SystemClock
from backup_core.errors import Cancelled
from backup_core.progress import CancelToken
from backup_core.storage.account import AccountUse
from backup_core.storage.options import BackendOptions
from backup_core.storage.request_budget import urgently
from backup_core.storage.request_ledger import MemoryLedger, Priority, RequestLedger
from backup_core.storage.retry import OnWait, RetryPolicy, silently
from backup_core.storage.webdav.backend import WebDAVBackend
from backup_core.testing.clocks import ManualClock
from backup_core.testing.nutstore import ORIGIN, Nutstore

FOLDER = ("dav", "backups")


def open_on(
    server: Nutstore,
    clock: Clock,
    *,
    ledger: RequestLedger | None = None,
    priority: Priority = Priority.BACKUP,
    cancel: CancelToken | None = None,
    on_wait: OnWait = silently,
    transport: httpx.BaseTransport | None = None,
    **options: Any,
) -> WebDAVBackend:
    return WebDAVBackend(
        f"{ORIGIN}/dav/backups/",
        username=server.username,
        password=server.password,
        options=BackendOptions(service_type="nutstore", **options),
        clock=clock,
        cancel=cancel,
        on_wait=on_wait,
        account=AccountUse(ledger=ledger, priority=priority),
        transport=transport or httpx.MockTransport(server),
    )


@pytest.fixture
def server(clock: ManualClock) -> Nutstore:
    made = Nutstore(clock, deletes_without_effect=True, lies_while_blocked=0)
    made.folders |= {FOLDER, (*FOLDER, "index"), (*FOLDER, "data")}
    made.objects |= {(*FOLDER, part, f"{n:02}"): b"x" for part in ("index", "data") for n in range(60)}
    return made


def left_in(server: Nutstore, part: str) -> set[str]:
    return {path[-1] for path in server.objects if path[:-1] == (*FOLDER, part)}


# ---- deletions


def test_deleting_costs_no_more_requests_than_before(server: Nutstore, clock: ManualClock) -> None:
    with_proof = open_on(server, clock)
    for n in range(40):
        with_proof.delete(f"data/{n:02}")
    assert server.methods == {"DELETE": 40}
    with_proof.close()
    assert server.methods == {"DELETE": 40, "PROPFIND": 1}, "one request proves all of them"
    assert len(left_in(server, "data")) == 20


def test_a_pretended_deletion_is_noticed_and_done_again(server: Nutstore, clock: ManualClock) -> None:
    backend = open_on(server, clock)
    server.use_up_window()
    backend.delete("index/00")
    assert "00" in left_in(server, "index"), "the provider only said so"
    backend.list("data")
    assert server.refused >= 2
    backend.delete("index/01")
    assert not {"00", "01"} & left_in(server, "index")


def test_nothing_that_rests_on_a_deletion_is_deleted_before_it_is_certain(server: Nutstore, clock: ManualClock) -> None:
    network = httpx.MockTransport(server)
    backend = open_on(server, clock, transport=network)
    server.use_up_window()
    for n in range(5):
        backend.delete(f"index/{n:02}")
    gone: list[str] = []

    def watched(request: httpx.Request) -> httpx.Response:
        before = set(server.objects)
        response = server(request)
        gone.extend("/".join(path[2:]) for path in before - set(server.objects))
        return response

    network.handler = watched
    backend.delete("data/00")
    assert gone == [*(f"index/{n:02}" for n in range(5)), "data/00"]


def test_closing_makes_certain(server: Nutstore, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    backend = open_on(server, clock)
    server.use_up_window()
    backend.delete("data/07")
    with caplog.at_level(logging.WARNING):
        backend.close()
    assert "07" not in left_in(server, "data")
    assert any("data/07 had not been deleted" in r.getMessage() for r in caplog.records)


def test_who_cancels_is_told_and_not_kept_waiting(
    server: Nutstore, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    cancel = CancelToken()
    backend = open_on(server, clock, cancel=cancel, on_wait=lambda _: cancel.cancel())
    server.use_up_window()
    backend.delete("data/07")
    with pytest.raises(Cancelled):
        backend.list("index")
    before = server.methods.total()
    with pytest.raises(Cancelled):
        backend.delete("locks/mine")
    with caplog.at_level(logging.WARNING):
        backend.close()
    assert server.methods.total() == before, "nothing is looked into"
    assert any("/dav/backups/data/07" in r.getMessage() for r in caplog.records)


def test_a_lock_is_renewed_though_the_window_is_full(server: Nutstore, clock: ManualClock) -> None:
    said: list[str] = []
    backend = open_on(server, clock, on_wait=said.append, window_requests=100)
    for n in range(87):
        backend.stat(f"data/{n % 60:02}")
    assert not said
    with urgently():
        backend.put("locks/new", b"lock")
        backend.delete("locks/old")
    assert not any("request window" in text for text in said)
    assert server.refused == 0
    backend.stat("data/00")
    assert any("request window" in text for text in said)


# ---- several at once


def work(backend: WebDAVBackend, who: int, count: int) -> None:
    for n in range(count):
        if n % 3 == 0:
            backend.put(f"data/{who}{n:04}", b"pack")
        elif n % 3 == 1:
            backend.get(f"data/{who}{n - 1:04}")
        else:
            backend.list("index")
    backend.close()


@pytest.mark.parametrize("shared", ["memory", "catalogue"])
def test_three_users_at_once_are_never_refused(
    server: Nutstore, clock: ManualClock, tmp_path: Path, shared: str
) -> None:
    memory = MemoryLedger(clock)
    catalogues = [open_catalogue(tmp_path / "catalogue.db") for _ in range(3)]
    ledgers: list[RequestLedger] = [
        memory if shared == "memory" else c.accounts.ledger("account", shown="me", clock=clock) for c in catalogues
    ]
    priorities = (Priority.RESTORE, Priority.BACKUP, Priority.VALIDATION)
    begun = clock.monotonic()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(
            lambda who: work(open_on(server, clock, ledger=ledgers[who], priority=priorities[who]), who, 500), range(3)
        ))  # fmt: skip
    assert server.refused == 0
    assert server.methods.total() >= 1500, "more than two windows"
    assert clock.monotonic() - begun > 2 * 1800
    for catalogue in catalogues:
        catalogue.close()


def test_two_users_without_a_common_book_would_be_refused(server: Nutstore, clock: ManualClock) -> None:
    """What the book is for: the same work, each with a window of its own."""
    for who in range(2):
        work(open_on(server, clock), who, 400)
    assert server.refused > 0


class _Served(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    nutstore: Nutstore

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        request = httpx.Request(self.command, ORIGIN + self.path, headers=list(self.headers.items()), content=body)
        response = self.nutstore(request)
        content = response.read()
        self.send_response(response.status_code)
        for name, value in response.headers.items():
            if name.lower() not in ("content-length", "transfer-encoding"):
                self.send_header(name, value)
        if response.status_code != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_PROPFIND = do_MKCOL = do_DELETE = _answer

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _process(path: Path, url: str, who: int, password: str) -> None:
    from backup_core.types import Secret

    clock = SystemClock()
    catalogue = open_catalogue(path)
    backend = WebDAVBackend(
        url,
        username="me@example.com",
        password=Secret(password),
        options=BackendOptions(window_requests=30, window_seconds=2.0),
        clock=clock,
        account=AccountUse(ledger=catalogue.accounts.ledger("account", shown="me", clock=clock)),
    )
    work(backend, who, 30)
    catalogue.close()


def test_three_processes_are_never_refused(tmp_path: Path) -> None:
    """With real time and a real socket; however slow the machine, a request counts from before it begins."""
    nutstore = Nutstore(SystemClock(), window_requests=30, window_seconds=2.0)
    nutstore.folders |= {FOLDER, (*FOLDER, "index"), (*FOLDER, "data")}
    handler = type("Handler", (_Served,), {"nutstore": nutstore})
    path = tmp_path / "catalogue.db"
    open_catalogue(path).close()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{http.server_port}/dav/backups/"
        context = multiprocessing.get_context("spawn")
        processes = [
            context.Process(target=_process, args=(path, url, who, nutstore.password.reveal())) for who in range(3)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
            assert process.exitcode == 0
        http.shutdown()
    assert nutstore.refused == 0
    assert nutstore.methods.total() >= 90


def test_waiting_for_the_window_does_not_use_up_the_patience_for_failures(server: Nutstore, clock: ManualClock) -> None:
    failures = iter([500, 500])

    def failing(request: httpx.Request) -> httpx.Response:
        if server.methods.total() >= 87 and (status := next(failures, None)):
            return httpx.Response(status, stream=httpx.ByteStream(b""))
        return server(request)

    policy = RetryPolicy(deadline=20.0)
    backend = open_on(server, clock, window_requests=100, retry=policy, transport=httpx.MockTransport(failing))
    begun = clock.monotonic()
    for n in range(90):
        backend.stat(f"data/{n % 60:02}")
    assert clock.monotonic() - begun > 1500, "the window was waited for"
    assert next(failures, None) is None


def test_waiting_for_the_window_is_told_and_ends_at_once_when_cancelled(server: Nutstore, clock: ManualClock) -> None:
    cancel, said = CancelToken(), []

    def tell(text: str) -> None:
        said.append(text)
        if len(said) == 3:
            cancel.cancel()

    backend = open_on(server, clock, cancel=cancel, on_wait=tell, window_requests=50)
    with pytest.raises(Cancelled):
        for n in range(60):
            backend.stat(f"data/{n:02}")
    assert said[0] == "waiting 30 min for the request window"
    assert said[-1] == "", "and the sentence is taken away again"
    assert sum(clock.slept) < 200, "of half an hour"
    assert server.refused == 0
