"""Writing below one directory and never anywhere else.

A repository may be hostile (names such as ``..`` or ``/etc/passwd``), and so may whoever else can write to the
target (a directory swapped for a symlink between two calls). So no path with a separator is ever handed to the
kernel: every act names one entry of a directory that is held open, every directory is opened from its parent
without following links, and files are made with ``O_EXCL``. A name that is already taken by a symlink is therefore
replaced or refused, never followed.

Content goes to a part file beside its final place and is renamed when whole, so a file under its own name is
always a whole file. (A new file that is written in one go needs not even that: it gets its only name when it is whole.)
The part's name follows from the entry's name and content: a restore that was killed finds its
own parts again and reuses what they hold (after checking it).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterator

from backup_core.errors import RestoreError, UnsafePath

PART_PREFIX = b".davault-"
PART_SUFFIX = b".part"
ROOT = -1
"""The number by which ``Directories`` knows the target itself."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Names a file, directory or device without opening it for anything; where the system knows no such thing, opening
# for reading has to do (without waiting for a fifo's other end).
_GRIP = getattr(os, "O_PATH", os.O_RDONLY | os.O_NONBLOCK) | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NAMELESS = os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC if hasattr(os, "O_TMPFILE") else None
_OPEN_DIRECTORIES = 64
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE})
"""Errors that will meet every following write too."""


def check_name(name: bytes) -> bytes:
    """The name itself if it names an entry of a directory and nothing else; ``UnsafePath`` otherwise."""
    if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
        raise UnsafePath(f"the repository names an entry {name!r}, which would lie outside its directory")
    return name


def part_name(name: bytes, content: bytes) -> bytes:
    """The name of the part file for an entry: of fixed length, the same for the same name and content."""
    digest = hashlib.sha256(b"%d:%s%s" % (len(name), name, content)).hexdigest()[:24]
    return PART_PREFIX + digest.encode("ascii") + PART_SUFFIX


def is_part(name: bytes) -> bool:
    """True for names that ``part_name`` gives."""
    return name.startswith(PART_PREFIX) and name.endswith(PART_SUFFIX) and len(name) == 38


class Target:
    """The directory to restore into, held open, and by no other restore at the same time.

    The path itself is the caller's own choice and is followed as it stands, links included.
    """

    def __init__(self, path: str | bytes, *, create: bool) -> None:
        """Open the directory, or make it (and its parents) when ``create``.

        Raises ``RestoreError`` when it cannot be had, is not a directory, or another restore writes to it.
        """
        self.path = os.path.abspath(os.fsencode(path))
        try:
            if create:
                os.makedirs(self.path, exist_ok=True)
            self.fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> RestoreError:
        shown = os.fsdecode(self.path)
        return RestoreError(f"cannot restore into {shown}: {error.strerror}; choose another target", path=shown)

    def hold(self) -> None:
        """Keep other restores out until closed (an advisory lock; file systems without locks are let pass)."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            shown = os.fsdecode(self.path)
            raise RestoreError(f"another restore is writing to {shown}; wait for it to end", path=shown) from error
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.ENOLCK, errno.EBADF, errno.EINVAL, errno.ENOSYS):
                raise self._failed(error) from error

    def close(self) -> None:
        """Let go of the directory and of the lock."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def free_bytes(path: str | bytes) -> int:
    """Bytes that an ordinary write may still take on the file system that holds (or will hold) ``path``."""
    place = os.path.abspath(os.fsencode(path))
    while not os.path.exists(place):
        place = os.path.dirname(place)
    facts = os.statvfs(place)
    return facts.f_bavail * facts.f_frsize


class Directories:
    """Open handles of directories below a target, numbered as their entries in a plan; for one thread.

    At most some dozens are kept open, however deep or wide the tree is.
    """

    def __init__(
        self, root: int, parent_of: Callable[[int], tuple[int, bytes]], limit: int = _OPEN_DIRECTORIES
    ) -> None:
        """``parent_of`` gives a directory's parent and its name there; ``ROOT`` stands for the target."""
        self._root = root
        self._parent_of = parent_of
        self._limit = limit
        self._open: OrderedDict[int, int] = OrderedDict()

    def handle(self, number: int) -> int:
        """A descriptor of the directory, good until the next call; ``OSError`` when it is not there or is none."""
        missing: list[tuple[int, bytes]] = []
        while number != ROOT and number not in self._open:
            parent, name = self._parent_of(number)
            missing.append((number, name))
            number = parent
        descriptor = self._root if number == ROOT else self._open[number]
        if number != ROOT:
            self._open.move_to_end(number)
        for child, name in reversed(missing):
            descriptor = open_directory(descriptor, name)
            self._open[child] = descriptor
            while len(self._open) > self._limit:
                os.close(self._open.popitem(last=False)[1])
        return descriptor

    def forget(self, number: int) -> None:
        """Close a directory's handle, because another directory takes its place."""
        descriptor = self._open.pop(number, None)
        if descriptor is not None:
            os.close(descriptor)

    def close(self) -> None:
        """Close all handles."""
        while self._open:
            os.close(self._open.popitem()[1])


def open_directory(parent: int, name: bytes) -> int:
    """Open one directory of another, refusing links; ``OSError`` when it is not a directory."""
    return os.open(check_name(name), _DIRECTORY, dir_fd=parent)


def make_directory(parent: int, name: bytes, *, private: bool) -> None:
    """Make a directory; a ``private`` one only its owner can enter, until its metadata is set."""
    os.mkdir(check_name(name), 0o700 if private else 0o777, dir_fd=parent)


