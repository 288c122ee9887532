"""Content ids: SHA-256 everywhere, raw in memory, lower-case hex in names and JSON."""

from __future__ import annotations

from hashlib import sha256 as _sha256

from backup_core.errors import Corrupt
from backup_core.types import BlobId, Buffer

ID_BYTES = 32
"""Length of a raw id."""


def sha256(data: Buffer) -> bytes:
    """The 32-byte digest of ``data``. Releases the interpreter lock for all but short data."""
    return _sha256(data).digest()


def blob_id(data: Buffer) -> BlobId:
    """The id of a blob: the digest of its plaintext."""
    return BlobId(_sha256(data).digest())


def ids_in(data: bytes) -> tuple[BlobId, ...]:
    """The raw ids that follow one another in ``data``."""
    return tuple([BlobId(data[at : at + ID_BYTES]) for at in range(0, len(data), ID_BYTES)])


def to_hex(raw: bytes) -> str:
    """How an id is written in names and JSON."""
    return raw.hex()


def from_hex(text: str) -> bytes:
    """Read an id written as 64 hex digits. Raises ``Corrupt`` for anything else."""
    try:
        raw = bytes.fromhex(text)
    except (TypeError, ValueError) as error:
        raise Corrupt(f"not an id of 64 hex digits: {text!r:.80}") from error
    # fromhex() skips white space, so the text's length is looked at as well.
    if len(raw) != ID_BYTES or len(text) != 2 * ID_BYTES:
        raise Corrupt(f"not an id of 64 hex digits: {text!r:.80}")
    return raw
