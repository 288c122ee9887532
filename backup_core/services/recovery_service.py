"""Getting things back: recovery points, restores in the background, disaster recovery."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backup_core.errors import ConfigError
from backup_core.services.backup_service import BackupService
from backup_core.services.mirroring.fallback import Fallback
from backup_core.services.moments import to_aware, to_local
from backup_core.services.records import BackupManifest
from backup_core.services.recovery_executor import RecoveryExecutor
from backup_core.services.recovery_records import DisasterRecoveryPlan, RecoveryPoint, RecoveryProgress, RecoveryStatus
from backup_core.services.restore_sessions import RestoreRequest
from backup_core.services.snapshot_facts import recovery_point

if TYPE_CHECKING:
    from backup_core.services.dr_manager import DisasterRecoveryManager
    from backup_core.services.restoring.browsing import Browser
    from backup_core.services.restoring.consistent_set import ConsistentSets
    from backup_core.services.restoring.single_files import SingleFiles

__all__ = [
    "DisasterRecoveryPlan",
    "RecoveryPoint",
    "RecoveryProgress",
    "RecoveryService",
    "RecoveryStatus",
    "create_recovery_service",
]


def create_recovery_service(backup_service: BackupService) -> RecoveryService:
    """A recovery service for the backups that ``backup_service`` knows."""
    return RecoveryService(backup_service)


class RecoveryService:
    """Finds backups to go back to and restores them.

    Restores run in the background as sessions, which can be watched and stopped from any process.
    """

    def __init__(self, backup_service: BackupService) -> None:
        self.backup_service = backup_service
        self.executor = RecoveryExecutor(backup_service)

    @cached_property
    def disaster_recovery(self) -> DisasterRecoveryManager:
        """Plans for restoring several configurations; loaded when first used, since a restore needs none."""
        from backup_core.services.dr_manager import DisasterRecoveryManager

        return DisasterRecoveryManager(self)

    @cached_property
    def single_files(self) -> SingleFiles:
        """Writes single files of backups to streams."""
        from backup_core.services.restoring.single_files import SingleFiles

        return SingleFiles(self)

    @cached_property
    def sets(self) -> ConsistentSets:
        """Restores several configurations as they were at one moment."""
        from backup_core.services.restoring.consistent_set import ConsistentSets

        return ConsistentSets(self)

    @cached_property
    def browser(self) -> Browser:
        """Shows backups to file managers."""
        from backup_core.services.restoring.browsing import Browser  # the server's packages are for those who browse

        return Browser(self)

    @property
    def fallback(self) -> Fallback:
        """Opens a backup in whichever copy can be had."""
        return self.executor.fallback

    # ---- recovery points

    def list_recovery_points(self, config_name: str | None = None, days: int | None = None) -> list[RecoveryPoint]:
        """The backups of a configuration (or of all), newest first; with ``days``, those of the last so many."""
        if days is not None and days < 0:
            raise ConfigError("days must not be negative")
        points = [recovery_point(m) for m in self.backup_service.manifests(config_name)]
        if days is None:
            return points
        oldest = to_local(self.backup_service.clock.now()) - timedelta(days=days)
        return [point for point in points if point.created_at >= oldest]

    def get_recovery_point(self, backup_id: str) -> RecoveryPoint | None:
        """One backup, None when there is none of this id."""
        try:
            return recovery_point(self.backup_service.manifest(backup_id))
        except ConfigError:
            return None

    def find_point_in_time(self, config_name: str, target_time: datetime) -> RecoveryPoint | None:
        """The newest backup at or before ``target_time`` (naive: local time), None when all are later."""
        found = self._at_or_before(self.backup_service.manifests(config_name), target_time)
        return None if found is None else recovery_point(found)

    # ---- restoring

    def one_click_restore(
        self,
        config_name: str,
        target_path: str | Path,
        point_in_time: datetime | None = None,
        *,
        verify: bool = True,
    ) -> str:
        """Restore the newest backup of a configuration - or the newest one at or before ``point_in_time`` (naive: local
        time) - into ``target_path``, in the background; the session's id.

        What is at the target already and differs is replaced, other files stay. ``verify`` reads everything back from
        disk. Raises ``ConfigError`` at once when there is no such backup.
        """
        request = self.request(config_name, at=point_in_time, target=Path(target_path), verify=verify)
        return self.executor.start([request])[0]

    def selective_restore(
        self,
        backup_id: str,
        target_path: str | Path,
        file_patterns: Sequence[str],
        *,
        verify: bool = True,
    ) -> str:
        """Restore what matches any of ``file_patterns`` (``*.pdf`` at any depth, ``projects/one/*`` below any source)
        from one backup into ``target_path``, in the background; the session's id. Raises ``ConfigError`` at once when
        there is no such backup or a pattern is broken."""
        from backup_core.engine.filters import Patterns

        if isinstance(file_patterns, str) or not file_patterns:
            raise ConfigError(
                "file_patterns must be a list of one pattern or more; one_click_restore restores everything"
            )
        Patterns(file_patterns, ())
        request = self.request(
            backup_id=backup_id, target=Path(target_path), patterns=tuple(file_patterns), verify=verify
        )
        return self.executor.start([request])[0]

    def get_recovery_progress(self, session_id: str) -> RecoveryProgress | None:
        """How far a restore is, from any process; None when there is none of this id."""
        return self.executor.progress(session_id)

    def cancel_recovery(self, session_id: str) -> bool:
        """Ask a restore to stop, from any process; False when it is unknown or has ended. Whole files stay."""
        return self.executor.cancel(session_id)

    def list_sessions(self, *, limit: int = 50) -> list[RecoveryProgress]:
        """Restores of the past and present, newest first."""
        rows = self.backup_service.catalogue.restores.listed(limit=limit)
        return [found for row in rows if (found := self.executor.progress(row.session_id)) is not None]

    # ---- disaster recovery

    def create_disaster_recovery_plan(
        self,
        name: str,
        recovery_order: Sequence[str],
        target_base_path: str | Path,
        description: str = "",
        *,
        auto_verify: bool = True,
        notification_email: str | None = None,
    ) -> str:
        """Keep a plan that restores configurations in this order, each below ``target_base_path``; its id."""
        return self.disaster_recovery.create(
            name,
            recovery_order,
            str(target_base_path),
            description=description,
            auto_verify=auto_verify,
            notification_email=notification_email or "",
        )

    def list_disaster_recovery_plans(self) -> list[DisasterRecoveryPlan]:
        """All plans, oldest first."""
        return self.disaster_recovery.listed()

    def test_disaster_recovery_plan(self, plan_id: str) -> dict[str, Any]:
        """Whether the plan could be executed now, without moving data; keys in ``DisasterRecoveryManager.test``."""
        return self.disaster_recovery.test(plan_id)

    def execute_disaster_recovery(self, plan_id: str) -> dict[str, str]:
        """Start the plan's restores in the background: configuration -> session id, in the plan's order."""
        return self.disaster_recovery.execute(plan_id)

    # ---- choosing

    def request(
        self,
        config_name: str | None = None,
        *,
        target: Path | None,
        backup_id: str | None = None,
        at: datetime | None = None,
        patterns: Sequence[str] = (),
        exclude: Sequence[str] = (),
        listed: Sequence[bytes] | None = None,
        case_insensitive: bool = False,
        overwrite: str = "if-changed",
        delete: bool = False,
        verify: bool = False,
        plan_id: str = "",
    ) -> RestoreRequest:
        """A restore of the backup ``backup_id``, or of the newest one of a configuration (at or before ``at``), to
        where everything was when ``target`` is None.

        The server is asked what the newest one is. Raises ``ConfigError`` when there is no such backup.
        """
        backup = self.chosen(config_name, backup_id, at)
        opened_by = self.backup_service.known.configuration_of(backup)
        if target is None and delete:
            # What the configuration leaves out was never in the backup, and must not go for that reason.
            patterns, exclude = self._protected(opened_by, patterns, exclude)
        return RestoreRequest(
            backup=backup,
            opened_by=opened_by,
            target=Path("/") if target is None else target.expanduser().absolute(),
            in_place=target is None,
            patterns=tuple(patterns),
            exclude=tuple(exclude),
            listed=None if listed is None else tuple(listed),
            case_insensitive=case_insensitive,
            overwrite=overwrite,
            delete=delete,
            verify=verify,
            plan_id=plan_id,
        )

    def _protected(
        self, config_name: str, patterns: Sequence[str], exclude: Sequence[str]
    ) -> tuple[Sequence[str], Sequence[str]]:
        config = self.backup_service.configurations.stored(config_name)
        return patterns or config.include_patterns, [*config.exclude_patterns, *exclude]

    def chosen(self, config_name: str | None, backup_id: str | None, at: datetime | None = None) -> BackupManifest:
        """The backup of this id, or the newest one of a configuration at or before ``at``; ``ConfigError`` if none."""
        if (config_name is None) == (backup_id is None):
            raise ConfigError("say what to restore: a configuration, or a backup id")
        if backup_id is not None:
            return self._named(backup_id)
        backups = self._listed(str(config_name)) or self._by_other_programs(str(config_name))
        if not backups:
            raise ConfigError(f"there is no backup of {config_name!r} yet")
        found = backups[0] if at is None else self._at_or_before(backups, at)
        if found is None:
            oldest = backups[-1].created_at
            raise ConfigError(
                f"the oldest backup of {config_name!r} is of {oldest:%Y-%m-%d %H:%M:%S}, after the time asked for"
            )
        return found

    def _listed(self, config_name: str) -> list[BackupManifest]:
        config = self.backup_service.configurations.stored(config_name)
        if config.mirrors:
            return self.fallback.listed(config)
        return self.backup_service.known.to_choose_from(config_name)

    def _by_other_programs(self, config_name: str) -> list[BackupManifest]:
        """Backups of just the configuration's sources that another program made in its repository, newest first."""
        sources = set(self.backup_service.configurations.stored(config_name).source_paths)
        found = self.backup_service.manifests(config_name, foreign=True)
        return [backup for backup in found if not backup.config_name and set(backup.paths) == sources]

    def _named(self, backup_id: str) -> BackupManifest:
        try:
            return self.backup_service.manifest(backup_id)
        except ConfigError:
            for config in self.backup_service.configurations.all_stored():
                for backup in self.fallback.backups_on_mirrors(config):
                    if backup_id in (backup.backup_id, backup.snapshot_id):
                        return backup
            raise

    @staticmethod
    def _at_or_before(backups: Sequence[BackupManifest], moment: datetime) -> BackupManifest | None:
        limit = to_local(to_aware(moment))
        return next((b for b in backups if b.created_at <= limit), None)
