"""Owner, attributes, mode and times of restored entries, each without following links.

The order is fixed: a change of owner clears setuid bits and capabilities, an ACL changes the group bits of the mode,
and everything moves the times. So: owner, attributes, mode, times. What a file system or user cannot take is told
as a sentence per item; the entry itself stays.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import NamedTuple

from backup_core.engine.target import check_name, grip

Attributes = tuple[tuple[bytes, bytes], ...]

_ACCESS_ACL = b"system.posix_acl_access"
_DEFAULT_ACL = b"system.posix_acl_default"
ACLS = frozenset({_ACCESS_ACL, _DEFAULT_ACL})
"""Attributes that are POSIX access control lists."""

_HAS_ATTRIBUTES = hasattr(os, "setxattr")


class Stamp(NamedTuple):
    """The metadata of an entry as a snapshot holds it."""

    mode: int
    """Permission bits with setuid, setgid and sticky."""
    uid: int
    gid: int
    mtime_ns: int
    atime_ns: int
    attributes: Attributes
    """Extended attributes, ACLs included."""


def stamp_open_file(descriptor: int, stamp: Stamp, *, owner: bool, inherited: bool = True) -> list[str]:
    """Stamp a freshly written file through its own descriptor; returns what could not be done.

    ``inherited``: it may have got an ACL from its directory (``gives_acls``).
    """
    return _stamp(descriptor, stamp, owner=owner, acls=(_ACCESS_ACL,) if inherited else ())


def gives_acls(directory: int) -> bool:
    """Whether what is made in an open directory gets an ACL from it."""
    if not _HAS_ATTRIBUTES:
        return False
    try:
        os.getxattr(directory, _DEFAULT_ACL)
    except OSError as error:
        return error.errno not in (errno.ENODATA, errno.ENOTSUP)
    return True


def stamp_entry(parent: int, name: bytes, stamp: Stamp, *, owner: bool, directory: bool = False) -> list[str]:
    """Stamp a file, directory, fifo or device by name; returns what could not be done.

    Raises ``OSError`` when the entry is not there any more, ``UnsafePath`` when it is a link now.
    """
    with grip(parent, name) as handle:
        return _stamp(handle, stamp, owner=owner, acls=(_ACCESS_ACL, _DEFAULT_ACL) if directory else (_ACCESS_ACL,))


def stamp_symlink(parent: int, name: bytes, stamp: Stamp, *, owner: bool) -> list[str]:
    """Stamp a symlink itself (it has no mode of its own on Linux); returns what could not be done."""
    check_name(name)
    failed: list[str] = []
    if owner:
        with _telling(failed, "its owner"):
            os.chown(name, stamp.uid, stamp.gid, dir_fd=parent, follow_symlinks=False)
    path = b"/proc/self/fd/%d/%s" % (parent, name)
    for key, value in stamp.attributes:
        with _telling(failed, f"its attribute {os.fsdecode(key)}"):
            _set_attribute(path, key, value, follow=False)
    with _telling(failed, "its times"):
        os.utime(name, ns=(stamp.atime_ns, stamp.mtime_ns), dir_fd=parent, follow_symlinks=False)
    return failed


def attributes_of(parent: int, name: bytes, *, symlink: bool) -> Attributes:
    """The extended attributes of an existing entry, sorted; empty where they cannot be read."""
    with contextlib.suppress(OSError):
        if symlink:
            return read_attributes(b"/proc/self/fd/%d/%s" % (parent, check_name(name)), follow=False)
        with grip(parent, name) as handle:
            return read_attributes(handle, follow=True)
    return ()


def read_attributes(path: int | bytes, *, follow: bool) -> Attributes:
    """All extended attributes of a path or descriptor, sorted; empty where there is no such thing. ``OSError``."""
    if not _HAS_ATTRIBUTES:
        return ()
    try:
        names = os.listxattr(path, follow_symlinks=follow)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return ()
        raise
    return tuple(sorted((os.fsencode(n), os.getxattr(path, n, follow_symlinks=follow)) for n in names))


def _stamp(path: int | bytes, stamp: Stamp, *, owner: bool, acls: tuple[bytes, ...]) -> list[str]:
    if acls and _HAS_ATTRIBUTES:
        _remove_inherited(path, stamp.attributes, acls)
    if not stamp.attributes:
        # Nearly all entries are like that, and nearly always all goes well.
        mode, uid, gid, mtime_ns, atime_ns, _ = stamp
        try:
            if owner:
                os.chown(path, uid, gid)
            os.chmod(path, mode & 0o7777)
            os.utime(path, ns=(atime_ns, mtime_ns))
        except (OSError, OverflowError):
            pass  # which of them it was, the steps tell
        else:
            return []
    return _stamp_step_by_step(path, stamp, owner=owner)


def _stamp_step_by_step(path: int | bytes, stamp: Stamp, *, owner: bool) -> list[str]:
    failed: list[str] = []
    if owner:
        with _telling(failed, "its owner"):
            os.chown(path, stamp.uid, stamp.gid)
    for key, value in stamp.attributes:
        with _telling(failed, f"its attribute {os.fsdecode(key)}"):
            _set_attribute(path, key, value, follow=True)
    with _telling(failed, "its mode"):
        os.chmod(path, stamp.mode & 0o7777)
    with _telling(failed, "its times"):
        os.utime(path, ns=(stamp.atime_ns, stamp.mtime_ns))
    return failed


def _set_attribute(path: int | bytes, key: bytes, value: bytes, *, follow: bool) -> None:
    if not _HAS_ATTRIBUTES:
        raise OSError(0, "this system has no extended attributes")
    if isinstance(path, int):
        os.setxattr(path, key, value)
    else:
        os.setxattr(path, key, value, follow_symlinks=follow)


def _remove_inherited(path: int | bytes, attributes: Attributes, acls: tuple[bytes, ...]) -> None:
    """Take away ACLs that a directory's default gave to an entry which had none."""
    for acl in acls:
        if not attributes or acl not in dict(attributes):
            # Nearly always there is none, or none possible.
            with contextlib.suppress(OSError):
                os.removexattr(path, acl)


@contextlib.contextmanager
def _telling(failed: list[str], what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        failed.append(f"{what} could not be restored: {error.strerror}")
    except (OverflowError, ValueError) as error:
        failed.append(f"{what} could not be restored: {error}")
