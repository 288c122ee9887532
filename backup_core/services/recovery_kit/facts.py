"""What a recovery kit says: gathered from configurations, their repositories and, when asked for, their secrets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.config.secrets import resolve_secret, stored_form
from backup_core.deferred import dataclass
from backup_core.errors import BackupError
from backup_core.repository.options import default_hostname
from backup_core.services.moments import to_local
from backup_core.types import Secret

if TYPE_CHECKING:
    from backup_core.services.backup_service import BackupService


@dataclass(frozen=True, slots=True)
class KitSecrets:
    """The secrets of one repository, for those who want them on paper."""

    password: Secret | None
    key: Secret | None


@dataclass(frozen=True, slots=True)
class KitConfiguration:
    """One configuration that stores in a repository."""

    name: str
    sources: tuple[str, ...]
    backups: int
    newest: datetime | None
    """Naive local time of its newest backup."""


@dataclass(frozen=True, slots=True)
class KitRepository:
    """One repository, and how to get into it."""

    client: ClientConfig
    target_path: str
    configurations: tuple[KitConfiguration, ...]
    repository_id: str
    """"" when it could not be opened while the kit was made."""
    key_id: str
    """Id of the key file that our key opens, as ``restic key list`` shows it; it gives nothing away."""
    encrypted: bool
    key_source: str
    """Where this machine has the key from; never the key."""
    password_source: str
    problem: str = ""
    """Why the repository could not be opened."""
    secrets: KitSecrets | None = None
    mirrors: tuple[tuple[ClientConfig, str], ...] = ()
    """(account, folder) of copies in other places."""


@dataclass(frozen=True, slots=True)
class Kit:
    """Everything the page says."""

    made_at: datetime
    """Naive local time."""
    hostname: str
    repositories: tuple[KitRepository, ...]
    plans: tuple[tuple[str, str], ...]
    """(id, name) of the recovery plans."""
    notes: tuple[str, ...] = ()

    @property
    def has_secrets(self) -> bool:
        """True when passwords and keys are in it."""
        return any(repository.secrets is not None for repository in self.repositories)


def gather(service: BackupService, names: Sequence[str] = (), *, include_secrets: bool = False) -> Kit:
    """The kit for these configurations, or for all. ``ConfigError`` for an unknown one.

    A repository that cannot be opened now is in the kit all the same, with the reason. With ``include_secrets`` a
    secret that cannot be had is a ``ConfigError``, because a kit that lacks it would be trusted in vain.
    """
    configs = [service.configurations.get(name) for name in names] if names else service.configurations.all()
    groups: dict[tuple[str, str], list[BackupConfig]] = {}
    for config in configs:
        groups.setdefault((config.target_client_id, config.target_path), []).append(config)
    repositories = tuple(_repository(service, group, include_secrets=include_secrets) for group in groups.values())
    notes = tuple(
        f"{r.client.name}{r.target_path} could not be opened while this page was made: {r.problem}"
        for r in repositories
        if r.problem
    )
    plans = tuple((row.plan_id, row.name) for row in service.catalogue.plans.listed())
    return Kit(to_local(service.clock.now()), default_hostname(), repositories, plans, notes)


def _repository(service: BackupService, configs: Sequence[BackupConfig], *, include_secrets: bool) -> KitRepository:
    config = configs[0]
    client = service.webdav_service.configuration(config.target_client_id)
    repository_id = key_id = problem = ""
    encrypted, key_source, key = config.encrypt, stored_form(config.encrypt_key) or "", None
    try:
        with service.opened(config.name) as opened:
            repository_id, key_id = opened.repository.id, opened.repository.key_id
            encrypted, key_source, key = opened.repository.encrypted, opened.key.source, opened.key.secret
    except BackupError as error:
        problem = str(error)
    secrets = None
    if include_secrets:
        if key is None and encrypted:
            key = service.keys.candidates(config)[0].secret
        secrets = KitSecrets(_password(client), key if encrypted else None)
    return KitRepository(
        client=client,
        target_path=config.target_path,
        configurations=tuple(_configuration(service, c) for c in configs),
        repository_id=repository_id,
        key_id=key_id,
        encrypted=encrypted,
        key_source=key_source,
        password_source=stored_form(client.password) or "",
        problem=problem,
        secrets=secrets,
        mirrors=tuple(_mirrors(service, configs)),
    )


def _mirrors(service: BackupService, configs: Sequence[BackupConfig]) -> Iterator[tuple[ClientConfig, str]]:
    for client, path in dict.fromkeys(mirror.place for config in configs for mirror in config.mirrors):
        if service.webdav_service.knows(client):
            yield service.webdav_service.configuration(client), path


def _password(client: ClientConfig) -> Secret | None:
    if client.password is None:
        return None
    return resolve_secret(client.password, what=f"the password of client {client.name!r}")


def _configuration(service: BackupService, config: BackupConfig) -> KitConfiguration:
    rows = service.catalogue.manifests.listed(config.name)
    newest = to_local(rows[0].created_at) if rows else None
    return KitConfiguration(config.name, tuple(config.source_paths), len(rows), newest)
