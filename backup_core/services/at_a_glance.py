"""The list of backups and the figures about them at a glance: what ``Application`` answers, without opening it.

Opening it loads database and network packages, which takes several times as long as reading the catalogue. Each
function answers None when the application has to be asked: when a server must be looked at first, when the
configuration is unknown, or when the catalogue is not the home's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backup_core.catalogue.backups import KnownSpace
from backup_core.catalogue.glance import Configuration, Glance, GlancedFigures, figures_at, glance_at
from backup_core.config.catalogue_place import shared_catalogue_named
from backup_core.config.home import Home
from backup_core.services.listings import StorageUsage
from backup_core.services.moments import to_local
from backup_core.services.places_seen import SEEN, place_of, repository_seen
from backup_core.services.records import BackupManifest
from backup_core.services.shown_backups import manifest
from backup_core.services.storage_figures import STORED_SIZE, statistics, storage_trend, storage_usage


def backups_at_a_glance(home: Path | None, config_name: str | None = None) -> list[BackupManifest] | None:
    """Backups, newest first, as ``Application.backups`` tells them."""
    place = _catalogue(home)
    seen = None if place is None else glance_at(place, settings=SEEN)
    return None if seen is None else _listed(seen, config_name)


def usage_at_a_glance(
    home: Path | None, config_name: str | None = None
) -> tuple[StorageUsage, list[KnownSpace]] | None:
    """Usage as ``StorageManager.get_storage_usage`` tells it, and the newest reading of each client's room."""
    place = _catalogue(home)
    seen = None if place is None else figures_at(place, config_name, settings=(STORED_SIZE,))
    if seen is None or (config_name is not None and config_name not in {c.name for c in seen.configurations}):
        return None
    return _usage(seen, config_name), seen.spaces


def statistics_at_a_glance(home: Path | None, config_name: str | None = None) -> dict[str, Any] | None:
    """Figures as ``BackupManager.get_statistics`` tells them."""
    place = _catalogue(home)
    seen = None if place is None else figures_at(place, config_name, settings=(STORED_SIZE, SEEN))
    if seen is None or _repositories(seen.configurations, seen.settings, config_name) is None:
        return None
    return statistics(
        config_name,
        _usage(seen, config_name),
        newest=None if seen.newest is None else (seen.newest[0], to_local(seen.newest[1])),
        outcomes=seen.outcomes,
        trend=storage_trend(seen.sizes),
    )


def _catalogue(home: Path | None) -> Path | None:
    """The home's own catalogue; None when another one is named."""
    if shared_catalogue_named():
        return None
    return (Home.from_environment() if home is None else Home.at(home)).catalogue


def _usage(seen: GlancedFigures, config_name: str | None) -> StorageUsage:
    repositories = {part.repository_id for part in seen.totals}
    packs = {repository: seen.settings.get(STORED_SIZE + repository) for repository in repositories}
    return storage_usage(seen.totals, packs, config_name)


def _repositories(
    configurations: Sequence[Configuration], settings: Mapping[str, Any], config_name: str | None
) -> dict[str, str] | None:
    """The repository of each configuration, or of the one named; None when one was never looked at, or the named one
    is unknown."""
    found: dict[str, str] = {}
    for config in configurations:
        if config_name in (None, config.name):
            seen = repository_seen(settings.get(SEEN + config.name), place_of(config.client, config.target_path))
            if seen is None:
                return None
            found[config.name] = seen
    return None if config_name is not None and not found else found


def _listed(seen: Glance, config_name: str | None) -> list[BackupManifest] | None:
    repositories = _repositories(seen.configurations, seen.settings, config_name)
    if repositories is None:
        return None
    backups = seen.backups
    if config_name is not None:
        here = repositories[config_name]
        own = [backup for backup in backups if backup.configuration == config_name]
        foreign = [backup for backup in backups if not backup.configuration and backup.repository_id == here]
        backups = sorted([*own, *foreign], key=lambda backup: backup.created_at, reverse=True)
    return [manifest(backup, seen.validated.get(backup.snapshot_id)) for backup in backups]
