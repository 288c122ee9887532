"""Copying a configuration's backups to its mirrors."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from backup_core.config.mirrors import MirrorConfig
from backup_core.config.models import BackupConfig
from backup_core.errors import BackupError, Cancelled, ConfigError
from backup_core.progress import CancelToken, ProgressSink, ProgressTracker, no_progress
from backup_core.results import Outcome
from backup_core.services.mirroring.one_run import MirrorRun, Wish
from backup_core.services.mirroring.places import find_mirror, known_mirror
from backup_core.services.mirroring.result import MirrorResult

if TYPE_CHECKING:
    from backup_core.services.backup_service import BackupService

_LOG = logging.getLogger(__name__)


class Mirroring:
    """The mirrors of all configurations."""

    def __init__(self, service: BackupService) -> None:
        self._service = service

    def run(
        self,
        config_name: str,
        *,
        to: str | None = None,
        path: str | None = None,
        key: str | None = None,
        backup_ids: Sequence[str] = (),
        everything: bool = False,
        check: bool = False,
        dry_run: bool = False,
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
    ) -> list[MirrorResult]:
        """Copy a configuration's backups to its mirrors, or only to the one at client ``to`` (in folder ``path``, by
        default the configuration's own). A mirror that is new is made, and remembered with the configuration; ``key``
        refers to a key of its own, None gives it the configuration's.

        ``backup_ids``: only these; ``everything``: also what other configurations and programs have in the repository.
        ``check``: look first whether the mirror still has all packs that it should have. One result for each mirror;
        the error of the only one is raised, as is ``Cancelled``, ``ConfigError`` and whatever the first repository
        raises.
        """
        config = self._service.configurations.get(config_name)
        mirrors = self._chosen(config, to, path, key)
        wish = Wish(tuple(backup_ids), everything, check, dry_run)
        tracker = ProgressTracker(progress, clock=self._service.clock)
        cancel = cancel or CancelToken()
        results = []
        for mirror_config in mirrors:
            try:
                results.append(MirrorRun(self._service, config, mirror_config, wish, tracker, cancel).carry_out())
            except (Cancelled, ConfigError):
                raise
            except BackupError as error:
                if len(mirrors) == 1:
                    raise
                _LOG.error("mirroring %s to %s failed: %s", config.name, mirror_config.shown, error)
                results.append(_failed(config, mirror_config, error, dry_run=dry_run))
        return results

    def forget(self, config_name: str, client: str, path: str | None = None) -> MirrorConfig:
        """Take a mirror off a configuration; nothing is deleted there. ``ConfigError`` when there is none."""
        config = self._service.configurations.get(config_name)
        gone = known_mirror(config, client, path)
        config.mirrors = [mirror for mirror in config.mirrors if mirror.place != gone.place]
        self._service.configurations.add(config, replace=True)
        return gone

    # ---- choosing

    def _chosen(self, config: BackupConfig, to: str | None, path: str | None, key: str | None) -> list[MirrorConfig]:
        if to is None:
            if path is not None or key is not None:
                raise ConfigError("a path or key belongs to one mirror: say at which client it is")
            if not config.mirrors:
                raise ConfigError(f"{config.name!r} has no mirror yet; say at which client to make one")
            return list(config.mirrors)
        self._service.webdav_service.configuration(to)
        found = find_mirror(config, to, path)
        if found is not None:
            if key not in (None, found.key):
                raise ConfigError(
                    f"the mirror {found.shown} has its key from {found.key or 'the configuration'} already"
                )
            return [found]
        # Checked as a whole now, so that nothing is copied to a place that cannot be remembered.
        wished = {"client": to, "path": path or config.target_path, "key": key}
        record = config.record() | {"mirrors": [*config.mirrors, wished]}
        return [BackupConfig.model_validate(record).mirrors[-1]]


def _failed(config: BackupConfig, place: MirrorConfig, error: BackupError, *, dry_run: bool) -> MirrorResult:
    return MirrorResult(
        config_name=config.name,
        client=place.client,
        path=place.path,
        location="",
        dry_run=dry_run,
        outcome=Outcome.FAILED,
        error=str(error),
        transient=error.transient,
    )
