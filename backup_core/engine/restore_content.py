"""Which packs a restore must fetch, and what of them goes where."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import repeat
from typing import NamedTuple, Protocol

from backup_core.deferred import dataclass
from backup_core.engine.sparse import ZeroBlobs
from backup_core.repository.blob_reader import MAX_GAP, MAX_RUN
from backup_core.types import BlobId, BlobLocation, BlobType, PackId


class Places(Protocol):
    """What knows where blobs lie: an index, or several copies of a repository."""

    def find(self, blob: BlobId, kind: BlobType) -> BlobLocation | None:
        """A place of a blob, None when there is none."""
        ...


class Use(NamedTuple):
    """One place that one blob of a pack goes to."""

    entry: int
    """Number of the file's entry in the plan."""
    position: int
    """Which of the file's blobs it is."""
    offset: int
    """Byte offset in the file."""


@dataclass(frozen=True, slots=True)
class PackWork:
    """All that a restore needs of one pack."""

    pack: PackId
    flat: array[int]
    """The fields of ``Use`` after ``Use``, in tree order: a plan may hold millions of them."""
    places: array[int]
    """For each of them where the blob lies: offset, length and uncompressed length."""
    ranges: int
    """Requests it takes."""
    download: int
    """Bytes to fetch, bridged gaps included."""

    def uses(self) -> Iterator[Use]:
        """Every place that something of this pack goes to."""
        fields = iter(self.flat)
        return map(Use, fields, fields, fields)

    def locations(self) -> Iterator[BlobLocation]:
        """Where the blob of each of ``uses`` lies."""
        fields = iter(self.places)
        return map(BlobLocation, repeat(self.pack), repeat(BlobType.DATA), fields, fields, fields)


class ContentPlanner:
    """Collects the blobs that files need, and groups them by pack in order of first need."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._zeros = ZeroBlobs()
        self._packs: dict[PackId, _Wanted] = {}

    def locate(self, blob: BlobId) -> BlobLocation | None:
        """Where a blob lies, None when it is in no index (or in one that makes no sense)."""
        place = self._places.find(blob, BlobType.DATA)
        return place if place is not None and place.plaintext_length > 0 else None

    def is_zeros(self, blob: BlobId, place: BlobLocation) -> bool:
        """True when the blob holds nothing but zeros, so that a hole will do."""
        return self._zeros.holds(blob, place.length, place.plaintext_length)

    def want(self, place: BlobLocation, use: Use) -> None:
        """Ask for a blob to be fetched and put in its place."""
        wanted = self._packs.get(place.pack)
        if wanted is None:
            wanted = self._packs[place.pack] = _Wanted()
        wanted.uses.extend(use)
        wanted.places.extend((place.offset, place.length, place.uncompressed_length))

    def finish(self) -> tuple[PackWork, ...]:
        """The work for each pack, in order of first need."""
        return tuple(PackWork(pack, wanted.uses, wanted.places, *wanted.span()) for pack, wanted in self._packs.items())


class _Wanted:
    __slots__ = ("places", "uses")

    def __init__(self) -> None:
        self.uses = array("Q")
        self.places = array("Q")

    def span(self) -> tuple[int, int]:
        """Requests for all of it, and bytes of those: the same runs that the repository will fetch."""
        flat = iter(self.places)
        ranges = total = start = end = 0
        for offset, length, _ in sorted(set(zip(flat, flat, flat, strict=True))):
            stop = offset + length
            if not ranges or offset - end > MAX_GAP or stop - start > MAX_RUN:
                total += end - start
                ranges += 1
                start = end = offset
            end = max(end, stop)
        return ranges, total + end - start
