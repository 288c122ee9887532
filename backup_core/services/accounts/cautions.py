"""What has to be said about an account before work begins: that its month's traffic is, or will be, used up."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from backup_core.errors import QuotaExceeded
from backup_core.results import Problem, Severity
from backup_core.storage.request_ledger import Priority

if TYPE_CHECKING:
    from backup_core.config.models import BackupConfig
    from backup_core.services.webdav_service import WebDAVService

_LOG = logging.getLogger(__name__)
_WORTH_TELLING = 60.0
"""Seconds of waiting for windows."""


def refuse_without_traffic(webdav: WebDAVService, config: BackupConfig) -> None:
    """Raise ``QuotaExceeded`` when the account that a configuration stores at may send nothing more in this month.

    A backup would find that out in the middle, after reading all files.
    """
    client = webdav.stored(config.target_client_id)
    left = webdav.accounts.traffic_left(client)
    if left.up is not None and left.up <= 0 and left.resets_at is not None:
        raise QuotaExceeded(
            f"the account of client {client.name!r} has used up its upload traffic of {left.month}; it begins anew on "
            f"{left.resets_at:%Y-%m-%d} (UTC). If the provider allows more: davault client edit --monthly-upload"
        )


def account_cautions(
    webdav: WebDAVService,
    config: BackupConfig,
    *,
    requests: int = 0,
    bytes_up: int = 0,
    bytes_down: int = 0,
    priority: Priority = Priority.BACKUP,
) -> tuple[Problem, ...]:
    """Hints about work that needs so much of a configuration's account: more than its traffic allows, or a long wait.

    They are also written to the log, so that they are seen before the work begins. Nothing is refused: a restore that
    gets half of the files is better than none, and the provider alone knows what it really allows.
    """
    client = webdav.stored(config.target_client_id)
    found = webdav.accounts.forecast(
        client, requests=requests, bytes_up=bytes_up, bytes_down=bytes_down, priority=priority
    )
    needs, *shortfalls = found.sentences()
    told = [*([needs] if found.waiting_seconds >= _WORTH_TELLING else []), *shortfalls]
    for sentence in told:
        _LOG.warning("%s", sentence)
    return tuple(Problem("account-limits", sentence, severity=Severity.HINT) for sentence in told)
