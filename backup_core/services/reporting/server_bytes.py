"""What really lies on a server: every file of a repository, by listing all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backup_core.deferred import dataclass
from backup_core.progress import CancelToken

if TYPE_CHECKING:
    from backup_core.storage.backend import Backend

PACKS = "data"
"""The directory of the packs, and the name under which they are summed up."""


@dataclass(frozen=True, slots=True)
class ServerBytes:
    """The files of one repository, as its server lists them."""

    location: str
    configurations: tuple[str, ...]
    """Those that store there."""
    bytes_by_part: dict[str, int]
    """Stored bytes by what they are for: data, index, snapshots, keys, config, locks, ..."""
    files_by_part: dict[str, int]
    complete: bool
    """False when a listing may lack something."""
    known_packs: int | None
    """What the catalogue believes the packs to take; None when it does not know."""

    @property
    def total(self) -> int:
        """Stored bytes of all files."""
        return sum(self.bytes_by_part.values())

    @property
    def packs(self) -> int:
        """Stored bytes of the packs."""
        return self.bytes_by_part.get(PACKS, 0)


def count_files(backend: Backend, *, cancel: CancelToken) -> tuple[dict[str, int], dict[str, int], bool]:
    """(bytes by part, files by part, complete) of all that lies below the backend's root: one request for each
    directory."""
    sizes: dict[str, int] = {}
    counts: dict[str, int] = {}
    complete = True
    pending = [""]
    while pending:
        cancel.check()
        listing = backend.list(pending.pop())
        complete = complete and listing.proved_complete
        pending += listing.directories
        for found in listing.objects:
            part = found.name.split("/", 1)[0]
            sizes[part] = sizes.get(part, 0) + found.size
            counts[part] = counts.get(part, 0) + 1
    return dict(sorted(sizes.items())), dict(sorted(counts.items())), complete
