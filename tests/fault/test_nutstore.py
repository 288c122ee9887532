"""The WebDAV backend on a double of Nutstore: pages, windows, quotas, and whole backups."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from backup_core.engine.archiver import BackupOptions, run_backup
from backup_core.engine.verify import validate
from backup_core.errors import AccessDenied, Cancelled, ConfigError, NotFound, ObjectTooLarge, QuotaExceeded
from backup_core.progress import CancelToken, ProgressTracker, no_progress
from backup_core.repository.options import RepositoryOptions
from backup_core.repository.repository import Repository
from backup_core.results import BackupSummary
from backup_core.storage.options import BackendOptions
from backup_core.storage.retry import OnWait, silently
from backup_core.storage.webdav.backend import WebDAVBackend
from backup_core.testing.backend_contract import BackendContract
from backup_core.testing.clocks import ManualClock
from backup_core.testing.nutstore import ORIGIN, PAID_WINDOW, Nutstore
from backup_core.testing.trees import make_tree
from backup_core.types import Secret

FOLDER = ("dav", "我的备份 100%", "repo")
URL = f"{ORIGIN}/dav/%E6%88%91%E7%9A%84%E5%A4%87%E4%BB%BD%20100%25/repo/"


def open_on(
    server: Nutstore,
    clock: ManualClock,
    on_wait: OnWait = silently,
    *,
    url: str = URL,
    cancel: CancelToken | None = None,
    **options: Any,
) -> WebDAVBackend:
    return WebDAVBackend(
        url,
        username=server.username,
        password=options.pop("password", server.password),
        options=BackendOptions(**{"service_type": "nutstore", **options}),
        clock=clock,
        cancel=cancel,
        on_wait=on_wait,
        transport=httpx.MockTransport(server),
    )


@pytest.fixture
def server(clock: ManualClock) -> Nutstore:
    return Nutstore(clock)


@pytest.fixture
def backend(server: Nutstore, clock: ManualClock) -> WebDAVBackend:
    return open_on(server, clock)


def fill(server: Nutstore, directory: str, count: int) -> set[str]:
    folder = (*FOLDER, directory)
    server.folders.update(folder[:length] for length in range(1, len(folder) + 1))
    server.objects.update({(*folder, f"{number:04}"): b"x" for number in range(count)})
    return {f"{directory}/{number:04}" for number in range(count)}


class TestContract(BackendContract):
    @pytest.fixture
    def backend(self, server: Nutstore, clock: ManualClock) -> WebDAVBackend:
        return open_on(server, clock)


class TestContractWithoutTheProfile(BackendContract):
    """Nobody has to know the name of the service to be safe there."""

    @pytest.fixture
    def backend(self, server: Nutstore, clock: ManualClock) -> WebDAVBackend:
        return open_on(server, clock, service_type="generic")


@pytest.mark.parametrize("count", [0, 1, 748, 751, 1500, 1501, 2000])
def test_listings_of_many_pages_are_complete_and_proved(backend, server, count: int) -> None:
    expected = fill(server, "index", count)
    listing = backend.list("index")
    assert {o.name for o in listing.objects} == expected
    assert (listing.exists, listing.proved_complete) == (True, True)
    assert server.methods["PROPFIND"] == max(1, -(-count // 750))


@pytest.mark.parametrize("count", [749, 750])
def test_a_page_that_is_full_to_the_last_place_is_doubted(backend, server, count: int) -> None:
    """Nobody knows whether the folder itself counts."""
    fill(server, "index", count)
    assert not backend.list("index").proved_complete


def test_a_run_beyond_the_window_waits_and_ends_right(backend, server, clock) -> None:
    server.window_requests = 50
    for number in range(120):
        backend.put(f"data/{number:04}", b"%d" % number)
    assert {path[-1]: content for path, content in server.objects.items()} == {
        f"{number:04}": b"%d" % number for number in range(120)
    }
    assert server.refused > 0
    assert server.refused < 40, "asking again counts as well"
    assert 2 * 25 * 60 <= sum(clock.slept) <= 2 * 40 * 60


def test_a_known_window_is_never_exceeded(server, clock) -> None:
    server.window_requests = 50
    told: list[str] = []
    backend = open_on(server, clock, told.append, window_requests=50)
    for number in range(200):
        backend.put(f"data/{number:04}", b"%d" % number)
    assert [o.size for o in backend.list("data").objects] == [1] * 10 + [2] * 90 + [3] * 100
    assert server.refused == 0
    assert sum(clock.slept) < 5 * 31 * 60, "each window is used up to its spare requests"
    assert {text for text in told if "30 min" in text} == {"waiting 30 min for the request window"}


@pytest.mark.parametrize("number", ["window_requests", "window_seconds", "page_size", "parallel_requests"])
def test_numbers_that_let_nothing_through_are_refused(server, clock, number: str) -> None:
    with pytest.raises(ConfigError, match=f"{number} must be more than 0, not 0"):
        open_on(server, clock, **{number: 0})


def test_a_known_window_holds_for_many_threads(server, clock) -> None:
    server.window_requests = 40
    # One thread may let half an hour pass here while the three others have a request on the way, which then arrives in
    # a window that it was not counted in. So many fewer are asked for; a real clock does not jump.
    backend = open_on(server, clock, window_requests=40 - 3, parallel_requests=4)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: backend.put(f"data/{number:04}", b"x"), range(100)))
    assert len(backend.list("data").objects) == 100
    assert server.refused == 0


def test_tidying_up_after_cancelling_does_not_wait_for_the_window(server, clock) -> None:
    server.window_requests = 100
    cancel = CancelToken()
    backend = open_on(server, clock, cancel=cancel, window_requests=100)
    backend.put("locks/own", b"x")
    while sum(server.methods.values()) < 97:
        backend.get("locks/own")
    cancel.cancel()
    slept = sum(clock.slept)
    backend.delete("locks/own")
    with pytest.raises(Cancelled):
        backend.get("locks/own")
    assert (*FOLDER, "locks", "own") not in server.objects
    assert sum(clock.slept) - slept < 1
    for _ in range(2):
        backend.delete("locks/own")
    with pytest.raises(Cancelled):
        backend.delete("locks/own")
    assert server.refused == 0


def test_a_false_404_after_a_refusal_is_not_believed(backend, server) -> None:
    backend.put("config", b"c")
    server.lies_while_blocked = 2  # 503, then 404, and so on
    server.use_up_window()
    assert backend.get("config") == b"c"
    assert server.lies > 0


def test_a_false_404_at_once_is_not_believed(backend, server) -> None:
    """Another device used up the window, and nothing has told us so."""
    backend.put("config", b"c")
    server.lies_while_blocked = 1
    server.use_up_window()
    assert backend.get("config") == b"c"
    server.use_up_window()
    assert backend.stat("config").size == 1
    server.use_up_window()
    listing = backend.list("")
    assert (listing.exists, listing.proved_complete) == (True, False), "a listing says so instead of waiting"


def test_what_is_really_missing_is_missing_in_the_end(backend, server) -> None:
    backend.put("config", b"c")
    server.use_up_window()
    with pytest.raises(NotFound):
        backend.get("keys/other")


def test_an_object_beyond_the_limit_is_not_even_sent(backend, server, clock) -> None:
    backend = open_on(server, clock, max_object_size=1000)
    with pytest.raises(ObjectTooLarge, match="smaller pack size"):
        backend.put("data/pack", bytes(1001))
    assert not server.methods
    assert open_on(server, clock).promises.max_object_size == 500_000_000


def test_a_limit_that_the_profile_does_not_know_is_told_with_advice(backend, server, clock) -> None:
    server.max_object_size = 1000
    with pytest.raises(ObjectTooLarge, match=r"413.*smaller pack size"):
        backend.put("data/pack", bytes(1001))
    assert server.methods["PUT"] == 1
    assert sum(clock.slept) < 5


def test_used_up_traffic_is_told_with_advice_and_not_tried_again(backend, server, clock) -> None:
    backend.put("data/pack", bytes(1000))
    server.upload_left = server.download_left = 999
    with pytest.raises(QuotaExceeded, match=r"TrafficRateExhausted.*next month or upgrade"):
        backend.put("data/more", bytes(1000))
    with pytest.raises(QuotaExceeded, match=r"TrafficRateExhausted.*next month or upgrade"):
        backend.get("data/pack")
    assert sum(clock.slept) < 5


def test_a_wrong_application_password_is_told_with_advice(server, clock) -> None:
    with pytest.raises(AccessDenied, match="application password"):
        open_on(server, clock, password=Secret("wrong")).list("")


def test_nothing_lies_directly_in_the_top_folder(server, clock) -> None:
    with pytest.raises(NotFound, match="choose another one"):
        open_on(server, clock, url=f"{ORIGIN}/dav/").put("config", b"c")


class TestTheDouble:
    """What the backend does not use is as reported, too."""

    @pytest.fixture
    def client(self, server: Nutstore) -> httpx.Client:
        login = (server.username, server.password.reveal())
        return httpx.Client(transport=httpx.MockTransport(server), auth=login, base_url=f"{ORIGIN}/dav/")

    def test_names_that_exist(self, client: httpx.Client) -> None:
        assert client.request("MKCOL", "a").status_code == 201
        assert client.request("MKCOL", "a/").status_code == 405
        assert client.put("a/one", content=b"1").status_code == 201
        assert client.put("a/one", content=b"2", headers={"If-None-Match": "*"}).status_code == 204
        assert client.get("a/one").content == b"2"
        assert client.put("a/one", content=b"3", headers={"If-Match": '"other"'}).status_code == 412
        client.put("a/two", content=b"2")
        headers = {"Destination": f"{ORIGIN}/dav/a/one", "Overwrite": "T"}
        answer = client.request("MOVE", "a/two", headers=headers)
        assert (answer.status_code, "DuplicateName" in answer.text) == (409, True)
        headers["Destination"] = f"{ORIGIN}/dav/a/three"
        assert client.request("MOVE", "a/two", headers=headers).status_code == 201
        assert client.get("a/three").content == b"2"

    def test_missing_parents(self, client: httpx.Client) -> None:
        for answer in (client.put("no/one", content=b"1"), client.request("MKCOL", "no/a"), client.get("no/one")):
            assert (answer.status_code, "AncestorsNotFound" in answer.text) == (409, True)
        assert client.get("one").status_code == 404

    def test_folders(self, client: httpx.Client) -> None:
        client.request("MKCOL", "a b")
        text = client.request("PROPFIND", "", headers={"Depth": "1"}).text
        assert "<d:href>/dav/a%20b</d:href><d:propstat><d:prop><d:getetag></d:getetag>" in text
        assert client.get("a%20b").status_code == 403
        assert client.request("PROPFIND", f"{ORIGIN}/dav//", headers={"Depth": "1"}).status_code == 404
        assert client.request("MKCOL", f"{ORIGIN}/dav/").status_code == 403

    def test_the_words_of_a_block(self, client: httpx.Client, server: Nutstore, clock: ManualClock) -> None:
        server.use_up_window()
        answer = client.put("a", content=b"")
        assert answer.status_code == 503
        assert "<s:exception>BlockedTemporarily</s:exception>" in answer.text
        assert "retry-after" not in answer.headers
        clock.advance(1800)
        assert client.put("a", content=b"").status_code == 404

    def test_the_address_of_the_next_page_is_encoded_twice(self, client: httpx.Client, server: Nutstore) -> None:
        fill(server, "index", 751)
        answer = client.request("PROPFIND", f"{URL}index/", headers={"Depth": "1"})
        assert "/dav/%25E6%2588%2591" in answer.headers["link"]
        assert answer.text.count("<d:response>") == 751


class Bench:
    """Backups of one directory into one account, by one process that knows the account's window or does not."""

    def __init__(self, server: Nutstore, clock: ManualClock, cache: Path) -> None:
        self.backend = open_on(server, clock)
        self.clock = clock
        self.options = RepositoryOptions(cache_directory=cache, pack_size=100_000, hostname="host", username="user")
        self.number = 0

    def repository(self, *, create: bool = False) -> Repository:
        act = Repository.create if create else Repository.open
        return act(self.backend, Secret("pw"), clock=self.clock, random_bytes=random.randbytes, options=self.options)

    def back_up(self, repository: Repository, source: Path) -> BackupSummary:
        self.number += 1
        options = BackupOptions(
            sources=(str(source),),
            kind="incremental",
            hostname="host",
            username="user",
            tags=("config:test",),
            backup_id=f"test_{self.number}",
            start_method="thread",
            workers=2,
        )
        progress = ProgressTracker(no_progress, clock=self.clock)
        return run_backup(repository, options, clock=self.clock, progress=progress, cancel=CancelToken())

    def is_valid(self, repository: Repository) -> bool:
        found = validate(
            repository,
            repository.snapshots(),
            depth="data",
            clock=self.clock,
            progress=ProgressTracker(no_progress, clock=self.clock),
            cancel=CancelToken(),
        )
        return bool(found) and all(summary.is_valid for summary in found.values())


@pytest.fixture
def bench(server: Nutstore, clock: ManualClock, tmp_path: Path) -> Bench:
    return Bench(server, clock, tmp_path / "cache")


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("window", [60, PAID_WINDOW])
def test_a_backup_ends_and_validates(
    bench: Bench, server: Nutstore, clock: ManualClock, tmp_path: Path, window: int, known: bool
) -> None:
    server.window_requests = window
    bench.backend = open_on(server, clock, window_requests=window) if known else bench.backend
    source = make_tree(tmp_path / "source", files=120)
    first = bench.back_up(bench.repository(create=True), source)
    assert first.outcome == "completed"
    (source / "new.txt").write_bytes(random.randbytes(50_000))
    second = bench.back_up(bench.repository(), source)
    assert (second.outcome, second.files_new) == ("completed", 1)
    assert bench.is_valid(bench.repository())
    assert (server.refused > 0) == (window == 60 and not known)
