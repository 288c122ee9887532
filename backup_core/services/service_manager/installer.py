"""Writes, removes and looks at the unit; every change is a plan first."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from backup_core.deferred import dataclass
from backup_core.errors import ConfigError
from backup_core.services.service_manager.unit import Scope, Unit, is_ours

UNIT = "davault.service"
_SYSTEM_UNITS = Path("/etc/systemd/system")
_RUNNING_SYSTEMD = Path("/run/systemd/system")
"""There while systemd runs the machine, by its own definition."""

Run = Callable[[Sequence[str]], str]
"""Runs a command and returns what it prints; raises ``ConfigError`` when it fails."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done."""

    path: Path
    text: str | None
    """Of the unit to write; None removes it."""
    before: tuple[tuple[str, ...], ...]
    """Commands before the file changes."""
    after: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class State:
    """How things are."""

    path: Path
    installed: bool
    enabled: str
    """systemd's word, such as "enabled"; "" when it cannot be asked."""
    active: str
    """systemd's word, such as "active"; "" when it cannot be asked."""


class ServiceInstaller:
    """The service of one scope."""

    def __init__(
        self, scope: Scope, *, units: Path | None = None, run: Run | None = None, systemd: Path = _RUNNING_SYSTEMD
    ) -> None:
        self._scope = scope
        self._systemctl = ("systemctl",) if scope is Scope.SYSTEM else ("systemctl", "--user")
        self._run = run or run_command
        self._systemd = systemd
        self.path = (units or units_folder(scope, os.environ)) / UNIT

    def plan_install(self, unit: Unit, *, start: bool, replace: bool) -> Plan:
        """Write the unit, have it started with the machine (or the login), and now when ``start``.

        Raises ``ConfigError`` when another program's unit is in the way and ``replace`` is not set.
        """
        present = self._present()
        if present is not None and not replace and not (is_ours(present) and unit.shares_home_with(present)):
            whose = "serves another home" if is_ours(present) else "was not written by this program"
            raise ConfigError(f"{self.path} exists and {whose}; --replace replaces it")
        commands = [("daemon-reload",), ("enable", UNIT), *([("restart", UNIT)] if start else [])]
        return Plan(self.path, unit.text(), (), tuple((*self._systemctl, *words) for words in commands))

    def plan_uninstall(self) -> Plan:
        """Stop it, after its runs have ended or were cancelled, and remove the unit. Raises ``ConfigError`` when there
        is none, or when it is another program's."""
        present = self._present()
        if present is None:
            raise ConfigError(f"{self.path} does not exist; the service is not installed")
        if not is_ours(present):
            raise ConfigError(f"{self.path} was not written by this program; remove it by hand")
        stop = ((*self._systemctl, "disable", "--now", UNIT),)
        return Plan(self.path, None, stop, ((*self._systemctl, "daemon-reload"),))

    def carry_out(self, plan: Plan) -> None:
        """Do it. Raises ``ConfigError`` when systemd does not run here, or when a step fails."""
        if not self._systemd.is_dir():
            raise ConfigError(
                "systemd does not run on this machine; have whatever does start: davault serve "
                "(--dry-run shows the unit)"
            )
        for command in plan.before:
            self._run(command)
        _change(plan)
        for command in plan.after:
            self._run(command)

    def state(self) -> State:
        """How things are; never raises for a systemd that is not there."""
        enabled = active = ""
        if self._systemd.is_dir():
            shown = self._run((*self._systemctl, "show", UNIT, "--property=UnitFileState,ActiveState"))
            said = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
            enabled, active = said.get("UnitFileState", ""), said.get("ActiveState", "")
        return State(self.path, self._present() is not None, enabled, active)

    def _present(self) -> str | None:
        try:
            return self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be read: {error.strerror}") from error


def units_folder(scope: Scope, environment: Mapping[str, str]) -> Path:
    """Where units of this scope belong."""
    if scope is Scope.SYSTEM:
        return _SYSTEM_UNITS
    configured = environment.get("XDG_CONFIG_HOME", "")
    return (Path(configured) if configured else Path.home() / ".config") / "systemd" / "user"


def run_command(words: Sequence[str]) -> str:
    """Run a command and return what it prints. Raises ``ConfigError`` with what it says when it fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise ConfigError(f"{words[0]} cannot be run: {error.strerror}") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"
        raise ConfigError(f"{' '.join(words)} failed: {said}")
    return done.stdout


def _change(plan: Plan) -> None:
    try:
        if plan.text is None:
            plan.path.unlink()
            return
        plan.path.parent.mkdir(parents=True, exist_ok=True)
        draft = plan.path.with_name(f".{plan.path.name}.new")
        draft.write_text(plan.text, encoding="utf-8")
        draft.replace(plan.path)
    except OSError as error:
        raise ConfigError(
            f"{plan.path} cannot be changed ({error.strerror}); run this as root, or install for yourself alone "
            "with --scope user"
        ) from error
