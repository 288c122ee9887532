"""The traffic of a month: counted for all who use an account, told before a run, refused when nothing is left."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backup_core.catalogue.catalogue import Catalogue
from backup_core.config.clients import ClientConfig
from backup_core.config.models import BackupConfig
from backup_core.errors import BackupExecutionError, ConfigError, QuotaExceeded
from backup_core.services.accounts.accounts import Accounts
from backup_core.services.accounts.identity import account_of
from backup_core.services.accounts.traffic import TrafficMeter, month_of, next_month
from backup_core.services.application import Application, open_application
from backup_core.storage.request_ledger import Priority
from backup_core.testing.clocks import ManualClock
from backup_core.testing.webdav_server import WebDAVServer

MIB = 1 << 20


def client(**changes: object) -> ClientConfig:
    return ClientConfig(**{"name": "cloud", "url": "https://dav.example.org/dav/", "username": "me", **changes})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({}, {"name": "second", "url": "https://DAV.example.org./other/"}, True),
        ({}, {"url": "davs://dav.example.org:443/dav/", "username": "ME "}, True),
        ({}, {"username": "you"}, False),
        ({}, {"url": "https://dav.example.org:8443/dav/"}, False),
        ({"username": "", "token": "env:A"}, {"username": "", "token": "env:B"}, False),
    ],
)
def test_which_clients_share_an_account(one: dict[str, object], other: dict[str, object], same: bool) -> None:
    first, second = account_of(client(**one)), account_of(client(**other))
    assert first is not None and second is not None
    assert (first.key == second.key) is same


@pytest.mark.parametrize("url", ["file:///srv/backups", "memory://x"])
def test_what_has_no_account(url: str) -> None:
    assert account_of(client(url=url, username="")) is None


def test_months_are_those_of_utc() -> None:
    late = datetime.fromisoformat("2026-12-31T23:30:00-05:00")
    assert month_of(late) == "2027-01"
    assert next_month(late) == datetime(2027, 2, 1, tzinfo=UTC)
    assert next_month(datetime(2026, 12, 1, tzinfo=UTC)) == datetime(2027, 1, 1, tzinfo=UTC)


def test_the_meter_writes_seldom_and_loses_nothing(catalogue: Catalogue, clock: ManualClock) -> None:
    meter = TrafficMeter(catalogue.accounts, "key", clock)
    for _ in range(40):
        meter(MIB, 0)
    (row,) = catalogue.accounts.traffic("key")
    assert row.bytes_up == 32 * MIB, "so much may be missing when a process is killed"
    meter(0, 5)
    meter.flush()
    meter.flush()
    (row,) = catalogue.accounts.traffic("key")
    assert (row.bytes_up, row.bytes_down) == (40 * MIB, 5)


def test_what_is_left_shrinks_and_begins_anew(catalogue: Catalogue, clock: ManualClock) -> None:
    accounts = Accounts(clock, tables=catalogue.accounts)
    nutstore = client(service_type="nutstore")
    with accounts.use_of(nutstore, priority=Priority.BACKUP) as use:
        assert use.on_bytes is not None
        use.on_bytes(300_000_000, 7)
    again = client(name="second", service_type="nutstore", monthly_upload="2G")
    assert accounts.traffic_left(nutstore).up == 700_000_000
    assert accounts.traffic_left(again).up == (2 << 30) - 300_000_000, "the same account, with a cap of its own"
    assert accounts.forecast(nutstore, requests=1, bytes_up=700_000_001).exceeds_traffic
    assert not accounts.forecast(nutstore, requests=1, bytes_up=700_000_000).exceeds_traffic
    clock.advance(10 * 24 * 3600)
    assert accounts.traffic_left(nutstore).up == 1_000_000_000
    assert accounts.traffic_left(client(service_type="nutstore-paid")).up is None


def test_a_limit_of_the_process_overrules_the_client(clock: ManualClock) -> None:
    accounts = Accounts(clock)
    limited = client(upload_limit="1M")
    with (
        accounts.use_of(limited, priority=Priority.BACKUP) as one,
        accounts.use_of(limited, priority=Priority.BACKUP) as other,
    ):
        assert one.throttles.up is not None and one.throttles.up is other.throttles.up, "they share it"
        assert one.throttles.down is None
    accounts.limit_bandwidth(upload="unlimited", download="2M")
    with accounts.use_of(limited, priority=Priority.BACKUP) as use:
        assert use.throttles.up is None and use.throttles.down is not None
    with pytest.raises(ConfigError, match="no limit of bandwidth"):
        accounts.limit_bandwidth(upload="fast")


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Application]:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(bytes(range(256)) * 4096)
    with WebDAVServer(tmp_path / "served") as server, open_application(tmp_path / "home") as opened:
        caps = {"monthly_upload": 400_000, "monthly_download": 1}
        opened.add_client(
            ClientConfig(name="cloud", url=server.url, username=server.username, **caps), password=server.password
        )
        opened.add_config(
            BackupConfig(
                name="docs", source_paths=[str(source)], target_client_id="cloud", target_path="/b", compression=False,
                encrypt=False,
            )
        )  # fmt: skip
        yield opened


def test_runs_are_counted_warned_of_and_refused(app: Application, tmp_path: Path) -> None:
    app.backup("docs")
    state = app.accounts.state(app.get_client("cloud"))
    assert state.bytes_up > MIB and state.left.up is not None and state.left.up < 0

    with pytest.raises(BackupExecutionError, match="has used up its upload traffic") as caught:
        app.backup("docs")
    assert isinstance(caught.value.__cause__, QuotaExceeded)
    app.edit_client("cloud", {"monthly_upload": "1G"})
    app.backup("docs")

    preview = app.plan_restore("docs", target=tmp_path / "out")
    assert any("0 MB left of this month's traffic" in note for note in preview.notes)
    restored = app.restore("docs", target=tmp_path / "out")
    assert restored.files_restored == 1, "the files come back all the same"
    assert any(problem.kind == "account-limits" for problem in restored.problems)
    assert app.accounts.state(app.get_client("cloud")).bytes_down > MIB


def test_each_kind_of_work_has_its_priority(app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app.edit_client("cloud", {}, reset=["monthly_upload", "monthly_download"])
    seen: list[Priority] = []
    plain = Accounts.use_of

    def noted(self: Accounts, client: ClientConfig, *, priority: Priority):
        seen.append(priority)
        return plain(self, client, priority=priority)

    monkeypatch.setattr(Accounts, "use_of", noted)
    for work, priority in (
        (lambda: app.backup("docs"), Priority.BACKUP),
        (lambda: app.validate(config_name="docs"), Priority.VALIDATION),
        (lambda: app.restore("docs", target=tmp_path / "out"), Priority.RESTORE),
        (lambda: app.prune("docs"), Priority.PRUNE),
    ):
        seen.clear()
        work()
        assert priority in seen
