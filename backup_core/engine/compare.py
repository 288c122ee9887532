"""Comparing two directory trees on disk: everything a restore must bring back, and nothing else.

Access times and how a file's zeros are stored do not count. Neither tree is followed through its symlinks.
"""

from __future__ import annotations

import os
import stat
from enum import StrEnum

from backup_core.deferred import dataclass
from backup_core.engine.restore_layout import printable
from backup_core.engine.target_metadata import read_attributes
from backup_core.progress import CancelToken

_READ = 1024 * 1024


class Aspect(StrEnum):
    """In what two entries of the same name may differ."""

    PRESENCE = "presence"
    """One of them is missing."""
    TYPE = "type"
    CONTENT = "content"
    MODE = "mode"
    OWNER = "owner"
    TIME = "mtime"
    ATTRIBUTES = "attributes"
    LINK_TARGET = "link target"
    LINKS = "hard links"
    """Names that are one file on one side are not on the other."""
    DEVICE = "device"
    UNREADABLE = "unreadable"
    """One of them could not be looked at."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which the trees differ."""

    path: str
    """Relative and printable; "." for the roots."""
    aspect: Aspect
    left: str
    right: str

    def __str__(self) -> str:
        return f"{self.path}: {self.aspect} is {self.left} on the left and {self.right} on the right"


def compare_trees(
    left: str | bytes | os.PathLike[str],
    right: str | bytes | os.PathLike[str],
    *,
    owners: bool = True,
    times: bool = True,
    attributes: bool = True,
    extra_right: bool = True,
    sockets: bool = False,
    cancel: CancelToken | None = None,
) -> list[Difference]:
    """The differences between two files or directories and all below them, in order of the names.

    ``extra_right=False``: what only the right side has is no difference, nor are the times of directories that have
    more there. ``sockets``: no restore makes them, so they do not count unless asked for.
    Raises ``OSError`` when one of the roots is not there, ``Cancelled``.
    """
    comparison = _Comparison(
        owners=owners, times=times, attributes=attributes, extra_right=extra_right, sockets=sockets
    )
    tops = (os.fsencode(left), os.fsencode(right))
    for top in tops:
        os.lstat(top)
    pending = [b"."]
    while pending:
        if cancel is not None:
            cancel.check()
        name = pending.pop()
        paths = tuple(top if name == b"." else os.path.join(top, name) for top in tops)
        pending.extend(reversed(comparison.compare(name, paths[0], paths[1])))
    comparison.compare_links()
    return sorted(comparison.found, key=lambda difference: difference.path)