@contextlib.contextmanager
def grip(parent: int, name: bytes) -> Iterator[int | bytes]:
    """A path or descriptor that means the present entry and no other, whatever its name is made to mean meanwhile.

    ``UnsafePath`` for a symlink: whoever grips something does not expect one.
    """
    descriptor = os.open(check_name(name), _GRIP, dir_fd=parent)
    try:
        if stat.S_ISLNK(os.fstat(descriptor).st_mode):
            raise UnsafePath(f"somebody put a link in the place of {os.fsdecode(name)}")
        # A descriptor opened with O_PATH cannot be changed itself, but its entry below /proc leads to the inode.
        yield b"/proc/self/fd/%d" % descriptor if hasattr(os, "O_PATH") else descriptor
    finally:
        os.close(descriptor)


def make_accessible(parent: int, name: bytes) -> None:
    """Give the owner all rights on an existing directory."""
    with grip(parent, name) as handle:
        os.chmod(handle, os.stat(handle).st_mode & 0o7777 | 0o700)


def look(parent: int, name: bytes) -> os.stat_result | None:
    """What stands under a name (a link itself, not its goal), None when nothing does."""
    try:
        return os.stat(check_name(name), dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


def create_part(parent: int, part: bytes, *, size: int = 0) -> int:
    """Make an empty part file of ``size`` bytes (all of it a hole) and return its descriptor.

    A leftover that nobody could use is replaced.
    """
    try:
        descriptor = os.open(check_name(part), _NEW, 0o600, dir_fd=parent)
    except FileExistsError:
        os.unlink(part, dir_fd=parent)
        descriptor = os.open(part, _NEW, 0o600, dir_fd=parent)
    if size:
        try:
            os.ftruncate(descriptor, size)
        except BaseException:
            os.close(descriptor)
            remove(parent, part)
            raise
    return descriptor


def open_nameless(parent: int) -> int | None:
    """Make an empty file in a directory that has no name there yet; None where the file system knows no such files.

    It vanishes when its descriptor is closed before ``give_name``, so nothing is ever left over.
    """
    if _NAMELESS is None:
        return None
    try:
        return os.open(b".", _NAMELESS, 0o600, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            return None
        raise


def give_name(descriptor: int, parent: int, name: bytes) -> bool:
    """Let a nameless file appear under a name; False when that cannot be done on this machine.

    Raises ``FileExistsError`` when the name is taken: nothing is ever replaced, and no link followed.
    """
    try:
        os.link(b"/proc/self/fd/%d" % descriptor, check_name(name), dst_dir_fd=parent)
    except FileNotFoundError:  # without /proc there is no other way for those who are not root
        return False
    return True


def open_part(parent: int, part: bytes) -> int:
    """Open a part file that exists. ``UnsafePath`` when it is not a plain file of our own under one name."""
    descriptor = os.open(check_name(part), os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1 or facts.st_uid != os.geteuid():
        os.close(descriptor)
        raise UnsafePath(f"somebody put something else in the place of the part file {os.fsdecode(part)}")
    return descriptor


def open_for_reading(parent: int, name: bytes) -> int:
    """Open a plain file for reading; ``UnsafePath`` when it is something else."""
    descriptor = os.open(check_name(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnsafePath(f"{os.fsdecode(name)} is no longer a plain file")
    return descriptor


def write_all(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of ``data`` at ``offset``."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        offset += written
        view = view[written:]


def publish(parent: int, part: bytes, name: bytes) -> None:
    """Give a finished part its name, replacing in one step what was there (unless that is a directory)."""
    os.rename(part, check_name(name), src_dir_fd=parent, dst_dir_fd=parent)


def remove(parent: int, name: bytes) -> None:
    """Remove an entry that is not a directory; nothing there is no error."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(check_name(name), dir_fd=parent)


def remove_tree(parent: int, name: bytes) -> None:
    """Remove an entry with all below it, never following a link and never entering another file system."""
    facts = look(parent, name)
    if facts is None:
        return
    if not stat.S_ISDIR(facts.st_mode):
        remove(parent, name)
        return
    # A list of open handles instead of recursion would run out of descriptors in deep trees, so the way down is
    # remembered by names and walked again from the top (``Directories`` keeps the last ones open).
    ways: list[tuple[int, bytes]] = [(ROOT, name)]
    with contextlib.closing(Directories(parent, lambda number: ways[number])) as handles:
        emptied: list[int] = []
        pending = [0]
        while pending:
            number = pending.pop()
            emptied.append(number)
            for directory in _empty_of_files(handles, number, ways[number], facts.st_dev):
                pending.append(len(ways))
                ways.append((number, directory))
        for number in reversed(emptied):
            handles.forget(number)
            above, entry = ways[number]
            os.rmdir(entry, dir_fd=handles.handle(above))


def _empty_of_files(handles: Directories, number: int, way: tuple[int, bytes], device: int) -> list[bytes]:
    """Remove all but the directories from a directory; their names."""
    above, name = way
    if os.geteuid() != 0:
        make_accessible(handles.handle(above), name)
    handle = handles.handle(number)
    if os.fstat(handle).st_dev != device:
        raise OSError(errno.EXDEV, "another file system is mounted there", os.fsdecode(name))
    directories = []
    for child in map(os.fsencode, os.listdir(handle)):
        facts = look(handle, child)
        if facts is not None and stat.S_ISDIR(facts.st_mode):
            directories.append(child)
        else:
            remove(handle, child)
    return directories
