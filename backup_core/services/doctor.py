"""A look at everything a backup needs, with advice for what is wrong. Nothing is changed."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from backup_core.config.hosts import this_host
from backup_core.config.models import BackupConfig
from backup_core.errors import BackupError, NotARepository
from backup_core.services.assembly import Services
from backup_core.services.findings import Finding, FindingLevel
from backup_core.services.vanished import Vanished, vanished_sentence

_LITTLE_ROOM = 1 << 30
"""Bytes free in the home below which a warning is due."""


def examine(services: Services) -> list[Finding]:
    """Findings about the installation, the home, the catalogue, each client and each configuration, in this order; then
    about backups that have vanished."""
    return [
        _installation(),
        _home(services),
        _catalogue(services),
        *_clients(services),
        *(finding for config in services.backup.configurations.all() for finding in _configuration(services, config)),
        *_vanished(services),
    ]


def _installation() -> Finding:
    from importlib.metadata import PackageNotFoundError, version

    python = f"Python {platform.python_version()} on {sys.platform}"
    try:
        return Finding(FindingLevel.OK, "installation", f"davault {version('davault')}, {python}")
    except PackageNotFoundError:
        advice = "install the package, so that commands and updates find it"
        return Finding(FindingLevel.WARNING, "installation", f"davault is not installed as a package, {python}", advice)


def _home(services: Services) -> Finding:
    root = services.home.root
    mode = root.stat().st_mode & 0o777
    free = shutil.disk_usage(root).free
    if mode & 0o077:
        return Finding(FindingLevel.WARNING, "home", f"{root} can be read by others", f"chmod 700 {root}")
    if free < _LITTLE_ROOM:
        message = f"{root} has {free / 2**20:.0f} MiB free"
        return Finding(FindingLevel.WARNING, "home", message, "make room: caches and the catalogue grow there")
    return Finding(FindingLevel.OK, "home", f"{root}, {free / 2**30:.0f} GiB free")


def _catalogue(services: Services) -> Finding:
    catalogue = services.backup.catalogue
    try:
        faults = catalogue.integrity()
    except BackupError as error:
        faults = [str(error)]
    if faults:
        advice = "move the file away: the list of backups is rebuilt from the servers"
        return Finding(FindingLevel.ERROR, "catalogue", f"{catalogue.location}: {'; '.join(faults)}", advice)
    return Finding(FindingLevel.OK, "catalogue", catalogue.location)


def _clients(services: Services) -> Iterator[Finding]:
    clients = services.webdav.configurations()
    if not clients:
        yield Finding(FindingLevel.WARNING, "clients", "there is no client yet", "davault client add NAME --url URL")
    for client in clients:
        subject = f"client {client.name}"
        try:
            probed = services.webdav.probe(client.name)
        except BackupError as error:
            yield Finding(FindingLevel.ERROR, subject, str(error))
            continue
        if probed.reachable:
            yield Finding(FindingLevel.OK, subject, f"{probed.location} answers after {probed.seconds:.2f} s")
        else:
            yield Finding(FindingLevel.ERROR, subject, probed.error, "check address, network, user name and password")


def _configuration(services: Services, config: BackupConfig) -> Iterator[Finding]:
    subject = f"configuration {config.name}"
    if not config.is_of(this_host()):
        yield Finding(FindingLevel.OK, subject, f"belongs to the machine {config.host}: davault doctor there")
        return
    missing = [path for path in config.source_paths if not Path(path).exists()]
    if missing:
        advice = "mount or create it, or change the configuration"
        yield Finding(FindingLevel.ERROR, subject, f"missing source: {', '.join(missing)}", advice)
    key = _told(lambda: services.backup.describe_repository(config.name).location)
    if isinstance(key, NotARepository):
        message = "there is no repository yet"
        yield Finding(FindingLevel.WARNING, subject, message, f"make the first backup: davault backup {config.name}")
    elif isinstance(key, BackupError):
        yield Finding(FindingLevel.ERROR, subject, str(key))
    else:
        shown = "encrypted" if config.encrypt else "NOT encrypted"
        yield Finding(FindingLevel.OK, subject, f"the repository {key} opens ({shown})")


def _vanished(services: Services) -> Iterator[Finding]:
    for row in Vanished(services.backup).listed():
        yield Finding(
            FindingLevel.ERROR,
            f"configuration {row.configuration}",
            vanished_sentence(row),
            "change the account's password, and look at what else is gone",
        )


def _told(look: Callable[[], str]) -> str | BackupError:
    try:
        return look()
    except BackupError as error:
        return error
