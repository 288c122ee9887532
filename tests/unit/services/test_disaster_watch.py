"""Real runs over real files: ordinary days pass, a disaster holds every cleanup until a person has looked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.errors import CleanupHeld, ConfigError
from backup_core.results import BackupSummary, Outcome
from backup_core.services.application import Application, open_application
from backup_core.services.home_recovery.wishes import GivenKey, RecoveryWish
from backup_core.services.retention.policy import KeepRules
from backup_core.testing.clocks import ManualClock
from backup_core.types import Secret

START = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)


class Household:
    """An application and its source, a day at a time."""

    def __init__(self, app: Application, clock: ManualClock, source: Path) -> None:
        self.app, self.clock, self.source = app, clock, source
        self.made: list[str] = []

    def back_up(self) -> BackupSummary:
        """A day passes, and then there is a backup."""
        self.clock.advance(24 * 3600)
        summary = self.app.backup("文档")
        self.made.append(summary.backup_id)
        return summary

    def ordinary_day(self, day: int) -> BackupSummary:
        """A letter is written, and two are changed."""
        (self.source / f"新{day}.txt").write_text(f"new on day {day}\n" * 60)
        for n in (day, day + 1):
            (self.source / "信" / f"{n}.txt").write_text(f"changed on day {day}\n" * 80)
        return self.back_up()

    @property
    def listed(self) -> list[str]:
        """Backups there are, oldest first."""
        return [b.backup_id for b in self.app.backups("文档")][::-1]


@pytest.fixture
def household(tmp_path: Path, source: Path) -> Household:
    clock = ManualClock(START)
    app = open_application(tmp_path / "home", clock=clock)
    app.add_client(ClientConfig(name="云", url=str(tmp_path / "store")))
    app.add_config(
        BackupConfig(
            name="文档", source_paths=[str(source)], target_client_id="云", target_path="/备份",
            encrypt_key="env:TEST_KEY", max_versions=3,
        )
    )  # fmt: skip
    (source / "信").mkdir()
    for n in range(60):
        (source / "信" / f"{n}.txt").write_text(f"Dear reader number {n},\n" * 50)
    made = Household(app, clock, source)
    made.back_up()
    for day in range(3):
        assert made.ordinary_day(day).outcome is Outcome.COMPLETED
    assert app.retention.holds.listed() == []
    return made


def scramble(text: bytes, name: str) -> bytes:
    """As good as ciphertext."""
    blocks = [hashlib.sha256(f"{name} {at}".encode()).digest() for at in range(0, len(text) + 16, 32)]
    return b"".join(blocks)


def encrypt(source: Path, suffix: str = "") -> None:
    for file in sorted(p for p in source.rglob("*") if p.is_file()):
        content = scramble(file.read_bytes(), str(file))
        file.unlink()
        file.with_name(file.name + suffix).write_bytes(content)


def _in_place(source: Path) -> None:
    encrypt(source)


def _renamed(source: Path) -> None:
    encrypt(source, ".locked")


def _deleted(source: Path) -> None:
    for file in sorted((source / "信").iterdir())[2:]:
        file.unlink()


def _not_mounted(source: Path) -> None:
    for file in [p for p in source.rglob("*") if p.is_file()]:
        file.unlink()


@pytest.mark.parametrize(
    ("strike", "said"),
    [
        (_in_place, "look like encrypted ones now"),
        (_renamed, "suffix .locked"),
        (_deleted, "are gone"),
        (_not_mounted, "is something not mounted?"),
    ],
    ids=lambda value: getattr(value, "__name__", "").strip("_"),
)
def test_a_disaster_holds_what_would_be_forgotten(
    household: Household, strike: Callable[[Path], None], said: str
) -> None:
    app = household.app
    before = household.listed
    good = before[-1]
    strike(household.source)
    summary = household.back_up()

    assert summary.outcome is Outcome.COMPLETED_WITH_PROBLEMS
    assert any(said in problem.message for problem in summary.problems)
    (hold,) = app.retention.holds.listed()
    assert (hold.backup_id, hold.good_backup_id, hold.config_name) == (summary.backup_id, good, "文档")
    assert [pin.backup_id for pin in app.retention.pins.listed()] == [good]
    assert household.listed == [*before, summary.backup_id], "max_versions=3 would have removed one"
    assert app.runs("文档")[0].outcome == "completed with problems"

    for _ in range(2):  # the schedule goes on, and must not push the good ones out
        household.back_up()
    assert household.listed[: len(before)] == before
    assert len(app.retention.holds.listed()) == 1
    with pytest.raises(CleanupHeld, match="davault hold release"):
        app.manager.cleanup_old_backups("文档", keep_count=1)
    with pytest.raises(CleanupHeld):
        app.retention.forget([before[0]])
    with pytest.raises(CleanupHeld):
        app.prune("文档")
    assert app.retention.plan("文档", KeepRules(last=1)).holds == (hold,)
    assert app.prune("文档", dry_run=True).dry_run
    assert household.listed[: len(before)] == before


def test_the_good_backup_brings_everything_back(household: Household, tmp_path: Path) -> None:
    good = {p.relative_to(household.source): p.read_bytes() for p in household.source.rglob("*") if p.is_file()}
    encrypt(household.source, ".locked")
    household.back_up()
    (hold,) = household.app.retention.holds.listed()
    household.app.restore(backup_id=hold.good_backup_id, target=tmp_path / "out", verify=True)
    root = tmp_path / "out" / household.source.name
    assert {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()} == good


def test_a_release_lets_cleanups_go_on_and_counts_as_ordinary(household: Household) -> None:
    app = household.app
    _deleted(household.source)
    summary = household.back_up()
    with pytest.raises(ConfigError, match="nothing is held"):
        app.retention.holds.release("别的")
    (freed,) = app.retention.holds.release("文档", note="spring cleaning")
    assert (freed.backup_id, freed.note) == (summary.backup_id, "spring cleaning")
    assert freed.released_at is not None
    assert app.retention.pins.listed() == []
    assert app.retention.holds.listed() == []
    assert [h.backup_id for h in app.retention.holds.listed(released=True)] == [summary.backup_id]
    assert household.back_up().outcome is Outcome.COMPLETED
    assert household.listed == household.made[-3:], "max_versions counts again"


def test_a_pin_may_outlast_the_hold(household: Household) -> None:
    good = household.listed[-1]
    _not_mounted(household.source)
    household.back_up()
    household.app.retention.holds.release("文档", keep_pins=True)
    assert [pin.backup_id for pin in household.app.retention.pins.listed()] == [good]


def test_another_installation_heeds_the_hold(household: Household, tmp_path: Path) -> None:
    encrypt(household.source)
    household.back_up()
    config = household.app.get_config("文档")
    with open_application(tmp_path / "home 2", clock=household.clock) as other:
        other.add_client(ClientConfig(name="云", url=str(tmp_path / "store")))
        other.add_config(config)
        with pytest.raises(CleanupHeld):
            other.manager.cleanup_old_backups("文档", keep_count=1)
        assert len(other.retention.plan("文档", KeepRules(last=1)).holds) == 1


def test_restored_files_on_another_disk_are_no_disaster(household: Household) -> None:
    for file in [p for p in household.source.rglob("*") if p.is_file()]:
        content = file.read_bytes()
        file.unlink()
        file.write_bytes(content)
    summary = household.back_up()
    assert summary.changes.rewritten == 0
    assert household.app.retention.holds.listed() == []


def test_another_choice_of_files_is_no_disaster(household: Household) -> None:
    config = household.app.get_config("文档")
    household.app.add_config(config.model_copy(update={"exclude_patterns": ["信"]}), replace=True)
    summary = household.back_up()
    assert summary.files < 10
    assert household.app.retention.holds.listed() == []


def test_incompressible_newcomers_are_no_disaster(household: Household) -> None:
    for n in range(200):
        (household.source / f"photo{n}.jpg").write_bytes(os.urandom(2000))
    summary = household.back_up()
    assert summary.changes.new_hard == 200
    assert household.app.retention.holds.listed() == []


def test_a_run_without_changes_has_nothing_to_look_up(household: Household) -> None:
    household.back_up()
    changes = household.back_up().changes
    assert (changes.removed, changes.rewritten, changes.new_hard, dict(changes.suffixes)) == (0, 0, 0, {})


def test_storing_without_compression_from_now_on_is_no_disaster(household: Household) -> None:
    config = household.app.get_config("文档")
    household.app.add_config(config.model_copy(update={"compression": False}), replace=True)
    for file in (household.source / "信").iterdir():
        file.write_text(file.read_text() + "P.S.")
    summary = household.back_up()
    assert (summary.changes.rewritten, summary.changes.hardened) == (60, 0)
    assert household.app.retention.holds.listed() == []


def test_pins_and_holds_come_back_from_the_server_alone(household: Household, tmp_path: Path) -> None:
    app = household.app
    first = household.listed[0]
    app.retention.pins.add(first, reason="the first one")
    encrypt(household.source)
    household.back_up()
    pins, holds = app.retention.pins.listed(), app.retention.holds.listed()
    with open_application(tmp_path / "after the fire", clock=household.clock) as again:
        account = ClientConfig(name="recovered", url=str(tmp_path / "store"))
        key = GivenKey(Secret("密钥"), "env:TEST_KEY", "env:TEST_KEY")
        again.home_recovery.recover(RecoveryWish(account=account, path="/", keys=(key,)))
        assert again.retention.pins.listed() == pins
        assert len(pins) == 2
        assert again.retention.holds.listed() == holds
        with pytest.raises(CleanupHeld):
            again.manager.cleanup_old_backups("文档", keep_count=1)
        again.retention.holds.release("文档")
        again.manager.cleanup_old_backups("文档", keep_count=1)
        left = [b.backup_id for b in again.backups("文档")]
        assert left == [household.made[-1], first], "the newest, and the pinned one"
