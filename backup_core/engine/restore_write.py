"""Making single entries at the target: each under a part name first, stamped, then renamed into place."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from backup_core.engine.restore_content import Use
from backup_core.engine.restore_entry import Action, PlanEntry
from backup_core.engine.restore_ledger import Stop
from backup_core.engine.restore_messages import Piece
from backup_core.engine.restore_parts import Parts
from backup_core.engine.sparse import data_runs
from backup_core.engine.target import (
    NO_ROOM,
    Directories,
    create_part,
    give_name,
    look,
    make_accessible,
    make_directory,
    open_nameless,
    open_part,
    part_name,
    publish,
    remove,
    remove_tree,
    write_all,
)
from backup_core.engine.target_metadata import gives_acls, stamp_entry, stamp_open_file, stamp_symlink
from backup_core.errors import RestoreError

_NO_DIRECTORY = -2
_UNEXPECTED = (
    "something is in its place that was not there when the plan was made "
    "(or this file system takes two names of the backup for the same one)"
)


class Report(Protocol):
    """Where a writer tells what became of entries: the ledger, or the notes of a process that writes for it."""

    def finished(self, number: int) -> None:
        """An entry stands at the target under its name."""
        ...

    def fail(self, number: int, reason: str) -> None:
        """An entry cannot be restored."""
        ...

    def warn(self, kind: str, number: int, told: Iterable[str]) -> None:
        """Things that went wrong with an entry which is there all the same."""
        ...

    def stop_because(self, stop: Stop, reason: str) -> None:
        """Everything else would fail, too."""
        ...


class WriterPlan(Protocol):
    """What a writer needs of a plan."""

    @property
    def entries(self) -> Sequence[PlanEntry] | Mapping[int, PlanEntry]:
        """By number."""
        ...

    @property
    def resumed(self) -> Container[int]:
        """Entries with a part file of an earlier run."""
        ...

    @property
    def delete(self) -> bool:
        """True when directories in the way may go."""
        ...


class Attempt:
    """Turns what goes wrong inside a ``with`` block into the failure of one entry.

    What will meet every entry stops the restore too. (A class, because there is one for each file.)
    """

    __slots__ = ("_ledger", "_number")

    def __init__(self, ledger: Report, number: int) -> None:
        self._ledger = ledger
        self._number = number

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if error is None or not isinstance(error, (OSError, RestoreError, OverflowError, ValueError)):
            return False
        told = (error.strerror if isinstance(error, OSError) else None) or str(error)
        self._ledger.fail(self._number, told)
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            self._ledger.stop_because(Stop.NO_ROOM, told)
        return True


class EntryWriter:
    """Makes entries; one for each thread."""

    def __init__(self, plan: WriterPlan, root: int, parts: Parts, ledger: Report) -> None:
        """``root`` is the target's descriptor."""
        self._plan = plan
        self._parts = parts
        self._ledger = ledger
        self._owner = os.geteuid() == 0
        entries = plan.entries
        self._directories = Directories(root, lambda n: (entries[n].parent, entries[n].name))
        self._giving: tuple[int, bool] = (_NO_DIRECTORY, True)

    def close(self) -> None:
        """Close all handles."""
        self._directories.close()

    def attempt(self, number: int) -> Attempt:
        """``with`` this, what goes wrong is recorded as the failure of an entry."""
        return Attempt(self._ledger, number)

    # ---- directories

    def make_directory(self, number: int) -> None:
        """Make a directory, or make sure of one that is there."""
        entry = self._plan.entries[number]
        parent = self._directories.handle(entry.parent)
        if entry.action in (Action.CREATE, Action.REPLACE):
            if entry.action is Action.REPLACE:
                remove(parent, entry.name)
            make_directory(parent, entry.name, private=entry.stamp is not None)
        if not self._owner and entry.stamp is not None:
            # It may be there and read-only, or its mode have been cut down by an ACL of the directory above.
            make_accessible(parent, entry.name)

    def stamp_directory(self, number: int) -> None:
        """Set a directory's metadata; after everything in it was made."""
        entry = self._plan.entries[number]
        if entry.stamp is not None:
            parent = self._directories.handle(entry.parent)
            told = stamp_entry(parent, entry.name, entry.stamp, owner=self._owner, directory=True)
            self._ledger.warn("metadata", number, told)

    # ---- what has no content to fetch

    def stamp(self, number: int) -> None:
        """Set the metadata of an entry whose content is right."""
        entry = self._plan.entries[number]
        if entry.stamp is None:
            return
        parent = self._directories.handle(entry.parent)
        stamp = stamp_symlink if entry.type == "symlink" else stamp_entry
        self._ledger.warn("metadata", number, stamp(parent, entry.name, entry.stamp, owner=self._owner))

    def make_special(self, number: int) -> None:
        """Make a symlink, fifo or device."""
        entry = self._plan.entries[number]
        parent = self._directories.handle(entry.parent)
        part = part_name(entry.name, entry.content)
        remove(parent, part)
        if entry.type == "symlink":
            os.symlink(entry.content, part, dir_fd=parent)
        elif entry.type == "fifo":
            os.mkfifo(part, 0o600, dir_fd=parent)
        else:
            kind = stat.S_IFCHR if entry.type == "chardev" else stat.S_IFBLK
            os.mknod(part, kind | 0o600, entry.device, dir_fd=parent)
        with _removing(parent, part):
            if entry.stamp is not None:
                stamp = stamp_symlink if entry.type == "symlink" else stamp_entry
                self._ledger.warn("metadata", number, stamp(parent, part, entry.stamp, owner=self._owner))
            self._settle(parent, part, entry)
        self._ledger.finished(number)

    def make_link(self, number: int) -> None:
        """Make an entry another name of one made before."""
        entry = self._plan.entries[number]
        first = self._plan.entries[entry.link]
        # Opening the second directory may close the first one's handle.
        there = os.dup(self._directories.handle(first.parent))
        try:
            parent = self._directories.handle(entry.parent)
            part = part_name(entry.name, entry.content)
            remove(parent, part)
            os.link(first.name, part, src_dir_fd=there, dst_dir_fd=parent, follow_symlinks=False)
            with _removing(parent, part):
                self._settle(parent, part, entry)
            # Renaming one name of a file over another one does nothing, and leaves both.
            remove(parent, part)
        finally:
            os.close(there)
        self._ledger.finished(number)

    def delete(self, directory: int, name: bytes) -> None:
        """Remove what the snapshot does not hold, with all below it."""
        remove_tree(self._directories.handle(directory), name)

    # ---- files

    def make_file(self, number: int, data: bytes = b"") -> None:
        """Make a file from all that was fetched for it: its only blob, or nothing when holes make up the rest."""
        entry = self._plan.entries[number]
        resumed = number in self._plan.resumed
        if entry.action is not Action.CREATE or resumed or not self._make_nameless(number, entry, data):
            self._make_by_part(number, entry, data, resumed=resumed)
        self._finish(number)

    def _make_nameless(self, number: int, entry: PlanEntry, data: bytes) -> bool:
        """Make a new file that gets its name when it is whole; False where the file system cannot do that."""
        parent = self._directories.handle(entry.parent)
        descriptor = open_nameless(parent)
        if descriptor is None:
            return False
        try:
            self._fill(number, entry, descriptor, data)
            return give_name(descriptor, self._directories.handle(entry.parent), entry.name)
        except FileExistsError as error:
            raise RestoreError(_UNEXPECTED) from error
        finally:
            os.close(descriptor)

    def _make_by_part(self, number: int, entry: PlanEntry, data: bytes, *, resumed: bool) -> None:
        parent = self._directories.handle(entry.parent)
        part = part_name(entry.name, entry.content)
        descriptor = open_part(parent, part) if resumed else create_part(parent, part)
        try:
            try:
                self._fill(number, entry, descriptor, data)
            finally:
                os.close(descriptor)
            self._settle(parent, part, entry)
        except BaseException:
            _remove_quietly(parent, part)
            raise

    def _fill(self, number: int, entry: PlanEntry, descriptor: int, data: bytes) -> None:
        if _write_sparsely(descriptor, data, 0) < entry.size:
            os.ftruncate(descriptor, entry.size)
        self._stamp_file(number, entry, descriptor)

    def begin(self, use: Use) -> Piece:
        """The place of one of several blobs, in the part file that is made when nobody has made it yet."""
        entry = self._plan.entries[use.entry]
        part = part_name(entry.name, entry.content)

        def make() -> int:
            return create_part(self._directories.handle(entry.parent), part, size=entry.size)

        descriptor = self._parts.begin(use.entry, make)
        if descriptor is not None:
            os.close(descriptor)
        return Piece(use.entry, entry.parent, part, use.offset, use.entry in self._plan.resumed)

    def write(self, piece: Piece, data: bytes) -> None:
        """Put one of several blobs into its place."""
        descriptor = open_part(self._directories.handle(piece.directory), piece.part)
        try:
            if piece.old:
                write_all(descriptor, data, piece.offset)
            else:
                _write_sparsely(descriptor, data, piece.offset)
        finally:
            os.close(descriptor)

    def end(self, number: int, *, failed: bool) -> None:
        """Give a part file, all of whose blobs are in place, its metadata and name; remove one that will not be
        whole."""
        if failed:
            self.abandon(number)
        else:
            self._complete(number)

    def _complete(self, number: int) -> None:
        entry = self._plan.entries[number]
        parent = self._directories.handle(entry.parent)
        part = part_name(entry.name, entry.content)
        with _removing(parent, part):
            descriptor = open_part(parent, part)
            try:
                self._stamp_file(number, entry, descriptor)
            finally:
                os.close(descriptor)
            self._settle(parent, part, entry)
        self._finish(number)

    def abandon(self, number: int) -> None:
        """Remove the part of a file that will not be whole."""
        entry = self._plan.entries[number]
        remove(self._directories.handle(entry.parent), part_name(entry.name, entry.content))
        self._parts.ended(number)

    def _finish(self, number: int) -> None:
        self._parts.ended(number)
        self._ledger.finished(number)

    def _stamp_file(self, number: int, entry: PlanEntry, descriptor: int) -> None:
        if entry.stamp is None:
            return
        directory = entry.parent
        if self._giving[0] != directory:  # looked at once for all files of a directory that are made in a row
            self._giving = (directory, gives_acls(self._directories.handle(directory)))
        told = stamp_open_file(descriptor, entry.stamp, owner=self._owner, inherited=self._giving[1])
        if told:
            self._ledger.warn("metadata", number, told)

    def _settle(self, parent: int, part: bytes, entry: PlanEntry) -> None:
        """Rename a part to its name, unless something is there that the plan did not know of."""
        facts = look(parent, entry.name)
        if facts is not None and entry.action is Action.CREATE:
            raise RestoreError(_UNEXPECTED)
        if facts is not None and stat.S_ISDIR(facts.st_mode):
            if self._plan.delete:
                remove_tree(parent, entry.name)
            else:
                os.rmdir(entry.name, dir_fd=parent)
        publish(parent, part, entry.name)


@contextlib.contextmanager
def _removing(parent: int, part: bytes) -> Iterator[None]:
    """Leave no part behind when what is done with it fails."""
    try:
        yield
    except BaseException:
        _remove_quietly(parent, part)
        raise


def _remove_quietly(parent: int, part: bytes) -> None:
    """Remove a part while another error is on its way."""
    with contextlib.suppress(OSError):
        remove(parent, part)


def _write_sparsely(descriptor: int, data: bytes, offset: int) -> int:
    """Write all but whole blocks of zeros; the offset in the file at which what was written ends."""
    view = memoryview(data)
    written = offset
    for start, end in data_runs(data, offset):
        write_all(descriptor, view[start:end], offset + start)
        written = offset + end
    return written
