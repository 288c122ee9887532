"""Look at the user's files: directories, metadata, links, attributes. Content is read in ``source_content``."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from backup_core.format.tree import Node, go_mode

TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFBLK: "dev",
    stat.S_IFCHR: "chardev",
    stat.S_IFIFO: "fifo",
}
HAVE_LINKS = frozenset(("file", "symlink", "dev", "chardev"))
_NO_ATTRIBUTES = frozenset(
    number for name in ("ENOTSUP", "EOPNOTSUPP", "ENODATA", "ENOSYS") if (number := getattr(errno, name, 0))
)
_CACHE_TAG = b"CACHEDIR.TAG"
_CACHE_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"


class Found(NamedTuple):
    """An entry of a directory."""

    name: bytes
    status: os.stat_result


def list_directory(path: bytes) -> tuple[list[Found], list[tuple[bytes, OSError]]]:
    """The entries of a directory, ascending by the bytes of their names, and those that could not be looked at.

    Raises ``OSError`` when the directory cannot be read.
    """
    found: list[Found] = []
    failed: list[tuple[bytes, OSError]] = []
    look, make = os.lstat, tuple.__new__  # the latter is all that ``Found()`` does, without a call into Python
    # Looked at from here, none of the names above has to be resolved again for each entry.
    here = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in sorted(os.listdir(path)):
            try:
                found.append(make(Found, (name, look(name, dir_fd=here))))
            except OSError as error:
                failed.append((name, error))
    finally:
        os.close(here)
    return found, failed


def join(directory: bytes, name: bytes) -> bytes:
    """The path of an entry; with an empty name, what all its entries' paths begin with."""
    return directory + name if directory.endswith(b"/") else directory + b"/" + name


def is_cache_directory(path: bytes, entries: list[Found]) -> bool:
    """Whether a directory holds a ``CACHEDIR.TAG`` with the right beginning (bford.info/cachedir)."""
    for name, status in entries:
        if name == _CACHE_TAG and stat.S_ISREG(status.st_mode):
            try:
                descriptor = os.open(join(path, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
                try:
                    return os.read(descriptor, len(_CACHE_SIGNATURE)) == _CACHE_SIGNATURE
                finally:
                    os.close(descriptor)
            except OSError:
                return False  # what cannot be read says nothing; the file itself is reported when it is backed up
    return False


@lru_cache(maxsize=4096)
def user_name(uid: int) -> str:
    """Name of an account, "" when it has none."""
    try:
        from pwd import getpwuid

        return getpwuid(uid).pw_name
    except (ImportError, KeyError, OverflowError):
        return ""


@lru_cache(maxsize=4096)
def group_name(gid: int) -> str:
    """Name of a group, "" when it has none."""
    try:
        from grp import getgrgid

        return getgrgid(gid).gr_name
    except (ImportError, KeyError, OverflowError):
        return ""


def extended_attributes(path: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Names and values in the system's order; POSIX ACLs are among them. Raises ``OSError``."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_ATTRIBUTES:
            return ()
        raise
    found = []
    for name in names:
        try:
            found.append((os.fsencode(name), os.getxattr(path, name, follow_symlinks=False)))
        except OSError as error:
            if error.errno not in _NO_ATTRIBUTES:  # else it was removed since
                raise
    return tuple(found)


def describes(old: Node, status: os.stat_result) -> bool:
    """Whether ``make_node`` would make just the node ``old``, apart from content and subtree.

    With inode and change time equal, neither attributes nor a link's target can be others.
    """
    kind = TYPES.get(stat.S_IFMT(status.st_mode))
    uid, gid = status.st_uid, status.st_gid
    return (
        old.ctime_ns == status.st_ctime_ns
        and old.inode == status.st_ino
        and old.mtime_ns == status.st_mtime_ns
        and old.type == kind
        and old.mode == go_mode(status.st_mode)
        and old.uid == uid
        and old.gid == gid
        and old.device_id == status.st_dev
        and old.size == (status.st_size if kind == "file" else 0)
        and old.links == (status.st_nlink if kind in HAVE_LINKS else 0)
        and old.user == user_name(uid)
        and old.group == group_name(gid)
        and not old.error
    )


def make_node(
    name: bytes,
    path: bytes,
    status: os.stat_result,
    *,
    old: Node | None = None,
    on_problem: Callable[[bytes, OSError], None],
) -> Node | None:
    """The node of an entry, without content and subtree; None for sockets, which nobody can restore.

    When ``old``, the node of an earlier backup, has the same inode and change time, its attributes are taken over:
    nothing can have changed them. Attributes that cannot be read are told to ``on_problem`` and left out.
    Raises ``OSError`` when a link cannot be read or the entry is gone.
    """
    kind = TYPES.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        return None
    uid, gid, mtime_ns, ctime_ns, inode = (
        status.st_uid,
        status.st_gid,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
    )
    if old is not None and old.inode == inode and old.ctime_ns == ctime_ns and old.type == kind:
        attributes = old.extended_attributes
    else:
        attributes = _attributes_if_readable(path, on_problem)
    return Node(
        name,
        kind,
        go_mode(status.st_mode),
        mtime_ns,
        mtime_ns,
        ctime_ns,
        uid,
        gid,
        user_name(uid),
        group_name(gid),
        inode,
        status.st_dev,
        status.st_size if kind == "file" else 0,
        status.st_nlink if kind in HAVE_LINKS else 0,
        os.readlink(path) if kind == "symlink" else None,
        attributes,
        status.st_rdev if kind in ("dev", "chardev") else 0,
        () if kind == "file" else None,
    )


def _attributes_if_readable(
    path: bytes, on_problem: Callable[[bytes, OSError], None]
) -> tuple[tuple[bytes, bytes], ...]:
    try:
        return extended_attributes(path)
    except FileNotFoundError:
        raise  # not the attributes are missing but the whole file
    except OSError as error:
        on_problem(path, error)
        return ()
