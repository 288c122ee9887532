"""The systemd service: a unit that systemd takes, written and removed by plan, never over another program's."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from backup_core.errors import ConfigError
from backup_core.services.service_manager.installer import UNIT, ServiceInstaller, run_command, units_folder
from backup_core.services.service_manager.unit import Scope, Unit


class Commands:
    """Takes commands instead of systemd."""

    def __init__(self, answer: str = "") -> None:
        self.answer = answer
        self.ran: list[str] = []

    def __call__(self, words: Sequence[str]) -> str:
        self.ran.append(" ".join(words))
        return self.answer


def unit(home: Path, scope: Scope = Scope.SYSTEM) -> Unit:
    return Unit(scope, ("/usr/bin/env", "serve", "--login-from", 'file:/a"$b%c\\d'), home, home / "service.env", 60.0)


@pytest.fixture
def commands() -> Commands:
    return Commands()


@pytest.fixture
def installer(tmp_path: Path, commands: Commands) -> ServiceInstaller:
    return ServiceInstaller(Scope.SYSTEM, units=tmp_path / "units", run=commands, systemd=tmp_path)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("scope", list(Scope))
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path, scope: Scope) -> None:
    file = tmp_path / UNIT
    file.write_text(unit(tmp_path / "a home, 100% mine", scope).text())
    done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_systemd_would_take_for_a_sign_is_escaped(tmp_path: Path) -> None:
    text = unit(Path("/srv/100%")).text()
    assert '"file:/a\\"$$b%%c\\\\d"' in text
    assert 'Environment="DAVAULT_HOME=/srv/100%%"' in text
    with pytest.raises(ConfigError, match="control characters"):
        unit(Path("/srv/a\nExecStart=/bin/false")).text()


def test_it_is_installed_twice_and_removed(installer: ServiceInstaller, commands: Commands, tmp_path: Path) -> None:
    for _ in range(2):
        plan = installer.plan_install(unit(tmp_path), start=True, replace=False)
        installer.carry_out(plan)
    assert installer.path.read_text() == plan.text
    assert commands.ran[3:] == ["systemctl daemon-reload", f"systemctl enable {UNIT}", f"systemctl restart {UNIT}"]
    commands.ran.clear()
    installer.carry_out(installer.plan_uninstall())
    assert commands.ran == [f"systemctl disable --now {UNIT}", "systemctl daemon-reload"]
    assert not installer.path.exists()
    with pytest.raises(ConfigError, match="not installed"):
        installer.plan_uninstall()


def test_a_plan_changes_nothing(installer: ServiceInstaller, commands: Commands, tmp_path: Path) -> None:
    installer.plan_install(unit(tmp_path), start=True, replace=False)
    assert not installer.path.parent.exists() and commands.ran == []


def test_the_unit_of_somebody_else_stays(installer: ServiceInstaller, tmp_path: Path) -> None:
    installer.path.parent.mkdir()
    installer.path.write_text("[Unit]\nDescription=my own\n")
    with pytest.raises(ConfigError, match="not written by this program; --replace"):
        installer.plan_install(unit(tmp_path), start=True, replace=False)
    with pytest.raises(ConfigError, match="by hand"):
        installer.plan_uninstall()
    installer.carry_out(installer.plan_install(unit(tmp_path / "one"), start=False, replace=True))
    with pytest.raises(ConfigError, match="serves another home"):
        installer.plan_install(unit(tmp_path / "two"), start=True, replace=False)


def test_without_systemd_nothing_is_written(tmp_path: Path, commands: Commands) -> None:
    installer = ServiceInstaller(Scope.USER, units=tmp_path / "units", run=commands, systemd=tmp_path / "none")
    with pytest.raises(ConfigError, match="systemd does not run on this machine"):
        installer.carry_out(installer.plan_install(unit(tmp_path), start=True, replace=False))
    state = installer.state()
    assert (state.installed, state.active, commands.ran) == (False, "", [])


def test_the_state_is_in_the_words_of_systemd(tmp_path: Path) -> None:
    said = Commands("UnitFileState=enabled\nActiveState=active\n")
    state = ServiceInstaller(Scope.USER, units=tmp_path, run=said, systemd=tmp_path).state()
    assert (state.enabled, state.active, state.installed) == ("enabled", "active", False)
    assert said.ran == [f"systemctl --user show {UNIT} --property=UnitFileState,ActiveState"]


def test_units_lie_where_systemd_looks() -> None:
    assert units_folder(Scope.USER, {"XDG_CONFIG_HOME": "/c"}) == Path("/c/systemd/user")
    assert units_folder(Scope.SYSTEM, {}) == Path("/etc/systemd/system")


def test_a_command_that_fails_says_why() -> None:
    with pytest.raises(ConfigError, match=r"failed: .*nowhere"):
        run_command(["ls", "/nowhere"])
    with pytest.raises(ConfigError, match="cannot be run"):
        run_command(["/nowhere"])
