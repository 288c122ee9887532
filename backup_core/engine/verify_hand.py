"""A process that examines packs for a validation: what ``verify_packs`` is the other side of."""

from __future__ import annotations

from typing import Any, Protocol

from backup_core.engine.shared_memory import SlotMemory
from backup_core.engine.verify_messages import ExamineSettings, PackExamined
from backup_core.format.cipher import MasterKey, Sealer
from backup_core.repository.check import PackExaminer
from backup_core.repository.index import IndexView


class Port(Protocol):
    """The way to the validation."""

    def receive(self) -> Any:
        """The next message."""
        ...

    def send(self, message: PackExamined) -> None:
        """Answer."""
        ...


class VerifyHand:
    """Examines one pack after the other."""

    def __init__(self, settings: ExamineSettings, port: Port, slots: SlotMemory) -> None:
        self._port = port
        self._slots = slots
        index = IndexView.open(settings.index_handle)
        self._examine = PackExaminer(Sealer(MasterKey.from_json(settings.key)), index).examine

    def run(self) -> None:
        """Until the other side closes the connection."""
        while True:
            slot, pack, size = self._port.receive()
            self._port.send(PackExamined(self._examine(pack, self._slots.slot(slot)[:size])))
