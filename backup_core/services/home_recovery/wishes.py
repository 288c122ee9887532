"""What a recovery is asked to do, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from backup_core.config.models import ClientConfig
from backup_core.deferred import dataclass
from backup_core.types import Secret


@dataclass(frozen=True, slots=True)
class GivenKey:
    """A key to try."""

    secret: Secret
    reference: str | None
    """Where configurations shall find it from now on. None: it is kept in a file of the home. "": nothing is said in
    the configuration, because the default (the variable ``DAVAULT_KEY``) finds it."""
    source: str = ""
    """Where it came from, for people."""


@dataclass(frozen=True, slots=True)
class RecoveryWish:
    """What is known on the empty machine."""

    account: ClientConfig
    """Address, user name, password and how to connect; its name is used where no record tells a better one."""
    path: str
    """Folder below the address: a repository, or one that holds several."""
    keys: tuple[GivenKey, ...] = ()
    host: str = ""
    """Take the records of this machine only; "" takes the newest word of all."""
    replace: bool = False
    """Replace clients and configurations that exist here under the same names."""
    dry_run: bool = False


class Change(StrEnum):
    """What becomes of a client or configuration."""

    ADDED = "added"
    PRESENT = "present"
    """It is here already, the same."""
    KEPT = "kept"
    """Another of this name is here and stays."""
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class RecoveredEntry:
    """A client or configuration."""

    name: str
    change: Change
    source: str
    """"record", or "snapshots" when no record tells of it, or "address" for a client."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecoveredRepository:
    """One repository that was found."""

    path: str
    """Folder below the address."""
    location: str
    repository_id: str = ""
    encrypted: bool = True
    backups: int = 0
    records: tuple[str, ...] = ()
    """The machines whose records were read, with their times."""
    configurations: tuple[RecoveredEntry, ...] = ()
    error: str = ""
    """Why it could not be opened; "" when it was."""


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """What was (or, in a dry run, would be) brought back."""

    dry_run: bool
    clients: tuple[RecoveredEntry, ...]
    repositories: tuple[RecoveredRepository, ...]
    rows: Mapping[str, int] = field(default_factory=dict)
    """Area of the catalogue -> entries that were not here."""
    vanished: tuple[str, ...] = ()
    """Sentences about backups that a record knows and the server does not have."""
    notes: tuple[str, ...] = ()
    """What else people should know, such as where keys were put."""

    @property
    def complete(self) -> bool:
        """True when every repository that was found could be opened."""
        return not any(repository.error for repository in self.repositories)
