"""Whole backups on servers that misbehave: each ends well or in one clear error, and the repository is sound."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from backup_core.engine.archiver import BackupOptions, run_backup
from backup_core.engine.verify import validate
from backup_core.errors import BackupError, LockHeld, NotFound
from backup_core.progress import CancelToken, ProgressTracker, no_progress
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.repository import Repository
from backup_core.results import BackupSummary, CheckSummary
from backup_core.storage.options import BackendOptions
from backup_core.storage.webdav.backend import WebDAVBackend
from backup_core.testing.clocks import ManualClock
from backup_core.testing.fake_webdav import BASE, HOST, FakeDav
from backup_core.testing.trees import make_tree
from backup_core.types import Secret

PACKS = "/dav/backups/data/"


class Machine:
    """One machine with a cache of its own that backs up into the server's repository."""

    def __init__(self, server: FakeDav, clock: ManualClock, place: Path, source: Path) -> None:
        self.clock = clock
        self.source = source
        self.place = place
        self.backend = WebDAVBackend(
            f"https://{HOST}{BASE}",
            username="me",
            password=Secret("secret"),
            options=BackendOptions(),
            clock=clock,
            transport=httpx.MockTransport(server),
        )
        self.runs = 0

    def repository(self, *, create: bool = False) -> Repository:
        act = Repository.create if create else Repository.open
        options = RepositoryOptions(
            cache_directory=self.place / "cache", pack_size=100_000, hostname=self.place.name, username="user"
        )
        return act(self.backend, Secret("pw"), clock=self.clock, random_bytes=random.randbytes, options=options)

    def back_up(self) -> BackupSummary:
        self.runs += 1
        options = BackupOptions(
            sources=(str(self.source),), kind="incremental", hostname=self.place.name, username="user",
            backup_id=f"{self.place.name}_{self.runs}", start_method="thread", workers=2,
        )  # fmt: skip
        progress = ProgressTracker(no_progress, clock=self.clock)
        with self.repository() as repository:
            return run_backup(repository, options, clock=self.clock, progress=progress, cancel=CancelToken())

    def validated(self) -> list[CheckSummary]:
        with self.repository() as repository:
            progress = ProgressTracker(no_progress, clock=self.clock)
            found = validate(
                repository, repository.snapshots(), depth="data", clock=self.clock, progress=progress,
                cancel=CancelToken(),
            )  # fmt: skip
        return list(found.values())


@pytest.fixture
def server() -> FakeDav:
    return FakeDav()


@pytest.fixture
def machine(server: FakeDav, clock: ManualClock, tmp_path: Path) -> Machine:
    (tmp_path / "one").mkdir()
    made = Machine(server, clock, tmp_path / "one", make_tree(tmp_path / "source", files=60))
    made.repository(create=True).close()
    return made


def is_sound(machine: Machine, backups: int) -> bool:
    found = machine.validated()
    return len(found) == backups and all(summary.is_valid for summary in found)


def packs(server: FakeDav) -> list[str]:
    return [path for path in server.objects if path.startswith(PACKS)]


def test_a_server_that_is_restarted_in_the_middle(machine: Machine, server: FakeDav, clock: ManualClock) -> None:
    """Refused connections for a minute, then a gateway that does not find its server yet (502, 504)."""
    back_at: list[float] = []
    gateway = iter([502, 504, 502])

    def restart(request: httpx.Request) -> httpx.Response | None:
        if request.method == "PUT" and len(packs(server)) == 3 and not back_at:
            back_at.append(clock.monotonic() + 60)
        if back_at and clock.monotonic() < back_at[0]:
            raise httpx.ConnectError("Connection refused")
        if back_at and (status := next(gateway, None)):
            return httpx.Response(status)
        return None

    server.behave(restart)
    assert machine.back_up().outcome == "completed"
    assert back_at and sum(clock.slept) >= 60
    assert is_sound(machine, 1)


@pytest.mark.parametrize("seconds", [6, 60, 290])
def test_a_slow_yes_is_waited_for(machine: Machine, server: FakeDav, clock: ManualClock, seconds: float) -> None:
    """The server hashes, or copies to other machines, before it answers; and a client with less patience would fail."""

    def slowly(request: httpx.Request) -> httpx.Response | None:
        if request.method != "PUT" or PACKS not in request.url.path:
            return None
        answer = server.answer(request)
        if seconds > request.extensions["timeout"]["read"]:
            raise httpx.ReadTimeout("timed out")
        clock.advance(seconds)
        return answer

    server.behave(slowly)
    assert machine.back_up().outcome == "completed"
    sent = [line for line in server.log if line.startswith("PUT data/")]
    assert len(sent) == len(set(sent)) == len(packs(server))
    assert is_sound(machine, 1)


def test_a_yes_that_comes_too_late_is_found_out_by_the_size(machine: Machine, server: FakeDav) -> None:
    def too_slowly(request: httpx.Request) -> httpx.Response | None:
        if request.method == "PUT" and PACKS in request.url.path:
            server.answer(request)
            raise httpx.ReadTimeout("timed out")
        return None

    server.behave(too_slowly)
    assert machine.back_up().outcome == "completed"
    sent = [line for line in server.log if line.startswith("PUT data/")]
    assert len(sent) == len(set(sent)), "nothing is sent twice"
    assert is_sound(machine, 1)


