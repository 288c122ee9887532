"""What follows from the fields of a configuration, checked model or stored record alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from backup_core.config.commands import CommandConfig


class _Fields(Protocol):
    """The fields that are looked at."""

    host: str
    target_client_id: str
    target_path: str
    source_paths: list[str]
    command_sources: list[CommandConfig]
    parity: str | None
    incremental: bool


class ConfigurationFacts:
    """Base of ``models.BackupConfig`` and of ``stored.StoredConfiguration``."""

    __slots__ = ()

    @property
    def place(self: _Fields) -> tuple[str, str]:
        """Client and folder of the repository."""
        return self.target_client_id, self.target_path

    @property
    def stored_paths(self: _Fields) -> list[str]:
        """Where what is backed up stands in the backups: the sources, and the outputs of commands."""
        return [*self.source_paths, *(f"/{command.name}" for command in self.command_sources)]

    def is_of(self: _Fields, host: str) -> bool:
        """Whether the machine with this label may back it up."""
        return self.host in ("", host)

    @property
    def parity_share(self: _Fields) -> float | None:
        """``parity`` as a number: 0.05 is 5 %."""
        if self.parity is None:
            return None
        from backup_core.config import rules

        return rules.fraction(self.parity)

    @property
    def default_type(self: _Fields) -> str:
        """ "full" or "incremental": what a backup is when nobody says."""
        return "incremental" if self.incremental else "full"
