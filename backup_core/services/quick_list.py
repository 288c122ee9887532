"""The list of backups at a glance: what ``Application.backups`` answers, without opening the application.

Opening it loads database and network packages, which takes several times as long as reading the list.
"""

from __future__ import annotations

from pathlib import Path

from backup_core.catalogue.glance import Glance, glance_at
from backup_core.config.catalogue_place import shared_catalogue_named
from backup_core.config.home import Home
from backup_core.services.places_seen import SEEN, place_of, repository_seen
from backup_core.services.records import BackupManifest
from backup_core.services.shown_backups import manifest


def backups_at_a_glance(home: Path | None, config_name: str | None = None) -> list[BackupManifest] | None:
    """Backups, newest first, as ``Application.backups`` tells them; None when that has to be asked: when a server must
    be looked at first, when the configuration is unknown, or when the catalogue is not the home's own."""
    if shared_catalogue_named():
        return None
    place = Home.from_environment() if home is None else Home.at(home)
    seen = glance_at(place.catalogue, settings=SEEN)
    return None if seen is None else _listed(seen, config_name)


def _listed(seen: Glance, config_name: str | None) -> list[BackupManifest] | None:
    repositories = {
        config.name: repository_seen(seen.settings.get(SEEN + config.name), place_of(config.client, config.target_path))
        for config in seen.configurations
        if config_name in (None, config.name)
    }
    if None in repositories.values() or (config_name is not None and not repositories):
        return None
    backups = seen.backups
    if config_name is not None:
        here = repositories[config_name]
        own = [backup for backup in backups if backup.configuration == config_name]
        foreign = [backup for backup in backups if not backup.configuration and backup.repository_id == here]
        backups = sorted([*own, *foreign], key=lambda backup: backup.created_at, reverse=True)
    return [manifest(backup, seen.validated.get(backup.snapshot_id)) for backup in backups]
