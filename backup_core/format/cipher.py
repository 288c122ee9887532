"""Sealed boxes: AES-256 in counter mode, authenticated by Poly1305-AES.

::

    iv   16 random bytes
    ct   AES-256-CTR(encrypt, initial counter block = iv)(plaintext)
    tag  Poly1305(key = mac_r || AES-128(mac_k)(iv))(ct), 16 bytes
    box  iv || ct || tag

Construction of the restic repository format ("Keys, Encryption and MAC" in its design document), after
D. J. Bernstein, "The Poly1305-AES message-authentication code", 2005. Nothing but the tag binds a box to its
place: ids and the authenticated index do that.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from dataclasses import field
from typing import NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR, ECB
from cryptography.hazmat.primitives.poly1305 import Poly1305

from backup_core.deferred import dataclass
from backup_core.errors import AuthenticationFailed, Corrupt
from backup_core.format.json_fields import base64_of, object_of, parse_object
from backup_core.types import Buffer

OVERHEAD = 32
"""Bytes a box is longer than what it holds."""

_IV = 16
_TAG = 16
_BATCH = 512
"""How many nonces are drawn, and enciphered into Poly1305 keys, at a time: one call instead of 512."""

_make_tag = Poly1305.generate_tag
_check_tag = Poly1305.verify_tag

_forks = 0


def _count_fork() -> None:
    global _forks  # noqa: PLW0603 - a process-wide fact, told by the operating system
    _forks += 1


# A forked child inherits every Sealer with nonces drawn ahead. Using one in both processes would encipher two
# texts with the same key stream and give both away, so a Sealer draws anew when it finds itself in a child.
os.register_at_fork(after_in_child=_count_fork)


@dataclass(frozen=True, slots=True)
class MasterKey:
    """The three secrets of a repository. Whoever has them can read and forge everything in it."""

    encrypt: bytes = field(repr=False)
    """AES-256 key, 32 bytes."""
    mac_k: bytes = field(repr=False)
    """AES-128 key that makes the one-time half of the Poly1305 keys, 16 bytes."""
    mac_r: bytes = field(repr=False)
    """Fixed half of the Poly1305 keys, 16 bytes, kept as drawn (clamping happens in use)."""

    def __post_init__(self) -> None:
        if (len(self.encrypt), len(self.mac_k), len(self.mac_r)) != (32, 16, 16):
            raise Corrupt("a key does not have the lengths 32, 16 and 16 bytes", kind="key")
        if not (any(self.encrypt) and any(self.mac_k) and any(self.mac_r)):
            raise Corrupt("a key consists of zero bytes only", kind="key")

    @classmethod
    def generate(cls, random_bytes: Callable[[int], bytes]) -> MasterKey:
        """A new key from a source of cryptographic randomness such as ``os.urandom``."""
        return cls(random_bytes(32), random_bytes(16), random_bytes(16))

    def to_json(self) -> bytes:
        """The form in which a key file keeps it (sealed)."""
        mac = f'{{"k":"{_base64(self.mac_k)}","r":"{_base64(self.mac_r)}"}}'
        return f'{{"mac":{mac},"encrypt":"{_base64(self.encrypt)}"}}'.encode("ascii")

    @classmethod
    def from_json(cls, data: Buffer) -> MasterKey:
        """Read what ``to_json`` wrote. Raises ``Corrupt``."""
        record = parse_object(data, "key")
        mac = object_of(record, "mac", "key")
        return cls(
            base64_of(record, "encrypt", "key"),
            base64_of(mac, "k", "key"),
            base64_of(mac, "r", "key"),
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("a MasterKey cannot be pickled; hand it over on purpose, through to_json()")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


class Sealer:
    """Seals and opens boxes with one key. Not thread-safe: each thread has its own. Safe across ``fork``."""

    __slots__ = ("_counter", "_forks", "_mac", "_mac_keys", "_mac_r", "_nonces", "_random", "_used")

    def __init__(self, key: MasterKey, *, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        # One cipher context for the life of the Sealer: making one costs more than sealing a small file.
        # Counter mode deciphers by enciphering, so the same context serves both directions.
        self._counter = Cipher(AES(key.encrypt), CTR(bytes(_IV))).encryptor()
        # ECB over nonces, each block once: this is Poly1305-AES' own use of the block cipher, not encryption.
        self._mac = Cipher(AES(key.mac_k), ECB()).encryptor()  # noqa: S305
        self._mac_r = key.mac_r
        self._random = random_bytes
        self._nonces = b""
        self._mac_keys = b""
        self._used = 0
        self._forks = _forks

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Sealer cannot be pickled: it holds the master key")

    def seal(self, plain: Buffer) -> bytes:
        """A new box around ``plain``."""
        box = bytearray(len(plain) + OVERHEAD)
        self.seal_into(plain, memoryview(box))
        return bytes(box)

    def seal_into(self, plain: Buffer, out: memoryview) -> int:
        """Write a box around ``plain`` to the start of ``out`` and return its length, ``len(plain) + 32``.

        Nothing is copied besides the enciphering itself, so a long-lived ``out`` saves the page faults that fresh
        memory costs. Raises ``ValueError`` when ``out`` is too short.
        """
        end = _IV + len(plain)
        if len(out) < end + _TAG:
            raise ValueError(f"a box of {end + _TAG} bytes does not fit into {len(out)} bytes")
        at = self._used
        if at >= len(self._nonces) or self._forks != _forks:
            self._draw()
            at = 0
        self._used = at + _IV
        nonce = self._nonces[at : at + _IV]
        cipher = self._counter
        cipher.reset_nonce(nonce)
        text = out[_IV:end]
        cipher.update_into(plain, text)
        out[:_IV] = nonce
        out[end : end + _TAG] = _make_tag(self._mac_r + self._mac_keys[at : at + _IV], text)
        return end + _TAG

    def open(self, box: Buffer) -> bytes:
        """What ``box`` holds. Raises ``AuthenticationFailed`` when it was made with another key or was changed."""
        if len(box) < OVERHEAD:
            raise AuthenticationFailed(f"a sealed box has at least {OVERHEAD} bytes, this one {len(box)}")
        view = memoryview(box)
        nonce = bytes(view[:_IV])
        text = view[_IV:-_TAG]
        try:
            _check_tag(self._mac_r + self._mac.update(nonce), text, bytes(view[-_TAG:]))
        except InvalidSignature as error:
            raise AuthenticationFailed("a sealed box does not open: wrong key, or its bytes were changed") from error
        cipher = self._counter
        cipher.reset_nonce(nonce)
        return cipher.update(text)

    def _draw(self) -> None:
        nonces = self._random(_BATCH * _IV)
        if len(nonces) != _BATCH * _IV:
            raise ValueError(f"asked for {_BATCH * _IV} random bytes, got {len(nonces)}")
        self._nonces = nonces
        self._mac_keys = self._mac.update(nonces)
        self._used = 0
        self._forks = _forks
