"""What the commands of a configuration get to see, and what of their output others get to see.

Commands inherit this program's environment without the variables in which secrets of any configuration or client are
(keys, passwords, ``DAVAULT_KEY``), and with these:

    DAVAULT_NAME        the configuration
    DAVAULT_KIND        "full" or "incremental": what was asked for
    DAVAULT_BACKUP_ID   of this backup
    DAVAULT_STAGE       "before", "on-failure", "after", or "source" for a command whose output is stored
    DAVAULT_OUTCOME     once it is known: "completed", "completed with problems", "failed" or "cancelled"
    DAVAULT_ERROR       what went wrong, "" when nothing did
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from backup_core.deferred import dataclass
from backup_core.engine.live.command_stream import CommandSource
from backup_core.services.known_secrets import KnownSecrets, known_secrets
from backup_core.services.repositories import OpenRepository

if TYPE_CHECKING:
    from backup_core.config.models import BackupConfig
    from backup_core.services.backup_service import BackupService


@dataclass(frozen=True)
class CommandScene:
    """The same for all commands of one backup."""

    environment: Mapping[str, str]
    known: KnownSecrets

    def seen(self, stage: str, **more: str) -> dict[str, str]:
        """The environment of a command."""
        return {**self.environment, "DAVAULT_STAGE": stage, **more}

    def without_secrets(self, text: str) -> str:
        """A command's output as it may be shown and logged."""
        return self.known.without(text)


def scene_of(service: BackupService, opened: OpenRepository, *, kind: str, backup_id: str) -> CommandScene:
    """What commands see during the backup ``backup_id`` of the open configuration."""
    config = opened.config
    known = known_secrets(service, opened.key.secret, clients=[config.target_client_id])
    return CommandScene(
        known.environment() | {"DAVAULT_NAME": config.name, "DAVAULT_KIND": kind, "DAVAULT_BACKUP_ID": backup_id},
        known,
    )


def command_sources(config: BackupConfig, scene: CommandScene) -> tuple[CommandSource, ...]:
    """The commands of ``config`` whose output is backed up."""
    return tuple(
        CommandSource(
            source.name,
            source.command if isinstance(source.command, str) else tuple(source.command),
            timeout=source.timeout,
            environment=scene.seen("source"),
            without_secrets=scene.without_secrets,
        )
        for source in config.command_sources
    )
