"""Which account on which server a client uses, so that two clients of one account are known to share its limits."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from backup_core.deferred import dataclass
from backup_core.storage.registry import WEBDAV_SCHEMES, scheme_of

if TYPE_CHECKING:
    from backup_core.config.clients import ClientConfig

_DEFAULT_PORTS = {"http": 80, "dav": 80, "webdav": 80, "https": 443, "davs": 443, "webdavs": 443}


@dataclass(frozen=True, slots=True)
class Account:
    """An account on a server."""

    key: str
    """A digest: user names do not belong into a table that only counts."""
    shown: str
    """For people."""


def account_of(client: ClientConfig) -> Account | None:
    """The account that a client uses; None for storage that has none (directories, memory, object stores).

    Server names and user names are compared without regard to case, and ports only where they are unusual: the
    paths of two clients do not matter, because a provider counts what the account does anywhere.
    """
    scheme = scheme_of(client.url)
    if scheme not in WEBDAV_SCHEMES:
        return None
    parts = urlsplit(client.url)
    host = (parts.hostname or "").rstrip(".").lower()
    default = _DEFAULT_PORTS[scheme]
    if (parts.port or default) != default:
        host = f"{host}:{parts.port}"
    user = client.username.strip().lower() or _token_reference(client)
    digest = hashlib.sha256(f"{host}\n{user}".encode()).hexdigest()
    return Account(digest[:24], f"{user} at {host}" if user else host)


def _token_reference(client: ClientConfig) -> str:
    """Where there is no name, the place that the token is kept in tells accounts apart."""
    return client.token if isinstance(client.token, str) else ""
