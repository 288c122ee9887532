"""What a restore plan says of one entry."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from backup_core.engine.target_metadata import Stamp
from backup_core.format.ids import ID_BYTES
from backup_core.types import BlobId

NO_LINK = -1


class Overwrite(StrEnum):
    """What happens to entries that are there already."""

    ALWAYS = "always"
    """Write all content anew."""
    IF_CHANGED = "if-changed"
    """Write what differs in size, or in time and content."""
    IF_NEWER = "if-newer"
    """Write what is older at the target than in the backup."""
    NEVER = "never"
    """Write only what is missing."""


class Action(StrEnum):
    """What a restore will do with one entry."""

    CREATE = "create"
    REPLACE = "replace"
    UPDATE = "update"
    """The content is right already; only metadata is set."""
    KEEP = "keep"
    """All is right already."""
    SKIP = "skip"
    """Left as it is at the target (or left out), as ``reason`` says."""
    FAIL = "fail"
    """Cannot be restored, as ``reason`` says."""


class PlanEntry(NamedTuple):
    """One entry to restore. Small on purpose: a plan holds one for each of a million files."""

    parent: int
    """Number of the directory's entry, -1 for the target itself."""
    name: bytes
    type: str
    """"file", "dir", "symlink", "fifo", "dev", "chardev", ..."""
    action: Action
    stamp: Stamp | None
    """Metadata; None for directories that the target needs but the snapshot does not speak of."""
    size: int
    """Bytes of a file, as the lengths of its blobs say."""
    content: bytes
    """Files: the ids of their blobs, one after the other. Symlinks: where they point."""
    link: int
    """Number of the entry that this one is a hard link to, -1 for none."""
    device: int
    reason: str
    """Why it is skipped or fails, "" otherwise."""

    @property
    def blob_count(self) -> int:
        """Number of blobs of a file."""
        return len(self.content) // ID_BYTES

    def blob(self, position: int) -> BlobId:
        """Id of one blob of a file."""
        return BlobId(self.content[ID_BYTES * position : ID_BYTES * (position + 1)])

    def blobs(self) -> Iterator[BlobId]:
        """Ids of all blobs of a file, in order."""
        return (BlobId(self.content[at : at + ID_BYTES]) for at in range(0, len(self.content), ID_BYTES))

    @property
    def writes_content(self) -> bool:
        """True for files whose content this plan writes (not those that become links to another)."""
        return self.type == "file" and self.link == NO_LINK and self.action in (Action.CREATE, Action.REPLACE)


def new_file(parent: int, name: bytes, stamp: Stamp | None, size: int, content: bytes) -> PlanEntry:
    """A file with one name where nothing is yet."""
    return PlanEntry(parent, name, "file", Action.CREATE, stamp, size, content, NO_LINK, 0, "")
