"""Finding the key that a password opens, and making the first one."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

from backup_core.clock import Clock
from backup_core.errors import AuthenticationFailed, Corrupt, FormatError, NotARepository, NotFound, WrongKey
from backup_core.format.cipher import MasterKey, Sealer
from backup_core.format.config_file import RepositoryConfig
from backup_core.format.kdf import SALT_BYTES, ScryptParameters
from backup_core.format.key_file import KeyFile
from backup_core.format.layout import FileKind, file_name, id_of, is_id
from backup_core.repository.cache import KeyHints
from backup_core.storage.backend import Backend
from backup_core.types import KeyId, Secret

MAX_KEYS = 20
"""Keys that are tried; each costs a good part of a second."""


LOOK_AGAIN = timedelta(hours=1)
"""So long a remembered key opens without a look whether it is still on the server."""


class OpenedKey(NamedTuple):
    """A key that opened, and the config it gives."""

    id: KeyId
    master: MasterKey
    config: RepositoryConfig


Unlocked = MutableMapping[tuple[str, Secret], MasterKey]
"""Key id and password -> what it opened: deriving is not done twice for one who opens a repository again."""


def open_key(
    backend: Backend,
    password: Secret,
    config: bytes,
    hints: KeyHints,
    now: datetime,
    *,
    unlocked: Unlocked | None = None,
) -> OpenedKey:
    """The key for ``password``: one that opened this repository before, if it was not withdrawn, else one of the
    server's. Whether it was is looked up once an hour: a look costs a request.

    ``config`` is the sealed config, ``unlocked`` what the caller remembers.

    Raises ``WrongKey``; ``Corrupt`` when a key opens but the config does not;
    ``NotARepository`` when there is no key at all.
    """
    tried: set[str] = set()
    damage: FormatError | None = None
    for digits, data in hints.load():
        tried.add(digits)
        try:
            master = _remembered(unlocked, digits, data, password)
        except AuthenticationFailed:
            continue  # another user's key, or a mistyped password
        except Corrupt:
            hints.drop(digits)
            continue
        if not _is_fresh(hints.seen(digits), now):
            if _was_withdrawn(backend, digits):
                hints.drop(digits)  # a password that was withdrawn must not open here for being remembered
                continue
            hints.note_seen(digits, now)
        opened = OpenedKey(KeyId(digits), master, open_config(config, master))
        hints.note_repository(opened.config.id)
        return opened
    names = _key_ids(backend)
    for digits in [name for name in names if name not in tried][:MAX_KEYS]:
        try:
            data = backend.get(file_name(FileKind.KEY, digits))
            master = unlock(digits, data, password)
        except (AuthenticationFailed, NotFound):
            continue
        except FormatError as error:
            damage = error
            continue
        opened = OpenedKey(KeyId(digits), master, open_config(config, master))
        hints.store(digits, data, now, repository_id=opened.config.id)
        return opened
    if not names:
        raise NotARepository(f"{backend.location} has a config but no key, so nothing can open it. Look at its keys/")
    raise _wrong_key(backend, len(names), damage)


def _remembered(unlocked: Unlocked | None, digits: str, data: bytes, password: Secret) -> MasterKey:
    if unlocked is None:
        return unlock(digits, data, password)
    if (digits, password) not in unlocked:
        unlocked[digits, password] = unlock(digits, data, password)
    return unlocked[digits, password]


def _is_fresh(seen: datetime | None, now: datetime) -> bool:
    return seen is not None and timedelta() <= now - seen < LOOK_AGAIN


def _was_withdrawn(backend: Backend, digits: str) -> bool:
    """Whether a key is gone while others are there. Where all are gone they were lost, not withdrawn, since the last
    one cannot be removed: then the copy here is what saves the backups."""
    try:
        backend.stat(file_name(FileKind.KEY, digits))
    except NotFound:
        return bool(_key_ids(backend))
    return False


def unlock(digits: str, data: bytes, password: Secret) -> MasterKey:
    """The master key out of a key file. Raises ``AuthenticationFailed``, ``Corrupt``, ``UnsupportedVersion``."""
    if sha256(data).hexdigest() != digits:
        raise Corrupt(f"the key file {digits} is not what its name says", kind=FileKind.KEY.value, object_id=digits)
    return KeyFile.decode(data).unlock(password)


def open_config(config: bytes, master: MasterKey) -> RepositoryConfig:
    """Read the sealed config. Raises ``Corrupt`` or ``UnsupportedVersion``."""
    try:
        plain = Sealer(master).open(config)
    except AuthenticationFailed as error:
        raise Corrupt(
            "the password opens a key, but not the repository's config, which is damaged or of another repository",
            kind=FileKind.CONFIG.value,
        ) from error
    return RepositoryConfig.decode(plain)


def make_key(
    password: Secret,
    master: MasterKey,
    *,
    clock: Clock,
    random_bytes: Callable[[int], bytes],
    hostname: str,
    username: str,
    cost: ScryptParameters | None = None,
) -> tuple[KeyId, bytes]:
    """A new key file for ``password``: its id and content; ``cost`` as for ``KeyFile.make``."""
    salt = random_bytes(SALT_BYTES)
    key = KeyFile.make(
        password, master, created=clock.now(), username=username, hostname=hostname, salt=salt, cost=cost
    )
    data = key.encode()
    return KeyId(sha256(data).hexdigest()), data


def _key_ids(backend: Backend) -> list[str]:
    listing = backend.list(FileKind.KEY.value)
    return sorted(id_of(entry.name) for entry in listing.objects if is_id(entry.name.rpartition("/")[2]))


def _wrong_key(backend: Backend, keys: int, damage: FormatError | None) -> WrongKey:
    tried = min(keys, MAX_KEYS)
    message = f"the password opens none of the {tried} keys tried of the repository at {backend.location}"
    if keys > MAX_KEYS:
        message += f" (it has {keys}; more than {MAX_KEYS} are not tried)"
    if damage is not None:
        message += f"; a key file could not be used: {damage}"
    return WrongKey(f"{message}. Check the password or key that the configuration names")
