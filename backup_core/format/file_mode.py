"""Modes of files: between the numbers of POSIX (``st_mode``) and Go's ``FileMode``, which trees hold."""

from __future__ import annotations

import stat
from functools import lru_cache, reduce
from operator import or_

_PERMISSIONS = 0o777

# Source: the constants of Go's package io/fs.
_GO_DEVICE = 1 << 26
_GO_IRREGULAR = 1 << 19
_GO_TYPES = {
    stat.S_IFREG: 0,
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: _GO_DEVICE,
    stat.S_IFCHR: _GO_DEVICE | 1 << 21,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
}
_GO_FLAGS = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}
_UNIX_TYPES = {go: unix for unix, go in _GO_TYPES.items()}
_GO_TYPE_MASK = reduce(or_, _GO_TYPES.values(), _GO_IRREGULAR)


@lru_cache(maxsize=4096)
def go_mode(st_mode: int) -> int:
    """Go's FileMode for a ``st_mode``. A type that trees do not know gives Go's "irregular" bit."""
    mode = st_mode & _PERMISSIONS | _GO_TYPES.get(stat.S_IFMT(st_mode), _GO_IRREGULAR)
    for unix, go in _GO_FLAGS.items():
        if st_mode & unix:
            mode |= go
    return mode


@lru_cache(maxsize=4096)
def unix_mode(mode: int) -> int:
    """The ``st_mode`` for Go's FileMode, without type bits when the type is none of POSIX."""
    st_mode = mode & _PERMISSIONS | _UNIX_TYPES.get(mode & _GO_TYPE_MASK, 0)
    for unix, go in _GO_FLAGS.items():
        if mode & go:
            st_mode |= unix
    return st_mode