def test_objects_stored_empty_with_a_yes_end_the_run(machine: Machine, server: FakeDav) -> None:
    """PHP behind some gateways stores nothing of a body, and says 201."""
    broken = [True]

    def emptily(request: httpx.Request) -> httpx.Response | None:
        if broken[0] and request.method == "PUT" and PACKS in request.url.path:
            server.objects[request.url.path] = b""
            return httpx.Response(201)
        return None

    server.behave(emptily)
    with pytest.raises(BackupError, match="not there as sent"):
        machine.back_up()
    assert not [path for path in server.objects if path.startswith("/dav/backups/snapshots/")]
    broken[0] = False
    assert machine.back_up().outcome == "completed"
    assert is_sound(machine, 1)


def test_a_flipped_bit_is_found_by_reading(machine: Machine, server: FakeDav) -> None:
    machine.back_up()
    victim = max(packs(server), key=lambda path: len(server.objects[path]))
    content = bytearray(server.objects[victim])
    content[len(content) // 3] ^= 0x10
    server.objects[victim] = bytes(content)
    (summary,) = machine.validated()
    assert not summary.is_valid
    assert victim.rpartition("/")[2] in {problem.object_id for problem in summary.problems}


def test_a_listing_that_lags_behind_ends_in_success_or_a_clear_error(
    machine: Machine, server: FakeDav, clock: ManualClock
) -> None:
    """What was stored in the last half minute is not listed yet. Nothing is lost by that, whichever way it ends."""
    stored_at: dict[str, float] = {}
    plain: Callable[[str], list[str]] = server.entries
    lagging = [True]

    def entries(folder: str) -> list[str]:
        fresh = {path for path, moment in stored_at.items() if clock.monotonic() - moment < 30}
        hidden = {path: server.objects.pop(path) for path in fresh if path in server.objects}
        try:
            return plain(folder)
        finally:
            server.objects.update(hidden)

    def note(request: httpx.Request) -> httpx.Response | None:
        if lagging[0] and request.method == "PUT":
            stored_at[request.url.path] = clock.monotonic()
        return None

    server.behave(note)
    server.entries = entries  # type: ignore[method-assign]
    try:
        machine.back_up()
    except BackupError as error:
        assert "not there" in str(error) or "lock" in str(error), error
    lagging[0] = False
    clock.advance(3600)
    machine.back_up()
    assert all(summary.is_valid for summary in machine.validated())


def test_what_is_deleted_and_still_listed_is_gone(machine: Machine, server: FakeDav) -> None:
    machine.backend.put("data/00/gone", b"x")
    listed = server.entries("/dav/backups/data/00/")
    server.entries = lambda folder: listed  # type: ignore[method-assign]
    machine.backend.delete("data/00/gone")
    with pytest.raises(NotFound):
        machine.backend.get("data/00/gone")
    machine.backend.delete("data/00/gone")


def test_what_others_leave_lying_about_disturbs_nobody(machine: Machine, server: FakeDav) -> None:
    for name in (
        "data/00/upload.ocTransferId1234.part",
        "snapshots/.tmp",
        "index/~partial",
        "locks/.lock",
        "Thumbs.db",
    ):
        folder, _, _ = f"/dav/backups/{name}".rpartition("/")
        server.folders.add(folder + "/")
        server.objects[f"/dav/backups/{name}"] = b"half"
    machine.back_up()
    assert is_sound(machine, 1)


def test_only_plain_requests_are_sent(machine: Machine, server: FakeDav) -> None:
    """Nothing that servers understand differently: no MOVE, no conditions, no chunks, no unlimited depth."""
    machine.back_up()
    assert is_sound(machine, 1)
    for request in server.requests:
        assert request.method in {"PUT", "GET", "PROPFIND", "MKCOL", "DELETE"}
        assert not {"if-match", "if-none-match", "overwrite", "destination", "transfer-encoding"} & set(request.headers)
        if request.method == "PROPFIND":
            assert request.headers["depth"] in {"0", "1"}
            assert request.headers["content-type"].startswith("application/xml")
        if request.method in {"PUT", "MKCOL"}:
            assert request.headers["content-length"].isdigit()
        assert request.headers["accept-encoding"] == "identity"


def test_two_machines_at_once(machine: Machine, server: FakeDav, clock: ManualClock, tmp_path: Path) -> None:
    """They store the same content, in part under the same names, and read what the other is writing."""
    (tmp_path / "two").mkdir()
    second = Machine(server, clock, tmp_path / "two", machine.source)
    with ThreadPoolExecutor(2) as pool:
        for summary in pool.map(lambda each: each.back_up(), (machine, second)):
            assert summary.outcome == "completed"
    assert is_sound(machine, 2)


def test_the_same_object_from_two_sides_at_once(machine: Machine, server: FakeDav, clock: ManualClock) -> None:
    second = Machine(server, clock, machine.place, machine.source)
    content = random.randbytes(300_000)
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(lambda n: (machine, second)[n % 2].backend.put("data/aa/same", content), range(8)):
            pass
    assert server.objects["/dav/backups/data/aa/same"] == content


def test_whoever_wants_the_repository_alone_does_not_get_it_during_a_backup(machine: Machine, server: FakeDav) -> None:
    met: list[str] = []

    def look(request: httpx.Request) -> httpx.Response | None:
        if request.method == "PUT" and PACKS in request.url.path and not met:
            met.append("")
            with machine.repository() as other, pytest.raises(LockHeld) as held, other.lock(exclusive=True):
                pass
            met[0] = str(held.value)
        return None

    server.behave(look)
    machine.back_up()
    assert "one" in met[0]
    assert is_sound(machine, 1)
