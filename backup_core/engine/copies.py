"""A repository and its mirrors, read as one: what one copy cannot give is taken from another, blob by blob.

The first copy is asked for everything. A blob that is damaged there, or missing, or in no index of it, is asked of the
others in their order; a copy that fails as a whole (three times in a row, or in a way that will meet every request)
is asked no more. Spare copies are opened only when one is needed: a restore of a whole repository never touches them.

Blobs are named by their content, so a blob is the same whichever copy it comes from, and it is verified all the same.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import field
from types import TracebackType
from typing import Self, TypeAlias

from backup_core.deferred import dataclass
from backup_core.engine.snapshot_walk import DAMAGE
from backup_core.errors import (
    AccessDenied,
    BackupError,
    Cancelled,
    ConnectionLost,
    Corrupt,
    QuotaExceeded,
    RateLimited,
    StorageError,
)
from backup_core.format.cipher import MasterKey
from backup_core.format.ids import to_hex
from backup_core.format.tree import Node
from backup_core.progress import CancelToken
from backup_core.repository.blob_reader import Run, Wanted
from backup_core.repository.repository import Repository
from backup_core.results import Problem, Severity
from backup_core.types import BlobId, BlobLocation, BlobType, PackId, TreeId

_FOR_ALL = (AccessDenied, ConnectionLost, QuotaExceeded, RateLimited)
"""Errors that will meet every other request too."""
_ENOUGH = 3
"""So many failures in a row, and the server is taken to be out of order."""

Fault: TypeAlias = Corrupt | StorageError

Opener = Callable[[], AbstractContextManager[Repository]]
"""Opens a spare copy; raises ``BackupError`` when it cannot."""


@dataclass(frozen=True, slots=True)
class Spare:
    """Another copy, not opened yet."""

    name: str
    """For people."""
    open: Opener


@dataclass
class _Copy:
    """One copy in use."""

    repository: Repository
    name: str
    down: str = ""
    """Why it is asked no more."""
    failures_in_a_row: int = 0
    blobs: int = 0
    """Blobs of files taken from it."""
    standing_in: Counter[str] = field(default_factory=Counter)
    """Blobs taken from it in place of another copy, by what was wrong there."""


class Copies:
    """Safe between threads. A context manager: the end of it closes the spare copies that were opened."""

    def __init__(self, repository: Repository, spares: Iterable[Spare] = (), *, cancel: CancelToken) -> None:
        """``repository`` belongs to the caller; its index must be loaded before anything is asked."""
        self._first = _Copy(repository, repository.backend.location)
        self._copies = [self._first]
        self._waiting = list(spares)
        self._cancel = cancel
        self._lock = threading.RLock()
        self._resources = ExitStack()
        self._unusable: list[Problem] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    # ---- asking

    def read_tree(self, tree: TreeId) -> list[Node]:
        """The nodes of a directory. Raises what the first copy raised when no copy can give it."""
        fault: BackupError | None = None
        for copy in self._each():
            try:
                nodes = copy.repository.read_tree(tree)
            except (*DAMAGE, StorageError) as error:
                self._note_failure(copy, error)
                fault = fault or error
                continue
            copy.failures_in_a_row = 0
            if copy is not self._first:
                self._note_stand_in(copy, f"the directory {to_hex(tree)[:16]} could not be read ({fault})")
            return nodes
        raise fault or ConnectionLost(f"no copy can be asked any more: {self._first.down}")

    def find(self, blob: BlobId, kind: BlobType) -> BlobLocation | None:
        """A place of a blob, in the first copy that knows one and can be asked."""
        if not self._first.down:  # the first look at the likely place takes no lock: a plan asks for every blob
            place = self._first.repository.index.find(blob, kind)
            if place is not None and place.plaintext_length > 0:
                return place
        for copy in self._each():
            place = copy.repository.index.find(blob, kind)
            if place is not None and place.plaintext_length > 0:
                return place
        return None

    def fetch(self, pack: PackId, wanted: Sequence[Wanted]) -> Iterator[tuple[BlobId, bytes | Corrupt]]:
        """(blob, plaintext) for data blobs that ``find`` placed in ``pack``; what that pack does not give comes from
        any other place, and ``Corrupt`` stands for what nobody has whole.

        Raises the ``StorageError`` of the copy that has the pack when no copy can be asked for it.
        """
        owner = self._owner(pack)
        left: dict[BlobId, Fault] = {}
        waiting = dict.fromkeys(blob for blob, _ in wanted)
        try:
            _usable(owner)
            for blob, content in owner.repository.fetch_blobs(pack, wanted):
                del waiting[blob]
                if isinstance(content, Corrupt):
                    left[blob] = content
                else:
                    self._note(owner)
                    yield blob, content
            owner.failures_in_a_row = 0
        except StorageError as error:
            self._note_failure(owner, error)
            left |= dict.fromkeys(waiting, error)
        else:
            left |= {blob: _not_there(blob, pack) for blob in waiting}
        yield from self._elsewhere(owner, left)

    @property
    def first_key(self) -> MasterKey:
        """What opens the boxes that ``fetch_sealed`` gives."""
        return self._first.repository.master_key

    def has_first(self, pack: PackId) -> bool:
        """True when the first copy has a pack, so that ``fetch_sealed`` may be asked for it."""
        return self._owner(pack) is self._first

    def fetch_sealed(
        self, pack: PackId, wanted: Sequence[Wanted], open_boxes: Callable[[Run, memoryview], Mapping[BlobId, Corrupt]]
    ) -> Iterator[tuple[BlobId, bytes | Corrupt]]:
        """Like ``fetch``, for a pack of the first copy whose boxes ``open_boxes`` opens and uses, run by run.

        It returns those that are damaged; only these come from here, from any other place.
        """
        left: dict[BlobId, Fault] = {}
        waiting = dict.fromkeys(blob for blob, _ in wanted)
        try:
            _usable(self._first)
            for run, data in self._first.repository.reader.fetch_sealed(pack, wanted):
                damaged = {run.blobs[0][0]: data} if isinstance(data, Corrupt) else open_boxes(run, data)
                left |= damaged
                for blob, _ in run.blobs:
                    del waiting[blob]
                self._note(self._first, len(run.blobs) - len(damaged))
            self._first.failures_in_a_row = 0
        except StorageError as error:
            self._note_failure(self._first, error)
            left |= dict.fromkeys(waiting, error)
        else:
            left |= {blob: _not_there(blob, pack) for blob in waiting}
        yield from self._elsewhere(self._first, left)

    # ---- telling

    def problems(self) -> list[Problem]:
        """What was taken from where, and which copies could not be used."""
        told = []
        with self._lock:
            for copy in self._copies:
                for reason, count in copy.standing_in.items():
                    text = f"{count} objects were taken from {copy.name}: in the first copy, {reason}"
                    told.append(Problem("from-mirror", text))
            return [*told, *self._unusable]

    def blobs_by_copy(self) -> dict[str, int]:
        """Blobs of files that were fetched, by where they came from."""
        with self._lock:
            return {copy.name: copy.blobs for copy in self._copies if copy.blobs}

    def requests(self) -> Counter[str]:
        """Requests so far by method, to all copies."""
        with self._lock:
            return sum((Counter(copy.repository.backend.requests.by_method) for copy in self._copies), Counter())

    def bytes_down(self) -> int:
        """Bytes fetched so far from all copies."""
        with self._lock:
            return sum(copy.repository.backend.requests.bytes_down for copy in self._copies)

    # ---- inside

    def _each(self) -> Iterator[_Copy]:
        """The copies that can be asked, the first one first; the next spare is opened when it is its turn."""
        number = 0
        while True:
            with self._lock:
                if number == len(self._copies) and not self._open_next():
                    return
                copy = self._copies[number]
            number += 1
            if not copy.down:
                yield copy

    def _open_next(self) -> bool:
        """Open the next spare that can be opened; False when there is none left."""
        while self._waiting:
            spare = self._waiting.pop(0)
            try:
                repository = self._resources.enter_context(spare.open())
                unread: list[Problem] = []
                repository.load_index(cancel=self._cancel, problems=unread, allow_unproved=True)
            except Cancelled:
                raise
            except BackupError as error:
                told = f"the copy at {spare.name} cannot be used: {error}"
                self._unusable.append(Problem("mirror-unusable", told, severity=Severity.WARNING))
                continue
            self._unusable += unread
            self._copies.append(_Copy(repository, spare.name))
            return True
        return False

    def _owner(self, pack: PackId) -> _Copy:
        with self._lock:
            known = (copy for copy in self._copies if copy.repository.index.pack_size(pack) is not None)
            return next(known, self._first)

    def _elsewhere(self, owner: _Copy, left: dict[BlobId, Fault]) -> Iterator[tuple[BlobId, bytes | Corrupt]]:
        """What a pack did not give: from any pack of any copy, its owner first, in few requests."""
        if not left:
            return
        for copy in self._each():
            # What the owner's server has just refused is not asked of it again; what is damaged in one pack may be
            # whole in another, or at the second try.
            asked = [b for b, fault in left.items() if copy is not owner or isinstance(fault, Corrupt)]
            for blob, content in self._from_copy(copy, asked):
                fault = left.pop(blob)
                self._note(copy)
                if copy is not owner:
                    self._note_stand_in(copy, _reason(fault))
                yield blob, content
            if not left:
                return
        for blob, fault in left.items():
            if isinstance(fault, StorageError):
                raise fault
            yield blob, fault

    def _from_copy(self, copy: _Copy, blobs: Iterable[BlobId]) -> Iterator[tuple[BlobId, bytes]]:
        """Those of ``blobs`` that a copy has whole."""
        todo: dict[PackId, dict[BlobId, BlobLocation]] = {}
        missing = set(blobs)
        for blob in missing:
            for place in copy.repository.index.find_all(blob, BlobType.DATA):
                todo.setdefault(place.pack, {})[blob] = place
        try:
            for pack, places in todo.items():
                wanted = [(blob, place) for blob, place in places.items() if blob in missing]
                for blob, content in copy.repository.fetch_blobs(pack, wanted):
                    if not isinstance(content, Corrupt):
                        missing.discard(blob)
                        yield blob, content
                copy.failures_in_a_row = 0
        except StorageError as error:
            self._note_failure(copy, error)

    def _note(self, copy: _Copy, blobs: int = 1) -> None:
        with self._lock:
            copy.blobs += blobs

    def _note_stand_in(self, copy: _Copy, reason: str) -> None:
        with self._lock:
            copy.standing_in[reason] += 1

    def _note_failure(self, copy: _Copy, error: BackupError) -> None:
        """Give a copy up that will fail again. Damage of single objects is no such failure."""
        if not isinstance(error, StorageError) or isinstance(error, DAMAGE):
            return
        with self._lock:
            copy.failures_in_a_row += 1
            if isinstance(error, _FOR_ALL) or copy.failures_in_a_row >= _ENOUGH:
                copy.down = copy.down or str(error)


def _usable(copy: _Copy) -> None:
    """Raises ``ConnectionLost`` for a copy that was given up."""
    if copy.down:
        raise ConnectionLost(copy.down)


def _not_there(blob: BlobId, pack: PackId) -> Corrupt:
    return Corrupt(
        f"the blob {to_hex(blob)[:16]} is not where the index says, in pack {to_hex(pack)[:16]}",
        kind="blob",
        object_id=to_hex(pack),
    )


def _reason(fault: Fault) -> str:
    if isinstance(fault, Corrupt) and fault.object_id:
        return f"the pack {fault.object_id[:16]} is damaged or missing"
    return str(fault)
