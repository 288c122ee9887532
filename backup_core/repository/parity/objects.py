"""The parity objects on the server: which there are, and which packs they protect.

::

    parity/<sha256 of the object>
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from backup_core.deferred import dataclass
from backup_core.errors import BackupError, Corrupt, ListingUnproved, NotFound, ShortRead
from backup_core.format.layout import is_id
from backup_core.format.parity import ParityHeader, decode_header, header_length, trailer_length
from backup_core.progress import CancelToken
from backup_core.repository.cache import write_private
from backup_core.results import Problem
from backup_core.storage.backend import ObjectInfo

if TYPE_CHECKING:
    from backup_core.repository.repository import Repository
    from backup_core.types import PackId

DIRECTORY = "parity"
"""Below the repository's root."""
_GLANCE = 96 * 1024
"""Bytes fetched to read a header: nearly all headers fit."""
_END = 64


@dataclass(frozen=True, slots=True)
class ParityObject:
    """One object, and what it protects."""

    name: str
    size: int
    header: ParityHeader

    @property
    def packs(self) -> frozenset[PackId]:
        """The packs of its group."""
        return frozenset(pack for pack, _ in self.header.layout.packs)

    @property
    def whole(self) -> bool:
        """False when it does not have the length that its header tells, as after a cut upload."""
        layout = self.header.layout
        return self.size == 2 * self.header.size + layout.rows * layout.parity * layout.cell


def find_parity(
    repository: Repository, *, problems: list[Problem], cancel: CancelToken, allow_unproved: bool = False
) -> list[ParityObject]:
    """All parity objects whose header can be read at either end; the others are told in ``problems``.

    One listing, and one request for each object that this machine has not seen. Raises ``ListingUnproved`` when there
    may be more, unless that is allowed.
    """
    listing = repository.backend.list(DIRECTORY)
    if not (listing.proved_complete or allow_unproved):
        raise ListingUnproved(
            f"the listing of {DIRECTORY}/ at {repository.backend.location} may be incomplete"
            f"{': ' + listing.doubt if listing.doubt else ''}"
        )
    found = []
    for entry in listing.objects:
        cancel.check()
        if not is_id(entry.name.rpartition("/")[2]):
            continue
        try:
            found.append(ParityObject(entry.name, entry.size, _header(repository, entry)))
        except (Corrupt, NotFound, ShortRead) as error:
            problems.append(Problem("parity", f"{entry.name} cannot be used: {error}", object_id=entry.name))
    return found


def fault_of(repository: Repository, one: ParityObject) -> Problem | None:
    """What is wrong with an object, by reading all of it. Raises ``StorageError`` when the server does not answer."""
    try:
        data = repository.backend.get(one.name)
    except (NotFound, ShortRead) as error:
        return Problem("parity", f"{one.name} cannot be read: {error}", object_id=one.name)
    if sha256(data).hexdigest() != one.name.rpartition("/")[2]:
        told = f"{one.name} is damaged; davault parity create --read-data makes another"
        return Problem("parity", told, object_id=one.name)
    return None


def _header(repository: Repository, entry: ObjectInfo) -> ParityHeader:
    copies = repository.cache.directory("parity-headers")
    copy = copies / entry.name.rpartition("/")[2]
    if copy.is_file():
        try:
            return decode_header(copy.read_bytes())
        except BackupError:
            copy.unlink(missing_ok=True)
    part = _fetch(repository, entry)
    header = decode_header(part)
    try:
        write_private(copy, part)
    except OSError as error:
        repository.cache.note_failure(error)
    return header


def _fetch(repository: Repository, entry: ObjectInfo) -> bytes:
    get = repository.backend.get
    try:
        beginning = get(entry.name, length=min(_GLANCE, entry.size))
        length = header_length(beginning)
        part = beginning[:length] if length <= len(beginning) else get(entry.name, length=length)
        decode_header(part)
    except (Corrupt, ShortRead):
        end = min(_END, entry.size)
        length = trailer_length(get(entry.name, offset=entry.size - end, length=end))
        if length > entry.size:
            raise Corrupt("it is shorter than its header says", kind="parity") from None
        return get(entry.name, offset=entry.size - length, length=length)
    return part
