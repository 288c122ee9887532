"""Records that this program keeps in a repository beside what the format knows: sealed, small, replaced by newer ones.

::

    davault/<writer>-<number>       writer: 16 hex digits of an installation; number: 10 digits, counting up

Programs for the restic format list only the five directories they know (``restic check`` and ``prune`` leave others
alone; a tree blob without a snapshot would be pruned). Each file is one box of the repository's key around a zstd
frame, like index and snapshot files. Its first line repeats writer and number, because a box does not say where it
belongs: an old record under a new name is found out. A record is written once, never changed; when its successor is on
the server, it is removed.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from backup_core.errors import AuthenticationFailed, Corrupt, ListingUnproved, UnsupportedVersion
from backup_core.format.compression import pack_unpacked, unpack_unpacked

if TYPE_CHECKING:
    from backup_core.repository.repository import Repository

DIRECTORY = "davault"
"""The directory of the records, below the repository's root."""

_NAME = re.compile("([0-9a-f]{16})-([0-9]{10})")


class RecordName(NamedTuple):
    """Which record of which installation."""

    writer: str
    """16 hex digits."""
    number: int
    """From 1 on."""

    @property
    def path(self) -> str:
        """Name on the server."""
        return f"{DIRECTORY}/{self.writer}-{self.number:010d}"

    @classmethod
    def parse(cls, path: str) -> RecordName | None:
        """The record behind a name on the server, None when it is not one."""
        found = _NAME.fullmatch(path.rpartition("/")[2])
        return cls(found[1], int(found[2])) if found else None


class SealedRecords:
    """The records of one repository. Safe between threads."""

    def __init__(self, repository: Repository) -> None:
        self._backend = repository.backend
        self._sealer = repository.sealer
        self._writable = repository.writable

    def list(self) -> list[RecordName]:
        """All records, by writer and number. Raises ``ListingUnproved`` when there may be more."""
        listing = self._backend.list(DIRECTORY)
        if not listing.proved_complete:
            raise ListingUnproved(
                f"the listing of {DIRECTORY}/ at {self._backend.location} may be incomplete"
                f"{': ' + listing.doubt if listing.doubt else ''}. Try again, or look at the server's limits"
            )
        return sorted(name for entry in listing.objects if (name := RecordName.parse(entry.name)) is not None)

    def read(self, name: RecordName) -> bytes:
        """The content of a record. Raises ``NotFound``, or ``Corrupt`` for one that is damaged or not in its place."""
        try:
            text = unpack_unpacked(self._sealer().open(self._backend.get(name.path)))
        except (AuthenticationFailed, Corrupt) as error:
            raise self._damaged(name, str(error)) from error
        head, separator, content = text.partition(b"\n")
        if not separator or head != _head(name):
            raise self._damaged(name, "it is another record than its name says")
        return content

    def write(self, name: RecordName, content: bytes) -> int:
        """Store a record; its bytes on the server. Raises ``UnsupportedVersion`` for a repository that is only read."""
        if not self._writable:
            raise UnsupportedVersion(f"the repository at {self._backend.location} has version 1 and is only read")
        box = self._sealer().seal(pack_unpacked(_head(name) + b"\n" + content))
        self._backend.put(name.path, box)
        return len(box)

    def delete(self, name: RecordName) -> None:
        """Remove a record; one that is not there is no error."""
        self._backend.delete(name.path)

    def _damaged(self, name: RecordName, reason: str) -> Corrupt:
        return Corrupt(
            f"the record {name.path} at {self._backend.location} is damaged: {reason}. The backups are not touched "
            "by this",
            kind="record",
            object_id=name.path,
        )


def _head(name: RecordName) -> bytes:
    return json.dumps({"writer": name.writer, "number": name.number}, separators=(",", ":")).encode()
