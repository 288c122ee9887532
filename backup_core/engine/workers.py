"""A worker: takes tasks, stores files, hands over packs. The same function runs as a thread and as a process."""

from __future__ import annotations

import traceback
from collections import deque
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path
from typing import TypeAlias

from backup_core.engine.blob_packer import BlobPacker
from backup_core.engine.live.database_copy import DatabaseCopier
from backup_core.engine.messages import (
    FilesStored,
    Flushed,
    FlushPacks,
    FromWorker,
    GrantSlot,
    PackReady,
    PlanCuts,
    Settings,
    StoreDatabase,
    StoreFiles,
    StoreRange,
    ToWorker,
    WantSlot,
    WorkerFailed,
)
from backup_core.engine.pack_slots import PackSlots
from backup_core.engine.restore_messages import WriteSettings
from backup_core.engine.seen import SeenTable
from backup_core.engine.shared_memory import SlotMemory
from backup_core.engine.source_content import ContentReader
from backup_core.engine.verify_messages import ExamineSettings
from backup_core.errors import Cancelled
from backup_core.format.chunker import Chunker
from backup_core.format.cipher import MasterKey, Sealer
from backup_core.format.compression import Compressor
from backup_core.progress import CancelToken
from backup_core.repository.index import IndexView
from backup_core.types import BlobId

Slots: TypeAlias = PackSlots | SlotMemory
"""What a worker of a backup, and one of a restore or validation, shares with the main process."""


def run_worker(connection: Connection, slots: Slots, seen: SeenTable, stop: CancelToken) -> None:
    """Work until the other end of ``connection`` is closed or ``stop`` is set.

    An error that cannot be gone on after is sent as ``WorkerFailed``; nothing is raised but what kills processes.
    """
    try:
        with connection:
            try:
                _begin(connection, slots, seen, stop)
            except (Cancelled, EOFError, BrokenPipeError, ConnectionResetError):
                return  # main is done with us
            except Exception as error:
                _send(connection, WorkerFailed(f"{type(error).__name__}: {error}", traceback.format_exc()))
    except (BrokenPipeError, ConnectionResetError):
        return


def _begin(connection: Connection, slots: Slots, seen: SeenTable, stop: CancelToken) -> None:
    """Do the work that the first message is about."""
    port = _Port(connection, stop)
    match port.receive(), slots:
        case Settings() as settings, PackSlots():
            _Worker(settings, port, slots, seen, stop).run()
        case WriteSettings() as settings, SlotMemory():
            from backup_core.engine.restore_hand import RestoreHand  # a backup's worker needs none of it

            RestoreHand(settings, port, slots).run()
        case ExamineSettings() as settings, SlotMemory():
            from backup_core.engine.verify_hand import VerifyHand

            VerifyHand(settings, port, slots).run()
        case message, _:
            raise TypeError(f"a worker was sent {type(message).__name__} before the settings for its slots")


def _send(connection: Connection, message: FromWorker) -> None:
    connection.send(message)


class _Port:
    """The worker's end of the connection: messages in order, but slots as they are needed."""

    def __init__(self, connection: Connection, stop: CancelToken) -> None:
        self._connection = connection
        self._stop = stop
        self._waiting: deque[ToWorker] = deque()
        self._granted: deque[GrantSlot] = deque()
        self._asked = False

    def receive(self) -> ToWorker:
        """The next message that is no grant of a slot."""
        while not self._waiting:
            self._read()
        return self._waiting.popleft()

    def receive_descriptor(self) -> int:
        """An open file that was sent after a message."""
        return recv_handle(self._connection)

    def send(self, message: FromWorker) -> None:
        _send(self._connection, message)

    def ask(self) -> None:
        if not self._asked and not self._granted:
            self._asked = True
            self.send(WantSlot())

    def take(self) -> GrantSlot:
        self.ask()
        while not self._granted:
            self._read()
        return self._granted.popleft()

    def give(self, pack: PackReady) -> None:
        self.send(pack)

    def _read(self) -> None:
        message: ToWorker = self._connection.recv()
        self._stop.check()
        if isinstance(message, GrantSlot):
            self._asked = False
            self._granted.append(message)
        else:
            self._waiting.append(message)


class _Worker:
    def __init__(self, settings: Settings, port: _Port, slots: PackSlots, seen: SeenTable, stop: CancelToken) -> None:
        level = settings.compression_level
        self._port = port
        self._stop = stop
        self._packer = BlobPacker(
            port,
            slots,
            index=IndexView.open(settings.index_handle),
            seen=seen,
            compressor=None if level is None else Compressor(level),
            sealer=Sealer(MasterKey.from_json(settings.key)),
            pack_size=settings.pack_size,
        )
        self._reader = ContentReader(Chunker(settings.seed), self._store)
        if settings.database_scratch is not None:
            self._reader.databases = DatabaseCopier(Path(settings.database_scratch), stop)

    def run(self) -> None:
        while True:
            match self._port.receive():
                case StoreFiles(number, files):
                    outcomes = [self._reader.store_file(path, facts) for path, facts in files]
                    self._port.send(FilesStored.of(number, outcomes))
                case StoreDatabase(number, path, facts):
                    self._port.send(FilesStored.of(number, [self._reader.store_database(path, facts)]))
                case PlanCuts() as task:
                    self._port.send(self._reader.plan(task))
                case StoreRange() as task:
                    self._port.send(self._reader.store_range(task))
                case FlushPacks():
                    self._packer.flush()
                    self._port.send(Flushed())
                case message:
                    raise TypeError(f"a worker cannot do {type(message).__name__}")

    def _store(self, data: memoryview) -> BlobId:
        self._stop.check()
        return self._packer.store(data)
