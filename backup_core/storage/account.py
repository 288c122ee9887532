"""What a backend is told of the account that it uses together with others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field

from backup_core.deferred import dataclass
from backup_core.storage.bandwidth import Throttles
from backup_core.storage.request_ledger import Priority, RequestLedger


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountUse:
    """The part of one backend in the use of an account. The default is being alone, without limits of one's own."""

    ledger: RequestLedger | None = None
    """The book of the account's window of requests, where the provider has one; None: nobody else uses it."""
    priority: Priority = Priority.RESTORE
    throttles: Throttles = field(default_factory=Throttles)
    on_bytes: Callable[[int, int], None] | None = None
    """Is told of bytes sent and received, for every slice of a transfer."""
