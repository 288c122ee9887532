"""Secrets kept as blocks of the Prefect server, and how a configuration refers to them.

    prefect:NAME        the block NAME, of whichever of the kinds below it is
    prefect:KIND/NAME   the same, where two kinds have a block of that name

The kinds are ``davault-webdav-credentials``, ``davault-repository-key`` and Prefect's own ``secret``. The server keeps
their secret fields encrypted and shows them as asterisks. References are resolved wherever flows run; the command line
knows nothing of a Prefect server, and says so.

    python -m deployments.register     makes the two kinds known, so that blocks can be made in the UI as well
"""

from __future__ import annotations

from typing import Any

from prefect import get_client
from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound
from pydantic import Field, SecretStr

from backup_core.config.models import ClientConfig
from backup_core.errors import ConfigError


class WebDAVCredentials(Block):
    """An account on a WebDAV server."""

    _block_type_name = "Davault WebDAV credentials"
    _block_type_slug = "davault-webdav-credentials"
    _description = "The password or token of a WebDAV account that backups are stored at."

    url: str = Field(default="", description="Address of the folder that backups may be stored in.")
    username: str = Field(default="", description="Name of the account.")
    password: SecretStr = Field(description="Password, application password or bearer token.")
    service_type: str = Field(default="generic", description="generic, nutstore, nextcloud, owncloud, synology …")

    def client(self, name: str) -> ClientConfig:
        """A client for this account that refers to this block, which must have been saved. Raises ``ConfigError``."""
        if not self._block_document_name:
            raise ConfigError("save the block first: a client refers to it by its name")
        return ClientConfig(
            name=name,
            url=self.url,
            username=self.username,
            password=f"prefect:{self._block_type_slug}/{self._block_document_name}",
            service_type=self.service_type,
        )


class RepositoryKey(Block):
    """The key of a repository."""

    _block_type_name = "Davault repository key"
    _block_type_slug = "davault-repository-key"
    _description = (
        "The key (password) of a backup repository. Whoever loses it loses the backups: keep a copy elsewhere."
    )

    key: SecretStr = Field(description="The key.")


KINDS: tuple[type[WebDAVCredentials] | type[RepositoryKey], ...] = (WebDAVCredentials, RepositoryKey)
_FIELDS = {"davault-webdav-credentials": "password", "davault-repository-key": "key", "secret": "value"}
"""The secret field of each kind."""


def register_kinds() -> None:
    """Make the kinds of blocks known to the server, or bring them up to date."""
    for kind in KINDS:
        kind.register_type_and_schema()


def secret_of_block(reference: str) -> str:
    """The secret that ``NAME`` or ``KIND/NAME`` refers to. Raises ``ConfigError`` saying why it cannot be had."""
    kind, given, name = reference.rpartition("/")
    if given and kind not in _FIELDS:
        raise ConfigError(
            f"there is no kind of block {kind!r}; write prefect:NAME, or one of {', '.join(_FIELDS)}/NAME"
        )
    try:
        with get_client(sync_client=True) as client:
            found = {k: data for k in ([kind] if given else _FIELDS) if (data := _data(client, k, name)) is not None}
    except Exception as error:  # the client also lets through whatever its HTTP library raises
        raise ConfigError(f"the Prefect server cannot be asked: {error}") from error
    if len(found) > 1:
        ways = " or ".join(f"prefect:{each}/{name}" for each in found)
        raise ConfigError(f"there are several blocks {name!r}: write {ways}")
    for each, data in found.items():
        return _text(data.get(_FIELDS[each]))
    raise ConfigError(
        f"the Prefect server has no block {name!r} of the kinds {', '.join([kind] if given else _FIELDS)}"
    )


def _data(client: SyncPrefectClient, kind: str, name: str) -> dict[str, Any] | None:
    try:
        return client.read_block_document_by_name(name, kind, include_secrets=True).data
    except ObjectNotFound:
        return None


def _text(value: object) -> str:
    """Prefect's secret block may hold any JSON value; only text can be a password."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, str):
        return value
    raise ConfigError("the block holds no text")
