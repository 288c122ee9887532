"""Clients of the home's own WebDAV server follow it when it has to answer at another port than before."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit, urlunsplit

from backup_core.config.home import Home
from backup_core.config.models import ClientConfig
from backup_core.config.secrets import resolve_secret
from backup_core.errors import ConfigError
from backup_core.services.application import open_application
from backup_core.types import Secret

_logger = logging.getLogger(__name__)


def follow_server(home: Home, url: str, *, username: str, password: Secret) -> list[str]:
    """Have the clients of the WebDAV server that answers at ``url`` look for it there; the names of those changed.

    They are known by the server's password, which nobody else has: another server may answer at the old address by now.
    """
    here, moved = urlsplit(url), []
    with open_application(home) as application:
        for client in application.list_clients():
            there = urlsplit(client.url)
            if there.hostname != here.hostname or there.port == here.port or client.username != username:
                continue
            if not _opens_with(client, password):
                continue
            application.edit_client(client.name, {"url": urlunsplit(there._replace(netloc=here.netloc))})
            _logger.warning(
                "the home's own WebDAV server has moved: client %s looks for it at %s now", client.name, url
            )
            moved.append(client.name)
    return moved


def _opens_with(client: ClientConfig, password: Secret) -> bool:
    if client.password is None:
        return False
    try:
        return resolve_secret(client.password, what=f"the password of {client.name}") == password
    except ConfigError:
        return False
