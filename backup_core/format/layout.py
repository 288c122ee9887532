"""Where the files of a repository lie: names relative to its root, with "/" between the parts.

::

    config                      the only file without an id
    keys/<id>  index/<id>  snapshots/<id>  locks/<id>
    data/<first two digits of id>/<id>

Layout of the restic repository format, "Repository Layout" in its design document.
"""

from __future__ import annotations

import re
from enum import StrEnum

from backup_core.errors import Corrupt
from backup_core.format.ids import to_hex
from backup_core.types import PackId


class FileKind(StrEnum):
    """The kinds of files; the value is the directory (for CONFIG: the file) they lie in."""

    CONFIG = "config"
    KEY = "keys"
    PACK = "data"
    INDEX = "index"
    SNAPSHOT = "snapshots"
    LOCK = "locks"


DIRECTORIES: tuple[str, ...] = ("data", "index", "keys", "locks", "snapshots")
"""The directories directly below the root of a repository."""

PACK_DIRECTORIES: tuple[str, ...] = tuple(f"data/{number:02x}" for number in range(256))
"""All directories that packs are spread over."""

_is_id = re.compile("[0-9a-f]{64}").fullmatch


def is_id(text: str) -> bool:
    """Whether ``text`` is a file name made of an id: 64 lower-case hex digits."""
    return _is_id(text) is not None


def pack_name(pack: PackId) -> str:
    """Name of a pack file."""
    digits = to_hex(pack)
    return f"data/{digits[:2]}/{digits}"


def pack_directory(pack: PackId) -> str:
    """Directory a pack lies in."""
    return f"data/{pack[:1].hex()}"


def file_name(kind: FileKind, digits: str = "") -> str:
    """Name of the file of ``kind`` whose id has these hex digits (none for the config)."""
    if kind is FileKind.CONFIG:
        return "config"
    if not is_id(digits):
        raise Corrupt(f"not an id of 64 lower-case hex digits: {digits!r:.80}", kind=kind.value)
    if kind is FileKind.PACK:
        return f"data/{digits[:2]}/{digits}"
    return f"{kind.value}/{digits}"


def id_of(name: str) -> str:
    """The hex id in which a file's name ends. Raises ``Corrupt`` when the name does not end in one."""
    digits = name.rpartition("/")[2]
    if not is_id(digits):
        raise Corrupt(f"{name!r:.200} is not the name of a repository file")
    return digits
