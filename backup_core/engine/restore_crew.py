"""Threads that fetch packs and write what is in them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from backup_core.engine.copies import Copies
from backup_core.engine.restore_content import PackWork, Use
from backup_core.engine.restore_handing import HandWork
from backup_core.engine.restore_hands import Hands
from backup_core.engine.restore_ledger import Gate, Ledger, Stop
from backup_core.engine.restore_parts import PartsInProgress
from backup_core.engine.restore_plan import RestorePlan
from backup_core.engine.restore_write import EntryWriter
from backup_core.errors import (
    AccessDenied,
    Cancelled,
    ConnectionLost,
    Corrupt,
    QuotaExceeded,
    RateLimited,
    StorageError,
)
from backup_core.format.ids import to_hex
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.repository.blob_reader import Wanted
from backup_core.types import BlobId, BlobLocation, PackId

_FOR_ALL = (AccessDenied, ConnectionLost, QuotaExceeded, RateLimited)
"""Errors that will meet every other pack too."""
_ENOUGH = 3
"""So many packs in a row that the server cannot give, and it is taken to be out of order."""
_LOOK_AGAIN = 0.1
"""Seconds between looks at whether the caller wants to stop."""


class Crew:
    """Fetches the packs of one plan. ``run`` it once."""

    def __init__(
        self,
        copies: Copies,
        plan: RestorePlan,
        *,
        make_writer: Callable[[], EntryWriter],
        parts: PartsInProgress,
        ledger: Ledger,
        gate: Gate,
        progress: ProgressTracker,
        cancel: CancelToken,
        hands: Hands | None = None,
    ) -> None:
        """``hands``: processes that write, started; None: the threads themselves do."""
        self._copies = copies
        self._plan = plan
        self._make_writer = make_writer
        self._parts = parts
        self._ledger = ledger
        self._gate = gate
        self._progress = progress
        self._cancel = cancel
        self._hands = hands
        self._lock = threading.Condition()
        self._packs = iter(plan.packs)
        self._busy = 0
        self._in_a_row = 0
        self._error: BaseException | None = None

    def run(self, workers: int) -> None:
        """Fetch and write everything, or until the ledger says stop or the caller cancels.

        Returns within a moment of being cancelled: a thread that still waits for the server is left behind, and can
        write nothing once the gate is closed. An error nobody expected is raised.
        """
        self._busy = workers
        for _ in range(workers):
            threading.Thread(target=self._work, name="davault-restore", daemon=True).start()
        with self._lock:
            while self._busy and not self._cancel.cancelled:
                self._lock.wait(_LOOK_AGAIN)
        if self._cancel.cancelled:
            self._ledger.stop_because(Stop.CANCELLED, self._cancel.reason)
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        writer = self._make_writer()
        try:
            while (work := self._next()) is not None:
                self._handle(work, writer)
        except Cancelled:
            self._ledger.stop_because(Stop.CANCELLED, self._cancel.reason)
        except BaseException as error:
            # Handed to the thread that waits for this one. The first is the cause; others may only follow from it.
            with self._lock:
                self._error = self._error or error
            self._ledger.stop_because(Stop.NO_SERVER, str(error))
        finally:
            writer.close()
            with self._lock:
                self._busy -= 1
                self._lock.notify_all()

    def _next(self) -> PackWork | None:
        self._cancel.check()
        with self._lock:
            return None if self._ledger.stop is not None else next(self._packs, None)

    def _handle(self, work: PackWork, writer: EntryWriter) -> None:
        uses: dict[BlobId, list[Use]] = {}
        places: dict[BlobId, BlobLocation] = {}
        for use, place in zip(work.uses(), work.locations(), strict=True):
            if not self._ledger.has_failed(use.entry):
                blob = self._plan.entries[use.entry].blob(use.position)
                uses.setdefault(blob, []).append(use)
                places[blob] = place
        try:
            for blob, content in self._fetch(work.pack, list(places.items()), uses, writer):
                self._cancel.check()
                self._deal(work.pack, uses.pop(blob), content, writer)
            self._in_a_row = 0
        except StorageError as error:
            if self._is_the_end(error):
                return  # what this pack was for counts as not reached, and its part files stay
            for users in uses.values():
                self._deal(work.pack, users, Corrupt(str(error), object_id=to_hex(work.pack)), writer)
        self._progress.advance(stored=work.download, requests=work.ranges)

    def _fetch(
        self, pack: PackId, wanted: Sequence[Wanted], uses: Mapping[BlobId, list[Use]], writer: EntryWriter
    ) -> Iterator[tuple[BlobId, bytes | Corrupt]]:
        """What this thread has to deal with itself: all, when there are no processes that write."""
        if self._hands is None or not self._copies.has_first(pack):
            return self._copies.fetch(pack, wanted)
        work = HandWork(self._plan, self._hands, uses, writer, parts=self._parts, ledger=self._ledger, gate=self._gate)
        return self._copies.fetch_sealed(pack, wanted, partial(work.write, pack, cancel=self._cancel))

    def _is_the_end(self, error: StorageError) -> bool:
        """Whether the server has failed for good, and not only for one pack."""
        with self._lock:
            self._in_a_row += 1
            if not isinstance(error, _FOR_ALL) and self._in_a_row < _ENOUGH:
                return False
            self._ledger.stop_because(Stop.NO_SERVER, str(error))
            return True

    def _deal(self, pack: PackId, uses: list[Use], content: bytes | Corrupt, writer: EntryWriter) -> None:
        """Put a blob into every place it goes to, or fail the files that needed it."""
        for use in uses:
            with self._gate, writer.attempt(use.entry):
                self._use(pack, use, content, writer)

    def _use(self, pack: PackId, use: Use, content: bytes | Corrupt, writer: EntryWriter) -> None:
        number = use.entry
        alone = self._plan.entries[number].blob_count == 1
        if isinstance(content, Corrupt):
            self._ledger.fail_for_pack(number, pack, str(content))
        else:
            self._ledger.put(len(content))
            if alone:
                writer.make_file(number, content)
            elif not self._ledger.has_failed(number):
                with writer.attempt(number):
                    writer.write(writer.begin(use), content)
        if self._parts.less((number,)) and not alone:
            writer.end(number, failed=self._ledger.has_failed(number))
