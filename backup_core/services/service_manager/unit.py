"""The text of a systemd unit; pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from backup_core.deferred import dataclass
from backup_core.errors import ConfigError

MARK = "# Written by davault service install; changes belong into a drop-in (systemctl edit davault.service)."
_START = 300
"""Seconds until everything answers; the first start makes Prefect's database."""
_BEYOND_PATIENCE = 120
"""Seconds that stopping may take when the patience with runs is over: they stop, then the programs."""
_TARGETS = {"user": "default.target", "system": "multi-user.target"}


class Scope(StrEnum):
    """Whose service it is."""

    USER = "user"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Unit:
    """What a unit is made of."""

    scope: Scope
    command: Sequence[str]
    """Its first word is absolute."""
    home: Path
    variables: Path
    """A file of environment variables, for passwords that configurations refer to as ``env:NAME``; may be missing."""
    patience: float
    """Seconds that runs get to end by themselves when it is stopped."""

    def text(self) -> str:
        """The unit file. Raises ``ConfigError`` when a path cannot be written in one."""
        network = "After=network-online.target\nWants=network-online.target\n" if self.scope is Scope.SYSTEM else ""
        command = " ".join(_quoted(word.replace("$", "$$")) for word in self.command)
        return f"""{MARK}
[Unit]
Description=Davault: backups of this machine, with their Prefect server and worker
{network}
[Service]
Type=notify
ExecStart={command}
{self._home_line}
EnvironmentFile=-{_escaped(str(self.variables))}
TimeoutStartSec={_START}
TimeoutStopSec={round(self.patience) + _BEYOND_PATIENCE}
# The signal is for the control room alone, which ends runs and programs in order.
KillMode=mixed
Restart=on-failure
RestartSec=30
# What else the machine does goes first.
Nice=5
IOSchedulingClass=best-effort
IOSchedulingPriority=7

[Install]
WantedBy={_TARGETS[self.scope]}
"""

    def shares_home_with(self, text: str) -> bool:
        """Whether a unit file serves the same home."""
        return self._home_line in text.splitlines()

    @property
    def _home_line(self) -> str:
        return f"Environment={_quoted(f'DAVAULT_HOME={self.home}')}"


def is_ours(text: str) -> bool:
    """Whether this program wrote a unit file, and so may replace or remove it."""
    return text.startswith(MARK)


def _quoted(word: str) -> str:
    return '"' + _escaped(word).replace('"', '\\"') + '"'


def _escaped(text: str) -> str:
    if not text.isprintable():
        raise ConfigError(f"{text!r} cannot be written into a systemd unit; choose a path without control characters")
    return text.replace("\\", "\\\\").replace("%", "%%")
