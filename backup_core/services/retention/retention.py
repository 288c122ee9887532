"""Retention as one object: cleanups, forgetting by name, pruning, pins and holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from backup_core.errors import ConfigError
from backup_core.progress import CancelToken, ProgressSink, ProgressTracker, no_progress
from backup_core.services.records import BackupManifest
from backup_core.services.repositories import OpenRepository
from backup_core.services.retention.cleanup import carry_out, forget, plan_cleanup
from backup_core.services.retention.holds import Holds, open_holds, refuse_while_held
from backup_core.services.retention.pins import Pins, noted_elsewhere
from backup_core.services.retention.policy import KeepRules
from backup_core.services.retention.records import CleanupResult
from backup_core.services.retention.work_record import recorded
from backup_core.services.run_records.keeper import RecordKeeper

if TYPE_CHECKING:
    from backup_core.services.backup_service import BackupService
    from backup_core.services.retention.pruning import PruneLimits, PruneResult


class Retention:
    """What is kept and what goes."""

    def __init__(self, service: BackupService) -> None:
        self._service = service

    @cached_property
    def pins(self) -> Pins:
        """Backups that stay whatever the rules say."""
        return Pins(self._service)

    @cached_property
    def holds(self) -> Holds:
        """Runs that looked wrong, and the cleanups that wait until a person has looked."""
        return Holds(self._service)

    def rules(self, config_name: str, wanted: KeepRules | None = None) -> KeepRules:
        """The rules to use: those wanted, or when they name none, those of the configuration."""
        own = KeepRules.of(self._service.configurations.stored(config_name))
        if wanted is None:
            return own
        return wanted if wanted.given else own.with_at_least(wanted.at_least)

    def plan(
        self,
        config_name: str,
        wanted: KeepRules | None = None,
        *,
        prune: PruneLimits | None = None,
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
    ) -> CleanupResult:
        """What ``cleanup`` with the same arguments would do, and why; nothing is changed. What pruning would give back
        is told as things are now, with all backups still there."""
        service = self._service
        policy = self.rules(config_name, wanted).policy()
        begun = service.clock.monotonic()
        tracker = ProgressTracker(progress, clock=service.clock)
        with service.opened(config_name, tracker=tracker, cancel=cancel) as opened:
            pins, holds = noted_elsewhere(service, opened)
            decisions = plan_cleanup(service, opened, policy, elsewhere=pins)
            waiting = open_holds(service, config_name, opened.repository.id, elsewhere=holds)
            requests = _requests(opened)
        pruned = None
        if prune is not None:
            pruned = self.prune(config_name, prune, dry_run=True, cancel=cancel, progress=progress)
        return CleanupResult(
            config_name,
            dry_run=True,
            decisions=tuple(decisions),
            holds=tuple(waiting),
            pruned=pruned,
            requests=_sum(requests, pruned),
            seconds=service.clock.monotonic() - begun,
        )

    def cleanup(
        self,
        config_name: str,
        wanted: KeepRules | None = None,
        *,
        only: Collection[str] | None = None,
        prune: PruneLimits | None = None,
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
    ) -> CleanupResult:
        """Forget what no rule keeps, and then prune if asked to. Without ``wanted`` the configuration's rules count.

        With ``only`` (snapshot ids) nothing else goes: what a person agreed to. Raises ``ConfigError`` (no rule, a
        number that is too small), ``CleanupHeld``, ``LockHeld``, ``ListingUnproved``, and what pruning raises.
        """
        service = self._service
        policy = self.rules(config_name, wanted).policy()
        begun = service.clock.monotonic()
        tracker = ProgressTracker(progress, clock=service.clock)
        agreed = None if only is None else frozenset(only)
        with recorded(service, "cleanup", config_name) as record:
            with service.opened(config_name, tracker=tracker, cancel=cancel) as opened:
                decisions, forgotten = carry_out(service, opened, policy, only=agreed, cancel=cancel)
                self._tell_others(opened, forgotten)
                requests = _requests(opened)
            record.requests = dict(requests)
            record.figures = {
                "backups": len(decisions),
                "forgotten": len(forgotten),
                "backup_ids": [backup.backup_id for backup in forgotten],
            }
        pruned = None
        if prune is not None:
            pruned = self.prune(config_name, prune, cancel=cancel, progress=progress)
        return CleanupResult(
            config_name,
            dry_run=False,
            decisions=tuple(decisions),
            forgotten=tuple(forgotten),
            pruned=pruned,
            requests=_sum(requests, pruned),
            seconds=service.clock.monotonic() - begun,
        )

    def forget(
        self, backup_ids: Sequence[str], *, dry_run: bool = False, cancel: CancelToken | None = None
    ) -> list[BackupManifest]:
        """Forget these backups (by id, or 8 or more digits of the snapshot's id); what is gone, or would be.

        Refused as a whole (``ConfigError``) when one is unknown or pinned, the last of its configuration, or the last
        one of it that was validated; ``CleanupHeld`` while its configuration is held.
        """
        by_config: dict[str, dict[str, BackupManifest]] = defaultdict(dict)
        for wanted in backup_ids:
            backup = self._service.manifest(wanted)
            by_config[self._service.known.configuration_of(backup)][backup.snapshot_id] = backup
        chosen = {digits for backups in by_config.values() for digits in backups}
        for config_name in by_config:
            self._forget(config_name, chosen, dry_run=True, cancel=cancel)
        if dry_run:
            return [backup for backups in by_config.values() for backup in backups.values()]
        return [b for name in by_config for b in self._forget(name, chosen, dry_run=False, cancel=cancel)]

    def prune(
        self,
        config_name: str,
        limits: PruneLimits | None = None,
        *,
        dry_run: bool = False,
        cancel: CancelToken | None = None,
        progress: ProgressSink = no_progress,
    ) -> PruneResult:
        """Remove data that no backup needs any more from the repository of a configuration, within ``limits``.

        Raises ``LockHeld``, ``CleanupHeld``, and ``ListingUnproved``, ``IndexIncomplete``, ``BlobMissing`` or
        ``Corrupt`` when it is not certain what is needed. Nothing needed is ever removed; data proved to be superfluous
        before a damaged blob was met may be gone by then.
        """
        from backup_core.services.retention.pruning import PruneLimits, prune_repository

        return prune_repository(
            self._service, config_name, limits or PruneLimits(), dry_run=dry_run, cancel=cancel, progress=progress
        )

    # ---- inside

    def _forget(
        self, config_name: str, chosen: Collection[str], *, dry_run: bool, cancel: CancelToken | None
    ) -> list[BackupManifest]:
        service = self._service
        with service.opened(config_name, cancel=cancel) as opened:
            if dry_run:
                return self._checked(opened, chosen)
            with (
                recorded(service, "cleanup", config_name) as record,
                opened.repository.lock(exclusive=True, cancel=cancel),
            ):
                service.known.mirror(opened, strict=True)
                backups = self._checked(opened, chosen)
                record.figures = {"forgotten": len(backups), "backup_ids": [b.backup_id for b in backups]}
                forget(service, opened, backups, reasons={b.snapshot_id: "by hand" for b in backups}, cancel=cancel)
                self._tell_others(opened, backups)
                record.requests = _requests(opened)
        return backups

    def _tell_others(self, opened: OpenRepository, forgotten: Collection[BackupManifest]) -> None:
        """Let other installations know that nobody stole these; that it fails is told in the log only."""
        if forgotten:
            RecordKeeper(self._service).keep(opened)

    def _checked(self, opened: OpenRepository, chosen: Collection[str]) -> list[BackupManifest]:
        """Those of the chosen that lie in this repository. Raises when one of them must stay."""
        service = self._service
        here = service.known.of_repository(opened.repository.id)
        pins, holds = noted_elsewhere(service, opened)
        pinned = self.pins.reasons(opened.repository.id, pins)
        sound = service.catalogue.history.sound()
        wanted = [backup for backup in here if backup.snapshot_id in chosen]
        refuse_while_held(
            service, opened.repository.id, sorted({backup.config_name for backup in wanted}), elsewhere=holds
        )
        problems = [
            f"{b.backup_id} is pinned ({pinned[b.snapshot_id]}); first: davault pin remove {b.backup_id}"
            for b in wanted
            if b.snapshot_id in pinned
        ]
        for name in dict.fromkeys(backup.config_name for backup in wanted):
            family = [backup for backup in here if backup.config_name == name]
            left = [backup for backup in family if backup.snapshot_id not in chosen]
            of = f"of {name!r}" if name else "that other programs made"
            if not left:
                problems.append(f"no backup {of} would be left")
            elif {b.snapshot_id for b in family} & sound and not {b.snapshot_id for b in left} & sound:
                problems.append(f"no backup {of} that was validated would be left; validate one that stays first")
        if problems:
            raise ConfigError("nothing was forgotten", problems=problems)
        return wanted


def _requests(opened: OpenRepository) -> dict[str, int]:
    return dict(opened.repository.backend.requests.by_method)


def _sum(requests: Mapping[str, int], pruned: PruneResult | None) -> dict[str, int]:
    more = {} if pruned is None else pruned.requests
    return {method: requests.get(method, 0) + more.get(method, 0) for method in sorted({*requests, *more})}
