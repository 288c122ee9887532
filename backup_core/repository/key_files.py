"""The keys of a repository: which passwords open it, and changing them.

Each key file holds the repository's master key, locked up with one password. A password is taken away by removing its
file; it is replaced by adding the new one first. So whatever interrupts a change, at least one of the two opens. Who
has a copy of a key file *and* knows its password has the master key for good: then the data must go to a repository
with another one (``services.key_care.rotation``).
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from backup_core.deferred import dataclass
from backup_core.errors import (
    AuthenticationFailed,
    Corrupt,
    FormatError,
    NotFound,
    RepositoryError,
    StorageError,
)
from backup_core.format.kdf import ScryptParameters
from backup_core.format.key_file import KeyFile
from backup_core.format.layout import FileKind, file_name
from backup_core.repository.cache import KeyHints
from backup_core.repository.keyring import MAX_KEYS, make_key, unlock
from backup_core.types import KeyId, Secret

if TYPE_CHECKING:
    from backup_core.repository.repository import Repository

LEAST_WORK = 32768 * 8
"""n * r * p below which trying passwords is cheap."""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """One key file."""

    id: KeyId
    current: bool
    """Whether it is the one that the repository was opened with."""
    created: datetime | None = None
    username: str = ""
    hostname: str = ""
    parameters: ScryptParameters | None = None
    damage: str = ""
    """Why it cannot be used."""

    @property
    def cheap(self) -> bool:
        """True when its parameters make it cheap to try passwords."""
        p = self.parameters
        return p is not None and p.n * p.r * p.p < LEAST_WORK


class KeyFiles:
    """The key files of an open repository."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._backend = repository.backend

    def list(self) -> list[KeyInfo]:
        """All of them, the oldest first. Raises ``ListingUnproved`` when there may be more."""
        listing = self._repository.files.list(FileKind.KEY)
        return sorted(map(self._look_at, map(KeyId, listing.files)), key=_age)

    def add(self, password: Secret, *, cost: ScryptParameters | None = None) -> KeyId:
        """Let ``password`` open the repository too, and make sure that it does; the new key's id.

        ``cost``: of trying a password, as for ``KeyFile.make``. Raises ``RepositoryError`` when there
        are as many keys as are ever tried, or the server does not give back what it took.
        """
        repository = self._repository
        with repository.lock():
            if len(self.list()) >= MAX_KEYS:
                raise RepositoryError(f"there are {MAX_KEYS} keys, and more are not tried. Remove one first")
            options = repository.options
            key, data = make_key(
                password,
                repository.master_key,
                clock=repository.clock,
                random_bytes=repository.random_bytes,
                hostname=options.hostname,
                username=options.username,
                cost=cost,
            )
            self._backend.put(file_name(FileKind.KEY, key), data)
            self.prove(key, password)
        return key

    def prove(self, key: KeyId, password: Secret) -> None:
        """Read a key file anew and open it. Raises ``RepositoryError`` unless it gives this repository's master key."""
        try:
            master = unlock(key, self._backend.get(file_name(FileKind.KEY, key)), password)
        except (NotFound, FormatError) as error:
            raise RepositoryError(f"the key {key[:8]} does not open the repository: {error}") from error
        if master != self._repository.master_key:
            raise RepositoryError(f"the key {key[:8]} is one of another repository")

    def remove(self, wanted: str) -> KeyId:
        """Take a key away, given by its id or an unambiguous beginning of it; its id.

        The one that the repository was opened with stays: so the last one that works always does. Raises
        ``RepositoryError``, ``LockHeld``, ``ListingUnproved``.
        """
        repository = self._repository
        with repository.lock(exclusive=True):
            keys = self.list()
            found = [info for info in keys if info.id.startswith(wanted)] if wanted else []
            if len(found) != 1:
                what = "several keys begin" if found else "no key begins"
                raise RepositoryError(f"{what} with {wanted!r}; list the keys to see what there is")
            if found[0].current:
                raise RepositoryError(
                    f"the key {found[0].id[:8]} is the one in use and stays, so that the repository can always be "
                    "opened. Open it with another password, or change this one"
                )
            if not any(info.current and not info.damage for info in keys):
                raise RepositoryError(
                    "the key in use is damaged or missing on the server, so perhaps only this one opens the "
                    "repository. Put it right first: davault key change"
                )
            self._remove(found[0].id)
        return found[0].id

    def change(self, password: Secret, *, cost: ScryptParameters | None = None) -> KeyId:
        """Put ``password`` in place of the one that the repository was opened with; the new key's id.

        Interrupted, the old one still opens, and perhaps the new one too; then do it again. Raises as ``add`` does,
        ``LockHeld``.
        """
        repository = self._repository
        with repository.lock(exclusive=True):
            old = repository.key_id
            new = self.add(password, cost=cost)
            repository.key_id = new
            self._remove(old)
        return new

    def _remove(self, key: KeyId) -> None:
        self._backend.delete(file_name(FileKind.KEY, key))
        KeyHints(self._repository.options.cache_directory, self._backend.get(FileKind.CONFIG.value)).drop(key)

    def _look_at(self, key: KeyId) -> KeyInfo:
        current = key == self._repository.key_id
        try:
            data = self._backend.get(file_name(FileKind.KEY, key))
            if sha256(data).hexdigest() != key:
                return KeyInfo(key, current, damage="it does not have the content it was named after")
            file = KeyFile.decode(data)
        except (FormatError, StorageError) as error:
            return KeyInfo(key, current, damage=str(error))
        return KeyInfo(key, current, file.created, file.username, file.hostname, file.parameters)


def still_opens(repository: Repository, password: Secret) -> bool:
    """Whether any key file on the server opens with ``password``. Costs a key derivation for each."""
    backend = repository.backend
    for digits in repository.files.list(FileKind.KEY).files:
        try:
            unlock(KeyId(digits), backend.get(file_name(FileKind.KEY, digits)), password)
        except (AuthenticationFailed, Corrupt, NotFound):
            continue
        return True
    return False


def _age(info: KeyInfo) -> tuple[float, str]:
    return (info.created.timestamp() if info.created else 0.0, info.id)
