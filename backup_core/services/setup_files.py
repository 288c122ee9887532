"""Clients and configurations to and from TOML files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from backup_core.config.files import dump_configurations, load_configurations
from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.errors import ConfigError
from backup_core.services.assembly import Services


def import_setup(services: Services, path: Path, *, replace: bool) -> list[str]:
    """Add the clients and configurations of a file; names of the configurations added.

    Raises ``ConfigError``, and then nothing was added.
    """
    clients, configs = load_configurations(path)
    if not replace:
        _refuse_taken(services, clients, configs)
    for client in clients:
        services.webdav.register(client, replace=replace)
    for config in configs:
        services.backup.configurations.add(config, replace=replace)
    return [config.name for config in configs]


def export_setup(services: Services, names: Sequence[str]) -> str:
    """Configurations (all, or those named) and their clients as TOML, with references but without any secret."""
    configurations = services.backup.configurations
    configs = [configurations.get(name) for name in names] if names else configurations.all()
    wanted = {config.target_client_id for config in configs}
    known = services.webdav.configurations()
    clients = [client for client in known if client.name in wanted] if names else known
    return dump_configurations(clients, configs)


def _refuse_taken(services: Services, clients: Iterable[ClientConfig], configs: Iterable[BackupConfig]) -> None:
    clients_here = set(services.webdav.list_clients())
    configs_here = {config.name for config in services.backup.configurations.all()}
    problems = [f"the client {c.name!r} exists already" for c in clients if c.name in clients_here]
    problems += [f"the configuration {c.name!r} exists already" for c in configs if c.name in configs_here]
    if problems:
        raise ConfigError("nothing was imported; replacing must be asked for", problems=problems)
