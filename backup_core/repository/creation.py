"""Making a new repository: an explicit step that refuses wherever something might be there already.

First the key, then the config: a place with a config is a repository, so an interrupted creation leaves none, and can
be done again with the same password.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

from backup_core.clock import Clock
from backup_core.errors import (
    AuthenticationFailed,
    FormatError,
    ListingUnproved,
    NotFound,
    RepositoryExists,
)
from backup_core.format.cipher import OVERHEAD, MasterKey, Sealer
from backup_core.format.config_file import RepositoryConfig
from backup_core.format.key_file import KeyFile
from backup_core.format.layout import DIRECTORIES, FileKind, file_name, is_id
from backup_core.repository.keyring import OpenedKey, make_key
from backup_core.storage.backend import Backend, KnowsDirectories, Listing
from backup_core.types import KeyId, Secret

_CONFIG = FileKind.CONFIG.value

_CONFIG_BYTES = OVERHEAD + len(RepositoryConfig(2, "0" * 64, 1 << 53 | 0b1000111).encode())
"""Bytes of every config (all its fields have a fixed length); less is what an interrupted upload left."""


def repository_exists(backend: Backend) -> bool:
    """Whether there is a whole config. False only when the server proves that there is none.

    Raises ``ListingUnproved`` when its answers contradict each other or may be incomplete.
    """
    return _has_config(backend, None)


def _has_config(backend: Backend, root: Listing | None) -> bool:
    """Ask for the config by name; ``root`` is a proved listing of what lies beside it, if there is one already."""
    try:
        return backend.stat(_CONFIG).size >= _CONFIG_BYTES
    except NotFound:
        root = root or _proved(backend, "")
        if any(entry.name == _CONFIG for entry in root.objects):
            raise ListingUnproved(
                f"{backend.location} lists a config and then says that there is none. Try again later"
            ) from None
        return False


def create_repository(
    backend: Backend,
    password: Secret,
    *,
    clock: Clock,
    random_bytes: Callable[[int], bytes],
    hostname: str,
    username: str,
    chunker_polynomial: int | None = None,
    vacancy: Vacancy | None = None,
) -> tuple[bytes, OpenedKey, bytes]:
    """Write key and config of a new repository; (sealed config, opened key, key file).

    ``chunker_polynomial``: of a repository whose files are to be cut alike; None draws one.

    Raises ``RepositoryExists`` when anything but the remains of a creation with the same password is there,
    ``ListingUnproved`` when that cannot be known. ``vacancy`` is the proof, if it was asked for a moment ago.
    """
    found = _adoptable_key(backend, (vacancy or prove_vacant(backend)).keys, password)
    if isinstance(backend, KnowsDirectories):
        backend.make_directories(DIRECTORIES)  # now that nobody has to ask whether they are there
    if found is None:
        master = MasterKey.generate(random_bytes)
        key, data = make_key(
            password, master, clock=clock, random_bytes=random_bytes, hostname=hostname, username=username
        )
        backend.put(file_name(FileKind.KEY, key), data)
    else:
        key, data, master = found
    config = RepositoryConfig.generate(random_bytes, chunker_polynomial=chunker_polynomial)
    box = Sealer(master).seal(config.encode())
    backend.put(_CONFIG, box)
    # Two programs may have got here at the same time. The config that stays decides who was first.
    if backend.get(_CONFIG) != box:
        if found is None:
            backend.delete(file_name(FileKind.KEY, key))
        raise RepositoryExists(f"somebody else created a repository at {backend.location} just now. Open that one")
    return box, OpenedKey(key, master, config), data


class Vacancy(NamedTuple):
    """Proof that a repository may be made somewhere."""

    keys: tuple[str, ...]
    """Ids of key files that an interrupted creation may have left."""


def prove_vacant(backend: Backend) -> Vacancy:
    """Make sure that nothing is there. Raises ``RepositoryExists``, and ``ListingUnproved`` when nobody can tell."""
    root = _proved(backend, "")
    if not root.exists:
        return Vacancy(())
    for entry in root.objects:
        if entry.name != _CONFIG:
            raise _occupied(backend, entry.name)
    if repository_exists(backend):  # asked by name as well: nobody relies on one answer here
        raise RepositoryExists(
            f"there is a repository at {backend.location} already. Back up into it, or choose another path"
        )
    keys: list[str] = []
    for directory in root.directories:
        inside = _proved(backend, directory)
        for entry in inside.objects:
            digits = entry.name.rpartition("/")[2]
            if directory != FileKind.KEY.value or not is_id(digits):
                raise _occupied(backend, entry.name)
            keys.append(digits)
        # Packs lie one level deeper; empty directories are what some programs prepare.
        for deeper in inside.directories:
            below = _proved(backend, deeper)
            if below.objects or below.directories:
                raise _occupied(backend, deeper)
    return Vacancy(tuple(keys))


def _adoptable_key(backend: Backend, keys: Sequence[str], password: Secret) -> tuple[KeyId, bytes, MasterKey] | None:
    """The key of an interrupted creation with this password; a key file that was cut off counts as none."""
    for digits in keys:
        name = file_name(FileKind.KEY, digits)
        data = backend.get(name)
        if sha256(data).hexdigest() != digits:
            backend.delete(name)
            continue
        try:
            return KeyId(digits), data, KeyFile.decode(data).unlock(password)
        except (AuthenticationFailed, FormatError) as error:
            raise RepositoryExists(
                f"{backend.location} has a key file ({digits[:8]}) of another password and no config: a creation was "
                "interrupted, or the config was lost. Use that password, or look at the folder and empty it yourself"
            ) from error
    return None


def _proved(backend: Backend, directory: str) -> Listing:
    listing = backend.list(directory)
    if not listing.proved_complete:
        raise ListingUnproved(
            f"what lies in {directory or 'the folder'} at {backend.location} cannot be known for sure"
            f"{': ' + listing.doubt if listing.doubt else ''}; nothing was created. Try again, or use an empty folder"
        )
    return listing


def _occupied(backend: Backend, name: str) -> RepositoryExists:
    return RepositoryExists(
        f'{backend.location} is not empty: there is "{name}", and no repository. Choose an empty or new folder'
    )
