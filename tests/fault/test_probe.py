"""Measuring servers: what they really do is found out, nothing is left behind, and later connections act on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from backup_core.config.models import ClientConfig
from backup_core.errors import AccessDenied, Cancelled, ConfigError, RateLimited, Unsupported
from backup_core.progress import CancelToken
from backup_core.services.application import Application, open_application
from backup_core.storage.options import BackendOptions
from backup_core.storage.probe_report import ProbeOptions, ProbeReport, Verdict
from backup_core.storage.webdav.backend import WebDAVBackend
from backup_core.testing.clocks import ManualClock
from backup_core.testing.nutstore import ORIGIN, Nutstore
from backup_core.testing.webdav_server import WebDAVServer

MIB = 1 << 20


@pytest.fixture
def server(clock: ManualClock) -> Nutstore:
    return Nutstore(clock, folders={("dav",), ("dav", "backups")})


def measure(
    server: Nutstore,
    clock: ManualClock,
    *,
    transport: httpx.BaseTransport | None = None,
    cancel: CancelToken | None = None,
    probe: ProbeOptions | None = None,
    say: Any = lambda _: None,
    url: str = f"{ORIGIN}/dav/backups/",
    **options: Any,
) -> ProbeReport:
    backend = WebDAVBackend(
        url,
        username=server.username,
        password=server.password,
        options=BackendOptions(**{"service_type": "nutstore", "parallel_requests": 2, **options}),
        clock=clock,
        cancel=cancel,
        transport=transport or httpx.MockTransport(server),
    )
    try:
        return backend.measure(probe or ProbeOptions(size=MIB, folder="davault-probe-1"), cancel=cancel, say=say)
    finally:
        backend.close()


def verdicts(report: ProbeReport) -> dict[str, Verdict]:
    return {m.check: m.verdict for m in report.measured}


def is_clean(server: Nutstore) -> bool:
    return not server.objects and server.folders == {("dav",), ("dav", "backups")}


def test_nutstore_is_measured_within_its_window(server: Nutstore, clock: ManualClock) -> None:
    report = measure(server, clock, probe=ProbeOptions(size=MIB, entries=800, folder="p"))
    assert report.page_size == 750
    assert report.conditional_put is False
    assert verdicts(report)["listing"] is Verdict.GOOD
    assert verdicts(report)["round-trip"] is Verdict.GOOD
    assert server.refused == 0
    assert report.requests == server.methods.total() + 2, "the two cut uploads never arrive at a server in memory"
    assert is_clean(server)


def test_a_listing_that_is_cut_in_silence_is_told(server: Nutstore, clock: ManualClock) -> None:
    def silent(request: httpx.Request) -> httpx.Response:
        response = server(request)
        response.headers.pop("link", None)
        return response

    server.window_requests = 100_000
    report = measure(
        server, clock, transport=httpx.MockTransport(silent), service_type="generic",
        probe=ProbeOptions(size=MIB, entries=760, folder="p"),
    )  # fmt: skip
    assert verdicts(report)["listing"] is Verdict.POOR
    assert report.page_size == 750


def test_the_largest_object_is_found_by_halving(server: Nutstore, clock: ManualClock) -> None:
    server.max_object_size = 3 * MIB
    report = measure(server, clock, probe=ProbeOptions(size=16 * MIB, folder="p"), max_object_size=1 << 40)
    assert report.max_object_size == 2 * MIB
    assert is_clean(server)


def test_a_server_that_ignores_ranges_is_told(server: Nutstore, clock: ManualClock) -> None:
    def whole(request: httpx.Request) -> httpx.Response:
        request.headers.pop("range", None)
        return server(request)

    report = measure(server, clock, transport=httpx.MockTransport(whole))
    assert verdicts(report)["ranges"] is Verdict.POOR


def test_the_clock_of_the_server_is_compared(server: Nutstore, clock: ManualClock) -> None:
    def late(request: httpx.Request) -> httpx.Response:
        response = server(request)
        response.headers["Date"] = "Mon, 23 Nov 2026 03:00:00 GMT"
        return response

    report = measure(server, clock, transport=httpx.MockTransport(late))
    assert report.clock_skew == pytest.approx(3600, abs=30)
    assert verdicts(report)["clock"] is Verdict.FAIR


def test_a_wrong_password_ends_it_at_once(server: Nutstore, clock: ManualClock) -> None:
    username, server.username = server.username, "somebody else"
    refusing = httpx.MockTransport(server)
    server_for_us = Nutstore(clock, username=username)
    with pytest.raises(AccessDenied):
        measure(server_for_us, clock, transport=refusing)
    assert server.methods.total() <= 3


def test_a_server_that_wants_no_more_requests_is_left_alone(server: Nutstore, clock: ManualClock) -> None:
    with pytest.raises(RateLimited):
        measure(server, clock, say=lambda what: server.use_up_window() if what == "measuring names" else None)
    assert server.refused < 10


def test_who_cancels_leaves_nothing_behind(server: Nutstore, clock: ManualClock) -> None:
    cancel = CancelToken()
    with pytest.raises(Cancelled):
        measure(server, clock, cancel=cancel, say=lambda what: cancel.cancel() if what == "measuring names" else None)
    assert is_clean(server)


def test_folders_that_were_missing_are_missing_again(server: Nutstore, clock: ManualClock) -> None:
    server.folders.remove(("dav", "backups"))
    measure(server, clock)
    assert is_clean(server), "but for the top folder, which Nutstore deletes for nobody"


def test_where_folders_cannot_be_deleted_an_empty_one_stays_and_is_used_again(
    server: Nutstore, clock: ManualClock
) -> None:
    for _ in range(2):
        report = measure(server, clock, url=f"{ORIGIN}/dav/")
        assert report.left_behind == "/dav/davault-probe-1"
        assert verdicts(report)["clean-up"] is Verdict.FAIR
        assert not server.objects and server.folders == {("dav",), ("dav", "backups"), ("dav", "davault-probe-1")}
    server.objects["dav", "davault-probe-1", "of somebody"] = b"else"
    with pytest.raises(Unsupported, match="not empty"):
        measure(server, clock, url=f"{ORIGIN}/dav/")
    assert server.objects == {("dav", "davault-probe-1", "of somebody"): b"else"}


@pytest.fixture
def wsgidav(tmp_path: Path):
    with WebDAVServer(tmp_path / "served") as server:
        yield server


@pytest.fixture
def app(tmp_path: Path, wsgidav: WebDAVServer):
    with open_application(tmp_path / "home") as opened:
        opened.add_client(
            ClientConfig(name="cloud", url=wsgidav.url + "backups/", username=wsgidav.username),
            password=wsgidav.password,
        )
        yield opened


def promised(app: Application) -> bool:
    with app._services.webdav.opened("cloud") as backend:
        return backend.promises.atomic_put


def test_a_real_server_that_keeps_cut_uploads(app: Application, wsgidav: WebDAVServer, tmp_path: Path) -> None:
    measured = app.measure_client("cloud", size="1M")
    findings = {check: verdict for check, verdict, _ in measured.findings}
    assert measured.numbers["atomic_put"] is False
    assert findings["atomic-put"] == "fair" and findings["round-trip"] == "good" and findings["ranges"] == "good"
    assert list((tmp_path / "served").iterdir()) == []
    assert not promised(app)
    last = app.accounts.last_probe(app.get_client("cloud"))
    assert last is not None and last.findings == measured.findings


def test_what_was_measured_counts_until_the_address_changes(app: Application) -> None:
    client = app.get_client("cloud")
    assert not promised(app), "nothing is known"
    app.accounts.remember_probe(client, {"score": 90, "atomic_put": True, "max_object_size": 5_000_000})
    assert promised(app)
    app.edit_client("cloud", {"atomic_put": False})
    assert not promised(app), "what a person says counts more"
    app.edit_client("cloud", {"url": client.url + "other/"}, reset=["atomic_put"])
    assert not promised(app)


def test_there_is_nothing_to_measure_of_a_directory(app: Application, tmp_path: Path) -> None:
    app.add_client(ClientConfig(name="disk", url=(tmp_path / "store").as_uri()))
    with pytest.raises(ConfigError, match="no WebDAV server"):
        app.measure_client("disk")
    with pytest.raises(ConfigError):
        app.measure_client("cloud", size="huge")


def test_a_report_without_findings_has_no_score() -> None:
    report = ProbeReport()
    assert report.score == 0
    report.add("clock", Verdict.UNKNOWN, "")
    report.add("ranges", Verdict.GOOD, "", weight=3)
    report.add("listing", Verdict.POOR, "")
    assert report.score == 75
