"""What stands at the target already, and what an overwrite policy makes of it. Reads, never writes."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from backup_core.engine.restore_entry import Action, Overwrite
from backup_core.engine.target import look, open_for_reading
from backup_core.engine.target_metadata import ACLS, Stamp, attributes_of
from backup_core.errors import UnsafePath
from backup_core.progress import CancelToken
from backup_core.types import BlobId

TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "chardev",
    stat.S_IFBLK: "dev",
    stat.S_IFSOCK: "socket",
}
_READ = 1024 * 1024


class Blob(NamedTuple):
    """A blob of a file and its plaintext length, -1 when it is in no index."""

    id: BlobId
    length: int


class Wanted(NamedTuple):
    """What the snapshot says of an entry, as far as the target is compared with it."""

    name: bytes
    type: str
    size: int
    stamp: Stamp | None
    """None when its metadata does not matter."""
    blobs: tuple[Blob, ...] = ()
    link_target: bytes = b""
    device: int = 0
    linked: bool = False
    """True when it has several names, so that several names at the target are no surprise."""


class Judgement(NamedTuple):
    """What to do with an entry."""

    action: Action
    reason: str = ""
    facts: os.stat_result | None = None
    """What stands in its place now."""


class Judge:
    """Compares entries with what stands in their place, under one policy."""

    def __init__(self, overwrite: Overwrite, *, verify: bool, delete: bool, owner: bool, cancel: CancelToken) -> None:
        """``verify``: trust no content by size and time. ``delete``: directories in the way may go, with all they
        hold. ``owner``: owners count."""
        self._overwrite = overwrite
        self._verify = verify
        self._delete = delete
        self._owner = owner
        self._cancel = cancel

    def judge(self, parent: int, wanted: Wanted) -> Judgement:
        """What to do with ``wanted``, whose directory is open as ``parent``."""
        facts = look(parent, wanted.name)
        if facts is None:
            return Judgement(Action.CREATE)
        if wanted.type == "dir" and stat.S_ISDIR(facts.st_mode):
            same = self._overwrite is Overwrite.NEVER or self._same_metadata(parent, wanted, facts)
            return Judgement(Action.KEEP if same else Action.UPDATE, facts=facts)
        reason = self._refusal(wanted, facts)
        if reason:
            return Judgement(Action.SKIP, reason, facts)
        if stat.S_ISDIR(facts.st_mode) and not self._delete and _holds_something(parent, wanted.name):
            return Judgement(Action.FAIL, "a directory that is not empty is in its place", facts)
        return Judgement(self._compare(parent, wanted, facts), facts=facts)

    def _compare(self, parent: int, wanted: Wanted, facts: os.stat_result) -> Action:
        same_type = TYPES.get(stat.S_IFMT(facts.st_mode)) == wanted.type
        if self._overwrite is Overwrite.ALWAYS or not same_type or not self._same_content(parent, wanted, facts):
            return Action.REPLACE
        if self._same_metadata(parent, wanted, facts):
            return Action.KEEP
        # Another name of this inode may lie outside the target, and is none of our business.
        return Action.REPLACE if facts.st_nlink > 1 and not wanted.linked else Action.UPDATE

    def _refusal(self, wanted: Wanted, facts: os.stat_result) -> str:
        if self._overwrite is Overwrite.NEVER:
            return "it exists already"
        mtime_ns = wanted.stamp.mtime_ns if wanted.stamp else 0
        if self._overwrite is Overwrite.IF_NEWER and facts.st_mtime_ns > mtime_ns:
            return "the one at the target is newer"
        return ""

    def _same_content(self, parent: int, wanted: Wanted, facts: os.stat_result) -> bool:
        if wanted.type == "symlink":
            return os.readlink(wanted.name, dir_fd=parent) == wanted.link_target
        if wanted.type == "file":
            timely = wanted.stamp is not None and facts.st_mtime_ns == wanted.stamp.mtime_ns
            trusted = timely and not self._verify
            return facts.st_size == wanted.size and (trusted or self._hashes_match(parent, wanted))
        return facts.st_rdev == wanted.device if wanted.type in ("dev", "chardev") else True

    def _hashes_match(self, parent: int, wanted: Wanted) -> bool:
        try:
            descriptor = open_for_reading(parent, wanted.name)
        except (OSError, UnsafePath):
            # What cannot be read cannot be trusted either: it is written anew.
            return False
        try:
            return all(right for _, right in matching_blobs(descriptor, wanted.blobs, self._cancel))
        finally:
            os.close(descriptor)

    def _same_metadata(self, parent: int, wanted: Wanted, facts: os.stat_result) -> bool:
        stamp = wanted.stamp
        if stamp is None:
            return True
        is_link = wanted.type == "symlink"
        if facts.st_mtime_ns != stamp.mtime_ns or (not is_link and stat.S_IMODE(facts.st_mode) != stamp.mode):
            return False
        if self._owner and (facts.st_uid, facts.st_gid) != (stamp.uid, stamp.gid):
            return False
        if not stamp.attributes and not self._verify:
            return True
        there = dict(attributes_of(parent, wanted.name, symlink=is_link))
        # Other attributes may be the system's own (such as labels), and no restore takes them away; ACLs it does.
        extra = there.keys() - dict(stamp.attributes).keys()
        return extra.isdisjoint(ACLS) and all(there.get(key) == value for key, value in stamp.attributes)


def matching_blobs(descriptor: int, blobs: Iterable[Blob], cancel: CancelToken) -> Iterator[tuple[int, bool]]:
    """For each blob of a file, by position: whether the open file holds it in its place."""
    offset = 0
    for position, (blob, length) in enumerate(blobs):
        cancel.check()
        if length < 0:
            yield position, False
            return
        yield position, digest_of(descriptor, offset, length) == blob
        offset += length


def digest_of(descriptor: int, offset: int, length: int) -> bytes:
    """SHA-256 of a part of an open file; of less when the file ends before."""
    digest = hashlib.sha256()
    end = offset + length
    while offset < end:
        data = os.pread(descriptor, min(_READ, end - offset), offset)
        if not data:
            break
        digest.update(data)
        offset += len(data)
    return digest.digest()


def _holds_something(parent: int, name: bytes) -> bool:
    handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        with os.scandir(handle) as entries:
            return next(entries, None) is not None
    finally:
        os.close(handle)