class _Comparison:
    def __init__(self, *, owners: bool, times: bool, attributes: bool, extra_right: bool, sockets: bool) -> None:
        self._owners = owners
        self._times = times
        self._attributes = attributes
        self._extra_right = extra_right
        self._sockets = sockets
        self._groups: tuple[dict[bytes, tuple[int, int]], dict[bytes, tuple[int, int]]] = ({}, {})
        self.found: list[Difference] = []

    def compare(self, name: bytes, left: bytes, right: bytes) -> list[bytes]:
        """Compare one pair of entries; the names below both, in order, when they are directories."""
        try:
            return self._compare(name, left, right)
        except OSError as error:
            told = f"{error.strerror} ({printable(os.fsencode(error.filename or b''))})"
            self._add(name, Aspect.UNREADABLE, told, told)
            return []

    def compare_links(self) -> None:
        """Find names that are one file on one side only."""
        shared = self._groups[0].keys() & self._groups[1].keys()
        partners = [_partners({n: g for n, g in side.items() if n in shared}) for side in self._groups]
        for name in shared:
            one, other = partners[0][name], partners[1][name]
            if one != other:
                self._add(name, Aspect.LINKS, _list(one), _list(other))

    def _compare(self, name: bytes, left: bytes, right: bytes) -> list[bytes]:
        facts = (os.lstat(left), os.lstat(right))
        kinds = [stat.S_IFMT(f.st_mode) for f in facts]
        if kinds[0] != kinds[1]:
            self._add(name, Aspect.TYPE, stat.filemode(facts[0].st_mode)[0], stat.filemode(facts[1].st_mode)[0])
            return []
        below: list[bytes] = []
        more = False
        if stat.S_ISDIR(kinds[0]):
            below, more = self._names(name, left, right)
        else:
            for side, fact in zip(self._groups, facts, strict=True):
                side[name] = (fact.st_dev, fact.st_ino)
            self._compare_content(name, (left, right), facts)
        self._compare_metadata(name, (left, right), facts, timely=not more or self._extra_right)
        return below

    def _names(self, name: bytes, left: bytes, right: bytes) -> tuple[list[bytes], bool]:
        """The names below both, and whether the right side has more."""
        one, other = (self._entries(path) for path in (left, right))
        prefix = b"" if name == b"." else name + b"/"
        for missing in one - other:
            self._add(prefix + missing, Aspect.PRESENCE, "there", "missing")
        for extra in other - one if self._extra_right else ():
            self._add(prefix + extra, Aspect.PRESENCE, "missing", "there")
        return [prefix + n for n in sorted(one & other)], bool(other - one)

    def _entries(self, path: bytes) -> set[bytes]:
        with os.scandir(path) as entries:
            return {
                e.name for e in entries if self._sockets or not stat.S_ISSOCK(e.stat(follow_symlinks=False).st_mode)
            }

    def _compare_content(self, name: bytes, paths: tuple[bytes, bytes], facts: tuple[os.stat_result, ...]) -> None:
        one, other = facts
        if stat.S_ISLNK(one.st_mode):
            self._check(name, Aspect.LINK_TARGET, [printable(os.readlink(path)) for path in paths])
        elif stat.S_ISREG(one.st_mode):
            if one.st_size != other.st_size:
                self._add(name, Aspect.CONTENT, f"{one.st_size} bytes", f"{other.st_size} bytes")
            elif (offset := _first_difference(*paths)) is not None:
                self._add(name, Aspect.CONTENT, f"one byte at offset {offset}", "another")
        elif stat.S_ISCHR(one.st_mode) or stat.S_ISBLK(one.st_mode):
            self._check(name, Aspect.DEVICE, [f"{os.major(f.st_rdev)}:{os.minor(f.st_rdev)}" for f in facts])

    def _compare_metadata(
        self, name: bytes, paths: tuple[bytes, bytes], facts: tuple[os.stat_result, ...], *, timely: bool
    ) -> None:
        if not stat.S_ISLNK(facts[0].st_mode):
            self._check(name, Aspect.MODE, [f"{stat.S_IMODE(f.st_mode):04o}" for f in facts])
        if self._owners:
            self._check(name, Aspect.OWNER, [f"{f.st_uid}:{f.st_gid}" for f in facts])
        if self._times and timely:
            self._check(name, Aspect.TIME, [f"{f.st_mtime_ns} ns" for f in facts])
        if self._attributes:
            self._check(name, Aspect.ATTRIBUTES, [repr(read_attributes(path, follow=False)) for path in paths])

    def _check(self, name: bytes, aspect: Aspect, values: list[str]) -> None:
        if values[0] != values[1]:
            self._add(name, aspect, *values)

    def _add(self, name: bytes, aspect: Aspect, left: str, right: str) -> None:
        self.found.append(Difference(printable(name), aspect, left, right))


def _first_difference(left: bytes, right: bytes) -> int | None:
    """Offset of the first byte in which two files differ, None when there is none."""
    with open(left, "rb", buffering=0) as one, open(right, "rb", buffering=0) as other:
        offset = 0
        while True:
            a, b = one.read(_READ), other.read(_READ)
            if a != b:
                shorter = min(len(a), len(b))
                return offset + next((i for i in range(shorter) if a[i] != b[i]), shorter)
            if not a:
                return None
            offset += len(a)


def _partners(inodes: dict[bytes, tuple[int, int]]) -> dict[bytes, frozenset[bytes]]:
    """For each name, all names of the same file."""
    groups: dict[tuple[int, int], set[bytes]] = {}
    for name, inode in inodes.items():
        groups.setdefault(inode, set()).add(name)
    whole: dict[tuple[int, int], frozenset[bytes]] = {inode: frozenset(names) for inode, names in groups.items()}
    return {name: whole[inode] for name, inode in inodes.items()}


def _list(names: frozenset[bytes]) -> str:
    return ", ".join(sorted(map(printable, names)))
