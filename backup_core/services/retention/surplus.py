"""Forgetting what the rules do not keep right after a backup, where the configuration wants that."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from backup_core.errors import BackupError
from backup_core.services.retention.policy import KeepRules

if TYPE_CHECKING:
    from backup_core.services.backup_service import BackupService
    from backup_core.services.repositories import OpenRepository

_LOG = logging.getLogger(__name__)


def retire_surplus(service: BackupService, opened: OpenRepository) -> tuple[str, ...]:
    """After a good backup: forget what the configuration's rules do not keep; sentences for people.

    That this fails (somebody else holds the repository, say) does not make the backup a failed one: the next run
    tries again.
    """
    config = opened.config
    rules = KeepRules.of(config)
    if not rules.given or not config.auto_delete_old:
        return ()
    # Imported late: a configuration without rules does without.
    from backup_core.services.retention.cleanup import carry_out, plan_cleanup

    try:
        policy = rules.policy()
        # By what is known here, so that a run with nothing to forget costs no request.
        if all(decision.keep for decision in plan_cleanup(service, opened, policy)):
            return ()
        _, forgotten = carry_out(service, opened, policy)
    except BackupError as error:
        _LOG.warning("old backups of %s stay for now: %s", config.name, error)
        return (f"old backups stay for now: {error}",)
    return (f"{len(forgotten)} old backups that no rule keeps were forgotten",) if forgotten else ()
