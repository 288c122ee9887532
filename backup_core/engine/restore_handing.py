"""Handing boxes of a pack to processes that write, and taking down what became of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from backup_core.engine.restore_content import Use
from backup_core.engine.restore_hands import SLOT, Hands
from backup_core.engine.restore_ledger import Gate, Ledger, Stop
from backup_core.engine.restore_messages import BlobsWritten, Piece, SealedBlob
from backup_core.engine.restore_parts import PartsInProgress
from backup_core.engine.restore_plan import RestorePlan
from backup_core.engine.restore_write import EntryWriter
from backup_core.errors import BackupExecutionError, Corrupt, RestoreError
from backup_core.format.ids import to_hex
from backup_core.progress import CancelToken
from backup_core.repository.blob_reader import Run
from backup_core.types import BlobId, BlobLocation, PackId

_BATCH_BYTES = 4 << 20
_BATCH_BLOBS = 256


class _Sealed(NamedTuple):
    blob: BlobId
    place: BlobLocation
    box: memoryview


class HandWork:
    """What one thread hands over of one pack."""

    def __init__(
        self,
        plan: RestorePlan,
        hands: Hands,
        uses: Mapping[BlobId, list[Use]],
        writer: EntryWriter,
        *,
        parts: PartsInProgress,
        ledger: Ledger,
        gate: Gate,
    ) -> None:
        """``writer`` begins and ends part files."""
        self._plan = plan
        self._hands = hands
        self._uses = uses
        self._writer = writer
        self._parts = parts
        self._ledger = ledger
        self._gate = gate

    def write(self, pack: PackId, run: Run, data: memoryview, *, cancel: CancelToken) -> dict[BlobId, Corrupt]:
        """Have what was fetched opened and written; the boxes that are damaged.

        Raises ``RestoreError`` when a process has died.
        """
        large = [blob for blob, place in run.blobs if place.length > SLOT]
        damaged = dict.fromkeys(large, Corrupt("the blob is too large to be handed over", kind="blob"))
        for batch in _batches(run, data):
            cancel.check()
            if self._ledger.stop is not None:
                break
            with self._gate:
                damaged |= self._write_batch(pack, batch)
        return damaged

    def _write_batch(self, pack: PackId, batch: list[_Sealed]) -> dict[BlobId, Corrupt]:
        blobs, start = [], 0
        for blob, place, _ in batch:
            files, pieces = self._places(self._uses[blob])
            blobs.append(SealedBlob(blob, start, place.length, place.uncompressed_length, files, pieces))
            start += place.length
        try:
            with self._hands.one() as hand:
                answer = hand.write(self._plan, pack, blobs, [sealed.box for sealed in batch])
        except BackupExecutionError as error:
            raise RestoreError(str(error)) from error
        self._take_down(answer)
        if answer.stop:
            return {}  # nobody knows which of the others were written; all part files go
        damaged = {batch[position].blob: told for position, told in answer.damaged}
        for sealed in batch:
            if sealed.blob not in damaged:
                self._settle(self._uses[sealed.blob], sealed.place.plaintext_length)
        return {blob: Corrupt(told, kind="blob", object_id=to_hex(pack)) for blob, told in damaged.items()}

    def _places(self, uses: list[Use]) -> tuple[list[int], list[Piece]]:
        """Where a blob goes: files that it is all of, and places in part files, which are there by then."""
        files, pieces = [], []
        for use in uses:
            if self._ledger.has_failed(use.entry):
                continue
            if self._is_all_of(use.entry):
                files.append(use.entry)
                continue
            with self._writer.attempt(use.entry):
                pieces.append(self._writer.begin(use))
        return files, pieces

    def _take_down(self, answer: BlobsWritten) -> None:
        for number, reason in answer.failed:
            self._ledger.fail(number, reason)
        for kind, number, sentence in answer.warnings:
            self._ledger.warn(kind, number, (sentence,))
        if answer.finished:
            self._ledger.all_finished(answer.finished)
        if answer.stop:
            self._ledger.stop_because(Stop.NO_ROOM, answer.stop)

    def _settle(self, uses: list[Use], size: int) -> None:
        """A blob is dealt with: end the files of which it was the last one."""
        self._ledger.put(size * len(uses))
        for use in uses:
            number = use.entry
            if self._parts.one_less(number) and not self._is_all_of(number):
                with self._writer.attempt(number):
                    self._writer.end(number, failed=self._ledger.has_failed(number))

    def _is_all_of(self, number: int) -> bool:
        return self._plan.entries[number].blob_count == 1


def _batches(run: Run, data: memoryview) -> Iterator[list[_Sealed]]:
    """The boxes of a run, some at a time."""
    batch: list[_Sealed] = []
    size = 0
    for blob, place in run.blobs:
        if place.length > SLOT:
            continue
        if batch and (len(batch) >= _BATCH_BLOBS or size + place.length > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        start = place.offset - run.offset
        batch.append(_Sealed(blob, place, data[start : start + place.length]))
        size += place.length
    if batch:
        yield batch
