"""A process that opens boxes and writes files for a restore: what ``restore_hands`` is the other side of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, cast

from backup_core.engine.restore_entry import Action, PlanEntry, new_file
from backup_core.engine.restore_ledger import Stop
from backup_core.engine.restore_messages import BlobsWritten, NewFile, SealedBlob, WriteBlobs, WriteSettings
from backup_core.engine.restore_write import EntryWriter
from backup_core.engine.shared_memory import SlotMemory
from backup_core.engine.target_metadata import Stamp
from backup_core.errors import Corrupt
from backup_core.format.cipher import MasterKey, Sealer
from backup_core.repository.blob_reader import BlobOpener
from backup_core.types import BlobLocation, BlobType, PackId


class Port(Protocol):
    """The way to the restore."""

    def receive(self) -> Any:
        """The next message."""
        ...

    def receive_descriptor(self) -> int:
        """An open file that was sent after a message."""
        ...

    def send(self, message: BlobsWritten) -> None:
        """Answer."""
        ...


class RestoreHand:
    """Does one batch after the other."""

    def __init__(self, settings: WriteSettings, port: Port, slots: SlotMemory) -> None:
        self._port = port
        self._slots = slots
        self._opener = BlobOpener(Sealer(MasterKey.from_json(settings.key)))
        self._plan = _PartOfPlan(delete=settings.delete)
        self._notes = _Notes()
        self._writer = EntryWriter(self._plan, port.receive_descriptor(), _NoParts(), self._notes)

    def run(self) -> None:
        """Until the other side closes the connection."""
        while True:
            self._port.send(self._write(self._port.receive()))

    def _write(self, batch: WriteBlobs) -> BlobsWritten:
        self._notes.answer = BlobsWritten([], [], [], [], "")
        self._plan.learn(batch.entries)
        slot = self._slots.slot(batch.slot)
        self._write_files(batch, slot)
        if not self._notes.answer.stop:
            self._write_blobs(batch, slot)
        self._plan.forget_files()
        return self._notes.answer

    def _write_files(self, batch: WriteBlobs, slot: memoryview) -> None:
        """Runs for each of a million files: hence the plain loop, and names that are looked up once."""
        pack, open_box, learn = batch.pack, self._opener.open, self._plan.learn_file
        writer, notes = self._writer, self._notes
        for file in batch.files:
            number, directory, name, stamp, blob, start, length, plain = cast(NewFile, file)
            try:
                place = BlobLocation(pack, BlobType.DATA, start, length, plain)
                data = open_box(blob, place, slot[start : start + length])
            except Corrupt as error:
                notes.answer.damaged.append((blob, str(error)))
                continue
            learn(number, new_file(directory, name, None if stamp is None else Stamp(*stamp), len(data), blob))
            with writer.attempt(number):
                writer.make_file(number, data)
            if notes.answer.stop:
                break

    def _write_blobs(self, batch: WriteBlobs, slot: memoryview) -> None:
        for blob in batch.blobs:
            try:
                data = self._open(batch.pack, blob, slot)
            except Corrupt as error:
                self._notes.answer.damaged.append((blob.id, str(error)))
                continue
            for number in blob.files:
                with self._writer.attempt(number):
                    self._writer.make_file(number, data)
            for piece in blob.pieces:
                with self._writer.attempt(piece.entry):
                    self._writer.write(piece, data)
            if self._notes.answer.stop:
                break

    def _open(self, pack: PackId, blob: SealedBlob, slot: memoryview) -> bytes:
        place = BlobLocation(pack, BlobType.DATA, blob.start, blob.length, blob.uncompressed_length)
        return self._opener.open(blob.id, place, slot[blob.start : blob.start + blob.length])


class _PartOfPlan:
    """The entries that were spoken of: directories stay, files are forgotten when they are written."""

    def __init__(self, *, delete: bool) -> None:
        self.delete = delete
        self.resumed: tuple[int, ...] = ()
        self.entries: dict[int, PlanEntry] = {}
        self._files: list[int] = []

    def learn(self, entries: Iterable[tuple[int, tuple[Any, ...]]]) -> None:
        for number, fields in entries:
            entry = PlanEntry._make(fields)
            stamp = entry.stamp if entry.stamp is None else Stamp._make(entry.stamp)
            self.entries[number] = entry._replace(action=Action(entry.action), stamp=stamp)
            if entry.type != "dir":
                self._files.append(number)

    def learn_file(self, number: int, entry: PlanEntry) -> None:
        self.entries[number] = entry
        self._files.append(number)

    def forget_files(self) -> None:
        for number in self._files:
            del self.entries[number]
        self._files.clear()


class _NoParts:
    """Part files are begun and ended by the restore itself."""

    def begin(self, number: int, make: Callable[[], int]) -> int | None:
        return None

    def ended(self, number: int) -> None:
        pass


class _Notes:
    """Takes down what is to be answered."""

    answer: BlobsWritten

    def finished(self, number: int) -> None:
        self.answer.finished.append(number)

    def fail(self, number: int, reason: str) -> None:
        self.answer.failed.append((number, reason))

    def warn(self, kind: str, number: int, told: Iterable[str]) -> None:
        self.answer.warnings.extend((kind, number, sentence) for sentence in told)

    def stop_because(self, stop: Stop, reason: str) -> None:
        self.answer = self.answer._replace(stop=reason)


def as_plain(entry: PlanEntry) -> tuple[object, ...]:
    """An entry for the journey, as ``WriteBlobs`` wants it."""
    stamp = None if entry.stamp is None else tuple(entry.stamp)
    return cast(tuple[object, ...], (*entry[:3], entry.action.value, stamp, *entry[5:]))
