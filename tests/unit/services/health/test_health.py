"""What a look at the health of backups finds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backup_core.clock import SystemClock
from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.config.recovery_plans import RecoveryPlan
from backup_core.errors import ConfigError
from backup_core.services.application import Application
from backup_core.services.findings import FindingLevel
from backup_core.services.health.checks import check_age, check_space
from backup_core.services.health.objectives import DEFAULT_RPO, longest_age
from backup_core.services.health.records import HealthReport
from backup_core.storage.backend import Space

OK, WARNING, ERROR = FindingLevel.OK, FindingLevel.WARNING, FindingLevel.ERROR
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
GIB = 1024**3


@pytest.fixture
def backed_up(app: Application, configured: Callable[..., BackupConfig]) -> BackupConfig:
    made = configured()
    app.backup(made.name)
    return made


def levels(report: HealthReport) -> dict[tuple[str, str], FindingLevel]:
    return {(check.subject, check.check): check.level for check in report.checks}


def test_all_is_well_after_a_backup_and_a_mirror(app: Application, backed_up: BackupConfig, tmp_path: Path) -> None:
    app.add_client(ClientConfig(name="盘", url=str(tmp_path / "盘")))
    app.mirroring.run(backed_up.name, to="盘")
    report = app.health.check()
    assert report.healthy
    found = levels(report)
    for subject in (backed_up.name, f"{backed_up.name} → 盘:/备份"):
        for check in ("reachable", "key", "index", "locks", "age"):
            assert found[subject, check] is OK, check
    assert not list((tmp_path / "store").rglob("locks/*"))


def test_a_configuration_that_was_never_backed_up_is_not_well(
    app: Application, configured: Callable[..., BackupConfig]
) -> None:
    name = configured().name
    found = levels(app.health.check([name]))
    assert found[name, "reachable"] is ERROR
    assert found[name, "age"] is ERROR


def test_an_old_backup_is_an_error_and_what_is_known_counts_when_the_server_is_gone(
    app: Application, backed_up: BackupConfig, tmp_path: Path
) -> None:
    assert levels(app.health.check(rpo=1e-9))[backed_up.name, "age"] is ERROR
    shutil.rmtree(tmp_path / "store")
    found = levels(app.health.check())
    assert found[backed_up.name, "reachable"] is ERROR
    assert found[backed_up.name, "age"] is OK


def test_a_lost_or_wrong_key_is_told(
    app: Application, backed_up: BackupConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", "another")
    report = app.health.check()
    (error,) = [check for check in report.errors if check.check == "key"]
    assert "bring the key back" in error.advice
    monkeypatch.delenv("TEST_KEY")
    assert levels(app.health.check())[backed_up.name, "key"] is ERROR


def test_an_index_that_cannot_be_read_is_told(app: Application, backed_up: BackupConfig, tmp_path: Path) -> None:
    shutil.rmtree(app.home.cache)
    for path in (tmp_path / "store" / "备份" / "index").iterdir():
        path.chmod(0o600)
        path.write_bytes(b"\0" * 500)
    assert levels(app.health.check())[backed_up.name, "index"] is ERROR


def test_a_lock_that_was_left_behind_is_a_warning(app: Application, backed_up: BackupConfig) -> None:
    from backup_core.format.layout import FileKind
    from backup_core.format.lock_file import LockFile

    with app._services.backup.opened(backed_up.name) as opened:
        long_ago = SystemClock().now() - timedelta(hours=3)
        left = LockFile(time=long_ago, exclusive=False, hostname="elsewhere", username="me", pid=1, uid=0, gid=0)
        opened.repository.files.write(FileKind.LOCK, left.encode())
        opened.repository._journal.end_put(next(iter(opened.repository._journal.unfinished_puts())))
    report = app.health.check()
    assert levels(report)[backed_up.name, "locks"] is WARNING
    assert report.healthy
    assert app.unlock(backed_up.name)
    assert levels(app.health.check())[backed_up.name, "locks"] is OK


def test_a_mirror_that_fell_behind_or_is_gone_is_told(
    app: Application, backed_up: BackupConfig, tmp_path: Path
) -> None:
    app.add_client(ClientConfig(name="盘", url=str(tmp_path / "盘")))
    app.mirroring.run(backed_up.name, to="盘")
    subject = f"{backed_up.name} → 盘:/备份"
    assert levels(app.health.check(rpo=1e-9))[subject, "age"] is ERROR
    shutil.rmtree(tmp_path / "盘")
    found = levels(app.health.check())
    assert found[subject, "reachable"] is ERROR
    assert (subject, "age") not in found
    assert found[backed_up.name, "reachable"] is OK


def test_unknown_names_are_refused(app: Application) -> None:
    with pytest.raises(ConfigError, match="nobody"):
        app.health.check(["nobody"])


@pytest.mark.parametrize(
    ("hours", "level"), [(0, OK), (38, OK), (39, WARNING), (48, WARNING), (48.01, ERROR), (-1, OK)]
)
def test_ages(hours: float, level: FindingLevel) -> None:
    found = check_age("a", NOW - timedelta(hours=hours), now=NOW, longest=DEFAULT_RPO, advice="do")
    assert found.level is level
    assert bool(found.advice) is (level is not OK)
    assert found.limit == DEFAULT_RPO


@pytest.mark.parametrize(
    ("space", "level"),
    [
        (Space(), OK),
        (Space(available=50 * GIB), OK),
        (Space(available=100_000_000), ERROR),
        (Space(used=50 * GIB, available=50 * GIB), OK),
        (Space(used=95 * GIB, available=5 * GIB), WARNING),
        (Space(used=99 * GIB, available=1 * GIB), ERROR),
        (Space(used=0, available=100_000_000), ERROR),
    ],
)
def test_room(space: Space, level: FindingLevel) -> None:
    assert check_space("a", space).level is level


def test_the_strictest_objective_of_the_plans_counts() -> None:
    def plan(name: str, rpo: float | None, *configurations: str) -> RecoveryPlan:
        steps = [{"name": c, "configuration": c} for c in configurations]
        return RecoveryPlan.model_validate({"name": name, "target_base_path": "/srv", "steps": steps, "rpo": rpo})

    plans = [plan("a", 7200, "docs", "mail"), plan("b", 3600, "docs"), plan("c", None, "docs"), plan("d", 60, "web")]
    assert longest_age("docs", plans) == 3600
    assert longest_age("mail", plans) == 7200
    assert longest_age("photos", plans) == DEFAULT_RPO
    assert longest_age("docs", plans, wished=5) == 5
