"""Where mirrors are, and which snapshot of a mirror is the copy of a backup."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from backup_core.errors import ConfigError
from backup_core.format.snapshot import Snapshot
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.results import Problem
from backup_core.services.records import BackupManifest
from backup_core.services.repositories import OpenRepository, Repositories
from backup_core.services.shown_backups import manifest
from backup_core.services.snapshot_facts import backup_id_of, configuration_name, known_backup
from backup_core.storage.request_ledger import Priority

if TYPE_CHECKING:
    from backup_core.config.mirrors import MirrorConfig
    from backup_core.config.models import BackupConfig


def as_configuration(config: BackupConfig, mirror: MirrorConfig) -> BackupConfig:
    """The configuration as it would be if it stored to the mirror: what leads to the mirror's repository and key."""
    own_key = {} if mirror.key is None else {"encrypt_key": mirror.key, "encrypt": True}
    place = {"target_client_id": mirror.client, "target_path": mirror.path, "mirrors": []}
    return config.model_copy(update=place | own_key)


@contextmanager
def opened_mirror(
    repositories: Repositories,
    config: BackupConfig,
    mirror: MirrorConfig,
    *,
    like: OpenRepository | None = None,
    tracker: ProgressTracker | None = None,
    cancel: CancelToken | None = None,
    priority: Priority = Priority.BACKUP,
    patience: float | None = None,
) -> Iterator[OpenRepository]:
    """The mirror's repository while the block runs; made first when it is not there and is to be ``like`` another.

    Raises as ``Repositories.opened``.
    """
    with repositories.opened(
        as_configuration(config, mirror),
        create=like is not None,
        like=like,
        tracker=tracker,
        cancel=cancel,
        priority=priority,
        patience=patience,
    ) as opened:
        yield opened


def find_mirror(config: BackupConfig, client: str, path: str | None = None) -> MirrorConfig | None:
    """The remembered mirror at a client (and in a folder, which is needed when there are several at that client).

    Raises ``ConfigError`` when more than one is meant.
    """
    found = [m for m in config.mirrors if m.client == client and path in (None, m.path)]
    if len(found) > 1:
        raise ConfigError(
            f"{config.name!r} has {len(found)} mirrors at {client!r}; name one by its path: "
            + ", ".join(mirror.path for mirror in found)
        )
    return found[0] if found else None


def known_mirror(config: BackupConfig, client: str, path: str | None = None) -> MirrorConfig:
    """As ``find_mirror``; ``ConfigError`` when there is none."""
    found = find_mirror(config, client, path)
    if found is None:
        known = ", ".join(mirror.shown for mirror in config.mirrors) or "none"
        raise ConfigError(f"{config.name!r} has no mirror at {client}{':' + path if path else ''}; it has: {known}")
    return found


def named_mirror(config: BackupConfig, name: str) -> MirrorConfig:
    """The mirror that ``name`` means: its client, or client and folder as ``MirrorConfig.shown`` writes them.

    Raises ``ConfigError`` when there is none, or more than one.
    """
    exact = next((mirror for mirror in config.mirrors if mirror.shown == name), None)
    return exact or known_mirror(config, name)


def copies_in(opened: OpenRepository, config: BackupConfig, problems: list[Problem]) -> list[BackupManifest]:
    """A configuration's backups in an open mirror, newest first, under the ids that the mirror's snapshots have;
    ``problems`` takes those that cannot be read."""
    repository = opened.repository
    snapshots = repository.snapshots(problems=problems, allow_unproved=True)
    own = (snapshot for snapshot in reversed(snapshots) if configuration_name(snapshot) == config.name)
    return [
        manifest(known_backup(snapshot, repository_id=repository.id, encrypted=repository.encrypted), None)
        for snapshot in own
    ]


def copy_of(backup: BackupManifest, snapshots: Iterable[Snapshot]) -> Snapshot | None:
    """The snapshot that is this backup, in whichever repository ``snapshots`` come from; None when it is not there."""
    known = list(snapshots)
    for snapshot in known:
        if backup.snapshot_id in (snapshot.id, snapshot.original):
            return snapshot
    # The first copy may itself name another original, and nobody can be asked for that when its server is gone.
    named = (s for s in known if s.tags and backup_id_of(s) == backup.backup_id)
    return next(named, None)
