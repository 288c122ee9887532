"""Forgetting old backups: the plan first, then the removal of their snapshots under an exclusive lock.

Rules are applied to each machine's backups on their own, so that two machines which share a configuration's name and
repository do not push each other's backups out. Data that no snapshot needs any more stays on the server until the
repository is pruned (``pruning``).
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from backup_core.errors import CleanupHeld
from backup_core.format.retention import Candidate, RetentionPolicy, decide
from backup_core.progress import CancelToken
from backup_core.services.moments import to_aware
from backup_core.services.records import BackupManifest
from backup_core.services.repositories import OpenRepository
from backup_core.services.retention.holds import held_message, open_holds
from backup_core.services.retention.pins import Pins, noted_elsewhere
from backup_core.services.retention.records import CleanupDecision
from backup_core.services.vanished import record_forgotten
from backup_core.types import SnapshotId

if TYPE_CHECKING:
    from backup_core.catalogue.retention_rows import PinRow
    from backup_core.services.backup_service import BackupService

_LOG = logging.getLogger(__name__)


def plan_cleanup(
    service: BackupService, opened: OpenRepository, policy: RetentionPolicy, *, elsewhere: Sequence[PinRow] = ()
) -> list[CleanupDecision]:
    """What the policy says of the backups of the open configuration, newest first, as last listed.

    ``elsewhere`` are pins that other installations made. Raises ``ConfigError`` for a policy without rules.
    """
    pinned = Pins(service).reasons(opened.repository.id, elsewhere)
    sound = service.catalogue.history.sound()
    backups = {backup.snapshot_id: backup for backup in service.known.in_repository(opened)}
    by_host: dict[str, list[Candidate]] = defaultdict(list)
    for backup in backups.values():
        by_host[backup.hostname].append(
            Candidate(
                id=backup.snapshot_id,
                time=to_aware(backup.created_at),
                tags=frozenset(backup.tags),
                pinned=pinned.get(backup.snapshot_id, ""),
                validated=backup.snapshot_id in sound,
            )
        )
    now = service.clock.now()
    decided = {d.candidate.id: d for candidates in by_host.values() for d in decide(candidates, policy, now=now)}
    if not decided:
        decide((), policy, now=now)  # a policy without rules is refused even where there is nothing yet
    return [CleanupDecision(b, decided[b.snapshot_id].keep, decided[b.snapshot_id].reasons) for b in backups.values()]


def forget(
    service: BackupService,
    opened: OpenRepository,
    backups: Sequence[BackupManifest],
    *,
    reasons: Mapping[str, str] = MappingProxyType({}),
    cancel: CancelToken | None = None,
) -> None:
    """Remove the snapshots of these backups. ``reasons``: snapshot id -> why, for whoever asks later.

    Raises ``LockHeld`` when somebody is using the repository.
    """
    if not backups:
        return
    repository = opened.repository
    with repository.lock(exclusive=True, cancel=cancel) as lock:
        for backup in backups:
            if cancel is not None:
                cancel.check()
            lock.ensure_held()
            # First the word, then the deed: a snapshot that goes without a word counts as stolen.
            record_forgotten(service, [backup.snapshot_id], reason=reasons.get(backup.snapshot_id, ""))
            repository.remove_snapshot(SnapshotId(backup.snapshot_id))
            service.catalogue.manifests.remove([backup.snapshot_id])
            _LOG.info("forgot the backup %s", backup.backup_id)


def carry_out(
    service: BackupService,
    opened: OpenRepository,
    policy: RetentionPolicy,
    *,
    only: frozenset[str] | None = None,
    cancel: CancelToken | None = None,
) -> tuple[list[CleanupDecision], list[BackupManifest]]:
    """Decide and forget, all under one exclusive lock: (every decision, what was forgotten).

    With ``only``, nothing but these snapshots goes, whatever has changed since somebody agreed to them. Raises
    ``CleanupHeld``, ``LockHeld``, ``ListingUnproved`` (what is removed must follow from a proved listing).
    """
    with opened.repository.lock(exclusive=True, cancel=cancel):
        service.known.mirror(opened, strict=True)
        pins, holds = noted_elsewhere(service, opened)
        waiting = open_holds(service, opened.config.name, opened.repository.id, elsewhere=holds)
        if waiting:
            raise CleanupHeld(held_message(opened.config.name, waiting))
        decisions = plan_cleanup(service, opened, policy, elsewhere=pins)
        surplus = [d.backup for d in decisions if not d.keep and (only is None or d.backup.snapshot_id in only)]
        why = {d.backup.snapshot_id: "; ".join(d.reasons) for d in decisions}
        forget(service, opened, surplus, reasons=why, cancel=cancel)
    return decisions, surplus
