"""The accounts on servers: what is known of them, how to reach them, and whether they answer."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from backup_core.clock import Clock, SystemClock
from backup_core.config.home import Home
from backup_core.config.secrets import IN_MEMORY, parse_secret
from backup_core.config.stored import SECRETS, stored_client
from backup_core.deferred import dataclass
from backup_core.errors import BackupError, ConfigError
from backup_core.progress import CancelToken
from backup_core.services.accounts.accounts import Accounts
from backup_core.services.accounts.options import backend_options, secret_of
from backup_core.services.private_files import write_private_file
from backup_core.storage.request_ledger import Priority
from backup_core.types import Secret

if TYPE_CHECKING:
    from backup_core.catalogue.catalogue import Catalogue
    from backup_core.config.models import ClientConfig
    from backup_core.services.findings import ProbeResult
    from backup_core.storage.backend import Backend, Space
    from backup_core.storage.options import BackendOptions

_PROBE_PATIENCE = 3.0
"""Seconds: whoever probes wants to know how the server answers now."""


@dataclass(frozen=True)
class WebDAVCredentials:
    """An account on a server."""

    username: str
    password: str | Secret | None
    """The password, kept in memory only, or a reference such as ``env:NAME`` (see ``config.secrets``)."""
    url: str
    service_type: str = "generic"
    """"generic", "nutstore", "nextcloud", "owncloud", "synology"."""
    verify: bool = True
    """Check the server's certificate."""
    ca_bundle: str | None = None
    allow_insecure: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.password, str) and self.password:
            object.__setattr__(self, "password", parse_secret(self.password))

    def __repr__(self) -> str:
        return f"WebDAVCredentials(username={self.username!r}, url={self.url!r}, service_type={self.service_type!r})"


