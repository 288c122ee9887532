"""Handing boxes of a pack to processes that write, and taking down what became of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from backup_core.engine.restore_content import Use
from backup_core.engine.restore_entry import Action
from backup_core.engine.restore_hands import SLOT, Hands
from backup_core.engine.restore_ledger import Gate, Ledger, Stop
from backup_core.engine.restore_messages import BlobsWritten, Piece, SealedBlob
from backup_core.engine.restore_parts import PartsInProgress
from backup_core.engine.restore_plan import RestorePlan
from backup_core.engine.restore_write import EntryWriter
from backup_core.errors import BackupExecutionError, Corrupt, RestoreError
from backup_core.format.ids import to_hex
from backup_core.progress import CancelToken
from backup_core.repository.blob_reader import Run, Wanted
from backup_core.types import BlobId, PackId

_BATCH_BYTES = 4 << 20
_BATCH_BLOBS = 256


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
        for batch in _batches(run):
            cancel.check()
            if self._ledger.stop is not None:
                break
            with self._gate:
                damaged |= self._write_batch(pack, batch, data[batch.offset - run.offset :][: batch.length])
        return damaged

    def _write_batch(self, pack: PackId, batch: Run, boxes: memoryview) -> dict[BlobId, Corrupt]:
        files, blobs = self._sort(batch)
        try:
            with self._hands.one() as hand:
                answer = hand.write(self._plan, pack, boxes, files, blobs)
        except BackupExecutionError as error:
            raise RestoreError(str(error)) from error
        self._take_down(answer)
        if answer.stop:
            return {}  # nobody knows which of the others were written; all part files go
        damaged = {blob: Corrupt(told, kind="blob", object_id=to_hex(pack)) for blob, told in answer.damaged}
        self._settle([wanted for wanted in batch.blobs if wanted[0] not in damaged])
        return damaged

    def _sort(self, batch: Run) -> tuple[list[tuple[object, ...]], list[SealedBlob]]:
        """What is all of a new file, and the others."""
        files: list[tuple[object, ...]] = []
        blobs: list[SealedBlob] = []
        entries = self._plan.entries
        for blob, (_, _, offset, length, plain) in batch.blobs:
            uses = self._uses[blob]
            start = offset - batch.offset
            number = uses[0].entry
            parent, name, _, action, stamp, _, content, _, _, _ = entries[number]
            is_new = action is Action.CREATE and content == blob and number not in self._plan.resumed
            if is_new and len(uses) == 1 and not self._ledger.has_failed(number):
                files.append((number, parent, name, stamp and tuple(stamp), blob, start, length, plain))
            else:
                blobs.append(SealedBlob(blob, start, length, plain, *self._places(uses)))
        return files, blobs

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

    def _settle(self, blobs: Sequence[Wanted]) -> None:
        """Blobs are dealt with: end the files of which they were the last ones."""
        self._ledger.put(sum(place.plaintext_length * len(self._uses[blob]) for blob, place in blobs))
        for number in self._parts.less(use.entry for blob, _ in blobs for use in self._uses[blob]):
            if not self._is_all_of(number):
                with self._writer.attempt(number):
                    self._writer.end(number, failed=self._ledger.has_failed(number))

    def _is_all_of(self, number: int) -> bool:
        return self._plan.entries[number].blob_count == 1


def _batches(run: Run) -> Iterator[Run]:
    """Parts of a run that fit into a slot, and are small enough to be done in a moment."""
    group: list[Wanted] = []
    start = end = 0
    for wanted in run.blobs:
        _, _, offset, length, _ = wanted[1]
        if length > SLOT:
            continue
        if group and (len(group) >= _BATCH_BLOBS or offset + length - start > _BATCH_BYTES):
            yield Run(start, end - start, tuple(group))
            group = []
        if not group:
            start = offset
        group.append(wanted)
        end = offset + length
    if group:
        yield Run(start, end - start, tuple(group))
