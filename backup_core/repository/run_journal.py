"""What this process has under way on the server, kept on the local disk so that a killed run costs nothing.

The write order of a repository (see ``repository``) makes a killed run harmless; the journal makes it cheap and tidy:

* packs that were stored but not yet listed by an index file are known to the next run, which lists them instead of
  storing the same content again;
* an index, snapshot or lock file that was being written may lie on the server cut off (some servers keep what came of
  an interrupted upload), and a lock may have been left: the next run removes them.

Every process has its own file and holds an advisory lock (``flock``) on it while it lives, so a file that can be locked
belongs to a dead process. One line each: ``W size name`` a file begins to be written, ``D name`` it is done,
``P json`` a pack was stored. A line that makes no sense was being written when the process died, and is passed over.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from backup_core.errors import Corrupt
from backup_core.format.index_file import decode_index, encode_index
from backup_core.types import PackedBlob, PackId

try:
    import fcntl
except ImportError:  # pragma: no cover - without it no journal is ever taken over from another process
    fcntl = None  # type: ignore[assignment]  # the module does not exist on Windows

_SUFFIX = ".journal"


class RunJournal:
    """The journal of this process for one repository. Safe between threads.

    That it cannot be written is told to ``on_failure`` and else ignored: it only ever saves work.
    """

    def __init__(self, directory: Path, *, on_failure: Callable[[OSError], None]) -> None:
        self._directory = directory
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._path: Path | None = None
        self._puts: dict[str, int] = {}
        self._packs: dict[PackId, tuple[PackedBlob, ...]] = {}

    def begin_put(self, name: str, size: int) -> None:
        """A file of ``size`` bytes is about to be written under ``name``."""
        with self._lock:
            self._puts[name] = size
            self._append(_put_line(name, size))

    def end_put(self, name: str) -> None:
        """The file is stored, or deleted: nothing is left to look after."""
        with self._lock:
            if self._puts.pop(name, None) is not None:
                self._append(f"D {name}\n".encode("ascii"))

    def add_pack(self, pack: PackId, blobs: Sequence[PackedBlob]) -> None:
        """A pack is stored and in no index file yet."""
        with self._lock:
            self._packs[pack] = tuple(blobs)
            self._append(_pack_line(pack, blobs))

    def forget_packs(self, packs: Iterable[PackId]) -> None:
        """These packs are listed by an index file now, or not there any more."""
        with self._lock:
            for pack in packs:
                self._packs.pop(pack, None)
            self._rewrite()

    def unindexed_packs(self) -> dict[PackId, tuple[PackedBlob, ...]]:
        """Packs that were stored and are in no index file as far as this process and its dead predecessors know."""
        with self._lock:
            return dict(self._packs)

    def unfinished_puts(self) -> dict[str, int]:
        """Name -> bytes of files whose writing was begun and never confirmed, and of locks not deleted."""
        with self._lock:
            return dict(self._puts)

    def take_over(self) -> None:
        """Make the journals of dead processes part of this one."""
        with self._lock:
            for path in sorted(self._directory.glob(f"*{_SUFFIX}")):
                if path != self._path:
                    self._take_over_one(path)

    def close(self) -> None:
        """Give the journal up; it stays on disk when there is still something in it."""
        with self._lock:
            self._drop_file(keep=bool(self._puts or self._packs))

    def _take_over_one(self, path: Path) -> None:
        try:
            descriptor = os.open(path, os.O_RDWR)
        except OSError:
            return  # another process took it over
        try:
            if not _try_lock(descriptor):
                return  # its process lives
            puts, packs = _parse(path.read_bytes())
            self._puts |= puts
            self._packs |= packs
            if self._rewrite():
                path.unlink(missing_ok=True)
        except OSError as error:
            self._on_failure(error)
        finally:
            os.close(descriptor)

    def _append(self, line: bytes) -> None:
        try:
            if self._descriptor is None:
                self._start()
            else:
                _write_all(self._descriptor, line)
        except OSError as error:
            self._on_failure(error)

    def _rewrite(self) -> bool:
        """Replace the file by one that holds only what is still open; True when that worked."""
        old_descriptor, old_path = self._descriptor, self._path
        self._descriptor = self._path = None
        try:
            if self._puts or self._packs:
                self._start()
        except OSError as error:
            self._descriptor, self._path = old_descriptor, old_path
            self._on_failure(error)
            return False
        if old_descriptor is not None and old_path is not None:
            _discard(old_descriptor, old_path)
        return True

    def _start(self) -> None:
        """Make a file with all that is open. It gets its final name only when it is locked and whole."""
        descriptor, temporary = tempfile.mkstemp(prefix=f"{os.getpid()}-", suffix=".new", dir=self._directory)
        path = Path(temporary).with_suffix(_SUFFIX)
        try:
            _try_lock(descriptor)
            lines = [_put_line(name, size) for name, size in self._puts.items()]
            lines += [_pack_line(pack, blobs) for pack, blobs in self._packs.items()]
            _write_all(descriptor, b"".join(lines))
            Path(temporary).rename(path)
        except BaseException:
            _discard(descriptor, Path(temporary))
            raise
        self._descriptor, self._path = descriptor, path

    def _drop_file(self, *, keep: bool) -> None:
        descriptor, path = self._descriptor, self._path
        self._descriptor = self._path = None
        if descriptor is None or path is None:
            return
        if keep:
            os.close(descriptor)
        else:
            _discard(descriptor, path)

    def __del__(self) -> None:
        # A journal whose owner was dropped without close() is one of a dead run: give up the advisory lock.
        if getattr(self, "_descriptor", None) is not None:
            self._drop_file(keep=True)


def _put_line(name: str, size: int) -> bytes:
    return f"W {size} {name}\n".encode("ascii")


def _pack_line(pack: PackId, blobs: Sequence[PackedBlob]) -> bytes:
    return b"P " + encode_index([(pack, blobs)])


def _parse(data: bytes) -> tuple[dict[str, int], dict[PackId, tuple[PackedBlob, ...]]]:
    puts: dict[str, int] = {}
    packs: dict[PackId, tuple[PackedBlob, ...]] = {}
    for line in _whole_lines(data):
        mark, _, rest = line.partition(b" ")
        with suppress(Corrupt, ValueError):
            if mark == b"W":
                size, _, name = rest.decode("ascii").partition(" ")
                puts[name] = int(size)
            elif mark == b"D":
                puts.pop(rest.decode("ascii"), None)
            elif mark == b"P":
                packs |= {pack: tuple(blobs) for pack, blobs in decode_index(rest)}
    return puts, packs


def _whole_lines(data: bytes) -> Iterator[bytes]:
    *lines, _cut_off = data.split(b"\n")
    yield from lines


def _try_lock(descriptor: int) -> bool:
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _discard(descriptor: int, path: Path) -> None:
    with suppress(OSError):
        path.unlink()
    os.close(descriptor)
