"""A look at all configurations and their mirrors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING

from backup_core.config.hosts import this_host
from backup_core.config.mirrors import MirrorConfig
from backup_core.config.models import BackupConfig
from backup_core.errors import (
    AuthenticationFailed,
    BackupError,
    Cancelled,
    ConfigError,
    NotARepository,
    WrongKey,
)
from backup_core.progress import CancelToken, ProgressSink, ProgressTracker, no_progress
from backup_core.services.disaster.plans import Plans
from backup_core.services.findings import FindingLevel
from backup_core.services.health.checks import check_age, checks_of_repository
from backup_core.services.health.objectives import longest_age
from backup_core.services.health.records import HealthCheck, HealthReport
from backup_core.services.mirroring.places import copies_in, opened_mirror
from backup_core.services.moments import to_aware, to_local
from backup_core.services.repositories import OpenRepository
from backup_core.services.vanished import Vanished
from backup_core.storage.request_ledger import Priority

if TYPE_CHECKING:
    from backup_core.services.backup_service import BackupService

_PATIENCE = 30.0
"""Seconds that a failing request is tried again: a server that is down for longer is not healthy."""
_KEY_FAULTS = (WrongKey, AuthenticationFailed, ConfigError)


class Health:
    """Looks at the health of backups; changes nothing but the catalogue's list of what there is."""

    def __init__(self, service: BackupService) -> None:
        self._service = service

    def check(
        self,
        config_names: Sequence[str] = (),
        *,
        rpo: float | None = None,
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
    ) -> HealthReport:
        """Look at these configurations, or at all; of those of other machines only at what the catalogue knows.
        ``rpo``: seconds that a newest backup may be old, instead of what the recovery plans say (48 hours where none
        says anything).

        What is wrong is in the report. Raises ``ConfigError`` for unknown names, ``Cancelled``, ``CatalogueError``.
        """
        known = self._service.configurations
        configs = [known.get(name) for name in config_names] or known.all()
        tracker = ProgressTracker(progress, clock=self._service.clock)
        tracker.phase("health", files_total=len(configs))
        begun = self._service.clock.monotonic()
        plans = [kept.plan for kept in Plans(self._service.catalogue, self._service.clock).listed()]
        checks: list[HealthCheck] = []
        for config in configs:
            checks += self._of_configuration(
                config, longest_age(config.name, plans, wished=rpo), tracker, cancel or CancelToken()
            )
            tracker.advance(files=1, path=config.name)
        tracker.phase("done")
        now = to_local(self._service.clock.now())
        return HealthReport(now, tuple(checks), self._service.clock.monotonic() - begun)

    # ---- inside

    def _of_configuration(
        self, config: BackupConfig, longest: float, tracker: ProgressTracker, cancel: CancelToken
    ) -> Iterator[HealthCheck]:
        def opened() -> AbstractContextManager[OpenRepository]:
            return self._service.repositories.opened(
                config, tracker=tracker, cancel=cancel, priority=Priority.VALIDATION, patience=_PATIENCE
            )

        def look(repository: OpenRepository) -> None:
            self._service.known.mirror(repository, records=True)

        here = config.is_of(this_host())
        if here:
            # Only the configuration's own machine has what opens its repository.
            yield from self._of_place(config.name, config, opened, cancel, look=look)
        # Fresh when the server could be asked, and all that is known when it could not.
        newest = _newest(row.created_at for row in self._service.catalogue.manifests.listed(config.name))
        advice = f"back up now (davault backup {config.name}), and see why the schedule did not"
        yield check_age(config.name, newest, now=self._service.clock.now(), longest=longest, advice=advice)
        yield from self._holds(config)
        yield from self._vanished(config)
        for mirror in config.mirrors if here else ():
            yield from self._of_mirror(config, mirror, longest, tracker, cancel)

    def _of_mirror(
        self,
        config: BackupConfig,
        mirror: MirrorConfig,
        longest: float,
        tracker: ProgressTracker,
        cancel: CancelToken,
    ) -> Iterator[HealthCheck]:
        subject = f"{config.name} → {mirror.shown}"
        found: list[datetime] = []

        def opened() -> AbstractContextManager[OpenRepository]:
            return opened_mirror(
                self._service.repositories,
                config,
                mirror,
                tracker=tracker,
                cancel=cancel,
                priority=Priority.VALIDATION,
                patience=_PATIENCE,
            )

        def look(repository: OpenRepository) -> None:
            found.extend(copy.created_at for copy in copies_in(repository, config, []))

        usable = True
        for check in self._of_place(subject, config, opened, cancel, look=look):
            usable = usable and not (check.check in ("reachable", "key") and check.level is FindingLevel.ERROR)
            yield check
        if usable:
            advice = f"bring it up to date: davault mirror {config.name}"
            now = self._service.clock.now()
            yield check_age(subject, _newest(found), now=now, longest=longest, advice=advice, what="copy of a backup")

    def _of_place(
        self,
        subject: str,
        config: BackupConfig,
        opened: Callable[[], AbstractContextManager[OpenRepository]],
        cancel: CancelToken,
        *,
        look: Callable[[OpenRepository], None],
    ) -> list[HealthCheck]:
        """Reachability, key, and what the open repository itself shows."""
        checks: list[HealthCheck] = []
        try:
            with opened() as found:
                location = found.repository.backend.location
                checks.append(HealthCheck(subject, "reachable", FindingLevel.OK, location))
                checks.append(HealthCheck(subject, "key", FindingLevel.OK, f"it opens with {found.key.source}"))
                look(found)
                now = self._service.clock.now()
                checks += checks_of_repository(
                    subject, found.repository, configuration=config.name, now=now, cancel=cancel
                )
        except Cancelled:
            raise
        except NotARepository as error:
            advice = "make one (davault init), or look where it has gone"
            checks.append(HealthCheck(subject, "reachable", FindingLevel.ERROR, str(error), advice))
        except _KEY_FAULTS as error:
            advice = "without its key nobody can read a backup: bring the key back before anything happens"
            checks.append(HealthCheck(subject, "key", FindingLevel.ERROR, str(error), advice))
        except BackupError as error:
            advice = f"look at the server: davault client probe {config.target_client_id}"
            checks.append(HealthCheck(subject, "reachable", FindingLevel.ERROR, str(error), advice))
        return checks

    def _holds(self, config: BackupConfig) -> Iterator[HealthCheck]:
        held = self._service.catalogue.holds.listed(configuration=config.name, released=False)
        if held:
            message = f"{len(held)} runs looked wrong, so nothing is forgotten or pruned until somebody has looked"
            advice = f"look at them: davault hold list, then davault hold release {config.name}"
            yield HealthCheck(config.name, "hold", FindingLevel.WARNING, message, advice, value=float(len(held)))

    def _vanished(self, config: BackupConfig) -> Iterator[HealthCheck]:
        gone = Vanished(self._service).listed(config.name)
        if gone:
            message = f"{len(gone)} backups were on the server and are gone, and nobody recorded forgetting them"
            advice = f"change the account's password, and look: davault vanished {config.name}"
            yield HealthCheck(config.name, "vanished", FindingLevel.ERROR, message, advice, value=float(len(gone)))


def _newest(moments: Iterable[datetime]) -> datetime | None:
    newest = max(moments, default=None)
    return None if newest is None else to_aware(newest)
