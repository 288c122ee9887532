"""From a password to a key: scrypt (RFC 7914)."""

from __future__ import annotations

import threading
from concurrent.futures import Future

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from backup_core.deferred import dataclass
from backup_core.errors import Corrupt, UnsupportedVersion
from backup_core.format.cipher import MasterKey
from backup_core.types import Secret

SALT_BYTES = 64
"""Length of a salt."""

_MAX_MEMORY = 1 << 30
"""Most bytes a key file may make us use (scrypt needs 128 * n * r). restic uses up to 60 MiB."""

_MAX_WORK = 1 << 26
"""Largest n * r * p accepted, about 20 seconds. restic asks for half a second."""


@dataclass(frozen=True, slots=True)
class ScryptParameters:
    """Cost and salt of a key derivation. Raises on construction: ``Corrupt`` when scrypt knows no such
    parameters, ``UnsupportedVersion`` when they ask for more memory or time than a key is worth."""

    n: int = 32768
    """CPU and memory cost, a power of two."""
    r: int = 8
    """Block size factor."""
    p: int = 3
    """How many times the work is done. With the defaults: 32 MiB of memory and about 0.2 seconds."""
    salt: bytes = b""
    """64 random bytes."""

    def __post_init__(self) -> None:
        if self.n < 2 or self.n & (self.n - 1) or self.r < 1 or self.p < 1 or len(self.salt) != SALT_BYTES:
            raise Corrupt(
                f"scrypt knows no parameters n={self.n} r={self.r} p={self.p} with a salt of {len(self.salt)} bytes",
                kind="key",
            )
        if 128 * self.n * self.r > _MAX_MEMORY or self.n * self.r * self.p > _MAX_WORK:
            raise UnsupportedVersion(
                f"scrypt parameters n={self.n} r={self.r} p={self.p} ask for more than "
                f"{_MAX_MEMORY >> 20} MiB of memory or {_MAX_WORK} steps; the key is refused"
            )


_begun: dict[tuple[Secret, ScryptParameters], Future[MasterKey]] = {}
"""What is being derived ahead, and not asked for yet."""


def begin(password: Secret, parameters: ScryptParameters) -> None:
    """Derive a key beside what else is done: the next ``derive`` of the same takes the result, and only it."""
    wanted = (password, parameters)
    if wanted in _begun:
        return
    result: Future[MasterKey] = Future()
    _begun[wanted] = result

    def work() -> None:
        try:
            result.set_result(_derive(password, parameters))
        except BaseException as error:
            result.set_exception(error)

    # Nobody waits for it at the end of a program that has not asked for the key.
    threading.Thread(target=work, name="derive-key", daemon=True).start()


def derive(password: Secret, parameters: ScryptParameters) -> MasterKey:
    """The key that a password stands for; it opens the box around the repository's master key.

    Releases the interpreter lock while it computes.
    """
    begun = _begun.pop((password, parameters), None)
    return _derive(password, parameters) if begun is None else begun.result()


def _derive(password: Secret, parameters: ScryptParameters) -> MasterKey:
    scrypt = Scrypt(salt=parameters.salt, length=64, n=parameters.n, r=parameters.r, p=parameters.p)
    key = scrypt.derive(password.reveal().encode("utf-8", "surrogateescape"))
    return MasterKey(encrypt=key[:32], mac_k=key[32:48], mac_r=key[48:])