class WebDAVService:
    """The clients by name. Alone it keeps them in memory; attached to a catalogue (``create_backup_manager`` does it)
    it remembers them there, without their passwords."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._clients: dict[str, ClientConfig] = {}
        self._catalogue: Catalogue | None = None
        self._home: Home | None = None
        self.accounts = Accounts(self._clock)
        """The limits of the accounts that the clients use."""

    def attach(self, catalogue: Catalogue, home: Home) -> None:
        """Remember the clients given so far, and all later ones, in ``catalogue``."""
        self._catalogue, self._home = catalogue, home
        self.accounts = Accounts(self._clock, tables=catalogue.accounts)
        for client in self._clients.values():
            self._store(client)

    # ---- the original system's calls

    def add_client(self, client_id: str, credentials: WebDAVCredentials) -> bool:
        """Add or replace a client; True. Nothing is sent to its server (see ``test_connection``).

        Raises ``ConfigError`` when something about it is wrong.
        """
        from backup_core.config.models import ClientConfig

        said: dict[str, Any] = {
            "url": credentials.url,
            "username": credentials.username,
            "password": credentials.password,
            "service_type": credentials.service_type,
            "verify": credentials.verify,
            "ca_bundle": credentials.ca_bundle,
            "allow_insecure": credentials.allow_insecure,
        }
        known = self._find(client_id)
        if known is not None and (known.url, known.username) == (credentials.url, credentials.username):
            # A script that says this much at every start must not undo the limits that were set for the account.
            kept = {field: getattr(known, field) for field in ClientConfig.model_fields}
            self.register(ClientConfig(**{**kept, **said}), replace=True)
        else:
            self.register(ClientConfig(name=client_id, **said), replace=True)
        return True

    def get_client(self, client_id: str) -> WebDAVCredentials | None:
        """What is known of a client, None when there is none of this name."""
        client = self._find(client_id)
        if client is None:
            return None
        return WebDAVCredentials(
            username=client.username,
            password=client.password,
            url=client.url,
            service_type=client.service_type,
            verify=client.verify,
            ca_bundle=client.ca_bundle,
            allow_insecure=client.allow_insecure,
        )

    def list_clients(self) -> list[str]:
        """Names of all clients, sorted."""
        return [client.name for client in self.configurations()]

    def remove_client(self, client_id: str) -> bool:
        """Forget a client; False when it was unknown. ``ConfigError`` when a configuration still uses it."""
        if not self.knows(client_id):
            return False
        self.forget(client_id)
        return True

    def test_connection(self, client_id: str) -> bool:
        """True when the client's server answers and lets us in; ``probe`` also says why not."""
        return self.probe(client_id).reachable

    # ---- for the other services

    def register(self, client: ClientConfig, *, remember: Secret | None = None, replace: bool = False) -> None:
        """Add a client. ``remember`` is a password to be kept in a 0600 file of the home.

        Raises ``ConfigError`` when the name is taken and ``replace`` is not set.
        """
        if not replace and self.knows(client.name):
            raise ConfigError(f"there is a client {client.name!r} already; replacing it must be asked for")
        if remember is not None:
            client = client.model_copy(update={"password": self._remember(client.name, remember)})
        self._clients[client.name] = client
        self._store(client)

    def edit(self, name: str, changes: Mapping[str, Any], *, reset: Iterable[str] = ()) -> ClientConfig:
        """Change some fields of a client, and put those named in ``reset`` back to their defaults; the changed client.

        Raises ``ConfigError`` when there is no such client or field, or the result makes no sense.
        """
        from backup_core.config.models import ClientConfig

        client = self.configuration(name)
        unknown = [field for field in reset if field not in ClientConfig.model_fields or field in ("name", "url")]
        if unknown:
            raise ConfigError(f"these cannot be reset: {', '.join(unknown)}")
        if "name" in changes:
            raise ConfigError("a client keeps its name; add another one")
        kept = {field: getattr(client, field) for field in ClientConfig.model_fields if field not in set(reset)}
        self.register(ClientConfig(**{**kept, **changes}), replace=True)
        return self.configuration(name)

    def knows(self, name: str) -> bool:
        """True when there is a client of this name."""
        return (self._record(name) if self._catalogue is not None else self._find(name)) is not None

    def configuration(self, name: str) -> ClientConfig:
        """One client; ``ConfigError`` when there is none of this name."""
        found = self._find(name)
        if found is None:
            known = self.list_clients()
            raise ConfigError(f"there is no client {name!r}" + (f"; there are: {', '.join(known)}" if known else ""))
        return found

    def configurations(self) -> list[ClientConfig]:
        """All clients, by name."""
        return [client for name in self._names() if (client := self._find(name)) is not None]

    def stored(self, name: str) -> ClientConfig:
        """One client as it was stored, for work that only reads it (``config.stored``); ``ConfigError`` when there is
        none of this name."""
        record = self._record(name)
        return self.configuration(name) if record is None else stored_client(record)

    def all_stored(self) -> list[ClientConfig]:
        """All clients in the same manner, by name."""
        return [self.stored(name) for name in self._names() if self.knows(name)]

    def forget(self, name: str) -> None:
        """Forget a client and its remembered password; ``ConfigError`` when unknown, or used by a configuration."""
        name = self.configuration(name).name
        if self._catalogue is not None:
            used_by = [row.name for row in self._catalogue.setups.configurations() if row.client == name]
            if used_by:
                raise ConfigError(f"the client {name!r} is still used by: {', '.join(used_by)}")
            self._catalogue.setups.remove_client(name)
        self._clients.pop(name, None)
        if self._home is not None:
            self._home.password_file(name).unlink(missing_ok=True)

    def probe(self, name: str) -> ProbeResult:
        """Ask a client's server for its root and its room. Nothing is written; a refusal is a result, not an error."""
        from backup_core.services.findings import ProbeResult

        client = self.configuration(name)
        begun = self._clock.monotonic()
        try:
            with self.opened(name, patience=_PROBE_PATIENCE) as backend:
                listing = backend.list("")
                seconds = self._clock.monotonic() - begun
                space = backend.space()
            self.note_space(name, space)
        except BackupError as error:
            seconds = self._clock.monotonic() - begun
            return ProbeResult(name, client.url, reachable=False, seconds=seconds, error=str(error))
        checks = {
            "login": "ok",
            "folder": "ok" if listing.exists else "there is no such folder; it is made when needed",
            "listing": "ok" if listing.proved_complete else listing.doubt,
        }
        return ProbeResult(
            name,
            client.url,
            reachable=True,
            seconds=seconds,
            used=space.used,
            available=space.available,
            checks=checks,
        )

    def note_space(self, name: str, space: Space) -> None:
        """Keep what a client's server said of its room, for the reports; nothing when it said nothing."""
        if self._catalogue is None or (space.used is None and space.available is None):
            return
        from backup_core.catalogue.reading_rows import SpaceReadingRow

        row = SpaceReadingRow(at=self._clock.now(), client=name, used=space.used, available=space.available)
        self._catalogue.readings.add_space(row)

    @contextmanager
    def opened(
        self,
        name: str,
        path: str = "",
        *,
        cancel: CancelToken | None = None,
        on_wait: Callable[[str], None] = lambda _: None,
        patience: float | None = None,
        priority: Priority = Priority.BACKUP,
        adjust: Callable[[BackendOptions], BackendOptions] = lambda options: options,
    ) -> Iterator[Backend]:
        """A backend at a folder below a client's URL, closed at the end of the block. ``on_wait`` is told what is being
        waited for, "" when the wait is over. ``patience`` is how many seconds a failing request is tried again, None
        the policy for real work; ``priority`` says how much of the account's window of requests it may use up,
        and ``adjust`` has the last word on the options."""
        from backup_core.storage.registry import join_url, open_backend

        client = self.stored(name)
        with self.accounts.use_of(client, priority=priority) as account:
            backend = open_backend(
                join_url(client.url, path),
                username=client.username,
                password=secret_of(client, "password"),
                options=adjust(backend_options(client, measured=self.accounts.measured(client), patience=patience)),
                clock=self._clock,
                # Spreads waits only, so that clients do not come back all at once; nothing secret hangs on it.
                random=random.random,
                cancel=cancel,
                on_wait=on_wait,
                account=account,
            )
            try:
                yield backend
            finally:
                backend.close()

    # ---- inside

    def _names(self) -> list[str]:
        known = () if self._catalogue is None else self._catalogue.setups.clients()
        return sorted({*self._clients, *(row.name for row in known)})

    def _find(self, name: str) -> ClientConfig | None:
        if self._catalogue is None:
            return self._clients.get(unicodedata.normalize("NFC", name))
        from backup_core.config.models import ClientConfig

        record = self._record(name)
        return None if record is None else ClientConfig.model_validate(record)

    def _record(self, name: str) -> dict[str, Any] | None:
        """What the catalogue has of a client, and the literal secrets that live here alone."""
        name = unicodedata.normalize("NFC", name)
        row = self._catalogue.setups.client(name) if self._catalogue is not None else None
        if row is None:
            return None
        given = self._clients.get(name)
        literal = {} if given is None else {f: s for f, s in given.secrets().items() if isinstance(s, Secret)}
        return {**row.record, **literal}

    def _store(self, client: ClientConfig) -> None:
        if self._catalogue is None:
            return
        record = client.record()
        known = self._catalogue.setups.client(client.name)
        if known is not None and _same_account(known.record, record):
            # A script that passes a secret itself must not take the reference away from those who need it.
            for field in SECRETS:
                if record[field] == IN_MEMORY:
                    record[field] = known.record.get(field) or IN_MEMORY
        self._catalogue.setups.save_client(client.name, record, self._clock.now())

    def _remember(self, name: str, password: Secret) -> str:
        if self._home is None:
            raise ConfigError("a password can only be remembered in a home; open one first")
        path = self._home.password_file(name)
        write_private_file(path, password.reveal() + "\n")
        return f"file:{path}"


def _same_account(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return (one["url"], one["username"]) == (other["url"], other["username"])
