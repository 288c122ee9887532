"""A new master key: everything is copied into a new repository, which then takes the place of the old one.

The master key is what all data is sealed with, so no change of passwords helps against somebody who has it. Copying is
mirroring, so it can be interrupted and goes on where it stopped; the configurations are changed only when the copy is
whole. The old repository stays as it is until somebody deletes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backup_core.config.models import BackupConfig
from backup_core.deferred import dataclass
from backup_core.errors import BackupExecutionError, ConfigError
from backup_core.progress import CancelToken, ProgressSink, no_progress
from backup_core.results import Outcome
from backup_core.services.key_care.key_care import with_own_keys
from backup_core.services.mirroring.places import find_mirror
from backup_core.services.mirroring.result import MirrorResult
from backup_core.services.mirroring.service import Mirroring

if TYPE_CHECKING:
    from backup_core.services.backup_service import BackupService
    from backup_core.services.key_care.key_care import KeyCare

_PASSES = 5
"""Times that is looked for backups made while others were copied."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """A repository that has taken the place of another one."""

    location: str
    """Of the new one."""
    old_location: str
    client: str
    path: str
    reference: str
    """Where its key is."""
    copied: int
    """Backups copied by this call."""
    already_there: int
    """Backups that an earlier, interrupted one had copied."""
    configurations: tuple[str, ...]
    """Those that use it now."""
    notes: tuple[str, ...]


def rotate(
    service: BackupService,
    keys: KeyCare,
    config_name: str,
    *,
    path: str,
    client: str | None = None,
    reference: str | None = None,
    cancel: CancelToken | None = None,
    progress: ProgressSink = no_progress,
) -> Rotated:
    """Copy the repository of a configuration into a new one in folder ``path`` (of ``client``, by default the same),
    with another master key and the key behind ``reference`` (None makes one), and change all configurations that share
    it. Interrupted, call it again with the same ``path``.

    Raises ``BackupExecutionError`` when not everything could be copied; then nothing was changed. What copying raises.
    """
    config = keys.encrypted(config_name)
    place = BackupConfig.model_validate(
        config.record() | {"target_client_id": client or config.target_client_id, "target_path": path, "mirrors": []}
    ).place
    if place == config.place:
        raise ConfigError("the new repository needs another folder than the old one")
    begun = find_mirror(config, *place)
    if begun is not None and (begun.key is None or begun.key == config.record()["encrypt_key"]):
        raise ConfigError(
            f"{begun.shown} is a mirror that opens with the configuration's own key; choose another folder"
        )
    key = begun.key if begun is not None else reference or f"file:{keys.generate(keys.new_file(config))}"
    if key == config.record()["encrypt_key"]:
        raise ConfigError("the new key is the old one")
    results = _copy(service, config, place, str(key), cancel=cancel, progress=progress)
    old_location, switched = _switch(service, config.name, place, str(key))
    return Rotated(
        location=results[-1].location,
        old_location=old_location,
        client=place[0],
        path=place[1],
        reference=str(key),
        copied=sum(len(result.copied) for result in results),
        already_there=results[0].already_there,
        configurations=switched,
        notes=(
            f"the key is now that of {key}: keep a copy of it away from this machine, and make new recovery kits",
            f"the old repository at {old_location} still holds everything and opens with the old key: delete it when a "
            "restore from the new one has convinced you",
        ),
    )


def _copy(
    service: BackupService,
    config: BackupConfig,
    place: tuple[str, str],
    key: str,
    *,
    cancel: CancelToken | None,
    progress: ProgressSink,
) -> list[MirrorResult]:
    """Copy everything, again until nothing is new. Raises ``BackupExecutionError`` when something cannot be copied."""
    results: list[MirrorResult] = []
    while len(results) < _PASSES and (not results or results[-1].copied):
        (result,) = Mirroring(service).run(
            config.name,
            to=place[0],
            path=place[1],
            key=key,
            everything=True,
            check=not results,
            cancel=cancel,
            progress=progress,
        )
        if result.outcome is not Outcome.COMPLETED or result.left_out:
            reasons = [result.error, *result.left_out.values(), *(problem.message for problem in result.problems)]
            raise BackupExecutionError(
                f"not everything could be copied to {result.location}, so {config.name!r} stays where it is: "
                f"{next(filter(None, reasons), 'see the log')}"
            )
        results.append(result)
    return results


def _switch(service: BackupService, name: str, place: tuple[str, str], key: str) -> tuple[str, tuple[str, ...]]:
    """Have all configurations of the old repository use the new one; the old address, and their names."""
    config = service.configurations.get(name)
    fresh = _at(config, place, key)
    with service.repositories.opened(config) as old, service.repositories.opened(fresh) as new:
        if old.repository.master_key == new.repository.master_key:
            raise BackupExecutionError("the new repository has the old master key; nothing was changed")
        old_location, old_key = old.repository.backend.location, old.key
    # The one that was asked for comes last: interrupted before that, the same call does it again.
    moved = [*service.configurations.sharing(config), config]
    for one in moved:
        # First, since death may come between the two: the next look at either repository lists what is there.
        rows = service.catalogue.manifests.listed(one.name)
        service.catalogue.manifests.remove([row.snapshot_id for row in rows])
        kept = one.model_copy(update={"mirrors": with_own_keys(one, old_key)})
        service.configurations.add(_at(kept, place, key), replace=True)
    for one in moved:
        service.known.listed(one.name, refresh=True)
    return old_location, tuple(sorted(one.name for one in moved))


def _at(config: BackupConfig, place: tuple[str, str], key: str) -> BackupConfig:
    return config.model_copy(
        update={
            "target_client_id": place[0],
            "target_path": place[1],
            "encrypt_key": key,
            "mirrors": [mirror for mirror in config.mirrors if mirror.place != place],
        }
    )
