"""A real process, stopped with SIGSTOP in the middle of a backup for longer than its lock lasts, while another machine
takes its lock for abandoned and prunes. Then it wakes up."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import pytest

from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.errors import BackupError
from backup_core.services.application import Application, open_application
from backup_core.services.retention.pruning import PruneLimits
from backup_core.storage.local import LocalBackend
from backup_core.testing.clocks import ShiftedClock
from backup_core.types import Buffer

DONE, REFUSED = 0, 3


class Sleeper(LocalBackend):
    """Stops this process at the first write of a kind of object, before or after it."""

    kind = ""
    afterwards = False
    _left = threading.Semaphore(1)

    def put(self, name: str, data: Buffer | Sequence[Buffer]) -> None:
        due = name.startswith(f"{self.kind}/") and self._left.acquire(blocking=False)
        if due and not self.afterwards:
            self._stop()
        super().put(name, data)
        if due and self.afterwards:
            self._stop()

    @staticmethod
    def _stop() -> None:
        os.kill(os.getpid(), signal.SIGSTOP)


class Machine:
    """A home of its own, on one repository."""

    def __init__(self, top: Path, name: str) -> None:
        self.top, self.name = top, name
        self.source = top / f"source of {name}"
        self.source.mkdir()
        self.change(1)
        with self.open() as app:
            app.add_client(ClientConfig(name="disk", url=str(top / "store")))
            app.add_config(
                BackupConfig(
                    name=name, source_paths=[str(self.source)], target_client_id="disk", target_path="/r", workers=1,
                    encrypt_key="env:THE_KEY",
                )
            )  # fmt: skip

    def open(self) -> Application:
        return open_application(self.top / f"home of {self.name}", clock=ShiftedClock(self.top / "shift"))

    def change(self, seed: int) -> None:
        (self.source / "一").write_bytes(random.Random(f"{self.name}{seed}").randbytes(50_000))

    def back_up(self) -> str:
        with self.open() as app:
            return str(app.backup(self.name).backup_id)


@pytest.mark.parametrize(
    ("kind", "afterwards"), [("data", True), ("index", False), ("index", True), ("snapshots", False)]
)
def test_who_wakes_up_after_others_have_pruned_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, afterwards: bool
) -> None:
    monkeypatch.setenv("THE_KEY", "a key that nobody guesses")
    shift = tmp_path / "shift"
    shift.write_text("0")
    sleeper, other = Machine(tmp_path, "sleeper"), Machine(tmp_path, "other")
    kept = [sleeper.back_up(), other.back_up()]
    before = (sleeper.source / "一").read_bytes()
    sleeper.change(2)
    pid = os.fork()
    if not pid:
        os._exit(_back_up_and_sleep(sleeper, kind, afterwards))
    assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
    shift.write_text(str(40 * 60))
    with other.open() as app:
        assert len(app.unlock("other")) == 1
        app.prune("other", limits=PruneLimits(max_unused="0"))
    os.kill(pid, signal.SIGCONT)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == REFUSED
    with sleeper.open() as app:
        assert {backup.backup_id for backup in app.backups(refresh=True)} == set(kept)
        assert all(result.is_valid for result in app.validate(config_name="sleeper", depth="data"))
        again = app.backup("sleeper")
        app.restore(target=tmp_path / "out", backup_id=again.backup_id, verify=True)
        app.restore(target=tmp_path / "old", backup_id=kept[0])
        app.unlock("sleeper")
        app.prune("sleeper", limits=PruneLimits(max_unused="0"))
        assert all(result.is_valid for result in app.validate(config_name="sleeper", depth="data"))
    assert (tmp_path / "out" / sleeper.source.name / "一").read_bytes() == (sleeper.source / "一").read_bytes()
    assert (tmp_path / "old" / sleeper.source.name / "一").read_bytes() == before


def _back_up_and_sleep(machine: Machine, kind: str, afterwards: bool) -> int:
    Sleeper.kind, Sleeper.afterwards = kind, afterwards
    try:
        with mock.patch("backup_core.storage.registry.LocalBackend", Sleeper):
            machine.back_up()
    except BackupError as error:
        return REFUSED if "lock" in str(error) else 4
    return DONE
