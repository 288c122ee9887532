"""Reading packs for a validation: fetched by threads, examined by processes where there is much to examine.

Small blobs are many calls of the interpreter's for each, which threads can only make one at a time.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Self

from backup_core.engine.team import Member, Team
from backup_core.engine.verify_messages import ExaminePack, ExamineSettings, PackExamined
from backup_core.engine.worker_pool import default_worker_count
from backup_core.engine.worker_process import can_spawn
from backup_core.progress import CancelToken
from backup_core.repository.check import PackExaminer, PackReport, read_and_examine
from backup_core.repository.parallel import each
from backup_core.repository.repository import Repository
from backup_core.types import PackId

WORTH_PROCESSES = 128 << 20
"""Bytes of packs from which on it pays to start processes."""


def read_packs(
    repository: Repository, sizes: Mapping[PackId, int], packs: Sequence[PackId], *, cancel: CancelToken
) -> Iterator[PackReport]:
    """What reading ``packs`` shows, in their order; ``sizes`` are those that the index tells, in bytes.

    Raises ``StorageError`` when the server does not answer, ``BackupExecutionError`` when a process dies, and
    ``Cancelled``.
    """
    threads = repository.backend.promises.parallel_requests
    count = default_worker_count()
    if count < 2 or not can_spawn() or sum(sizes[pack] for pack in packs) < WORTH_PROCESSES:
        yield from _each(packs, repository.check_pack_data, threads=threads, cancel=cancel)
        return
    with Examiners(repository, count, max(sizes.values())) as examiners:
        # One more than examine: its pack comes in meanwhile, and each takes a pack's memory.
        yield from _each(packs, examiners.check, threads=min(threads, count + 1), cancel=cancel)


def _each(
    packs: Sequence[PackId],
    check: Callable[[PackId], PackReport],
    *,
    threads: int,
    cancel: CancelToken,
) -> Iterator[PackReport]:
    for _, report in each(check, packs, threads=threads, cancel=cancel):
        if not isinstance(report, PackReport):
            raise report
        yield report


class Examiners:
    """Processes that examine packs of one repository, its index loaded. A context manager."""

    def __init__(self, repository: Repository, count: int, largest: int) -> None:
        """``largest``: bytes of the longest pack."""
        self._repository = repository
        self._largest = largest
        self._team = Team(count, largest)
        self._free: queue.SimpleQueue[Member] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        self._team.begin("spawn")
        settings = ExamineSettings(self._repository.master_key.to_json(), self._repository.index.path)
        for member in self._team.enlist():
            member.worker.send(settings)
            self._free.put(member)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._team.close(kill=kind is not None)

    def check(self, pack: PackId) -> PackReport:
        """What reading a whole pack shows. Called by several threads at once."""
        return read_and_examine(self._repository.backend, self._repository.index, pack, self._examine)

    def _examine(self, pack: PackId, data: bytes) -> PackReport:
        if len(data) > self._largest:  # longer than the index says
            return PackExaminer(self._repository.sealer(), self._repository.index).examine(pack, data)
        member = self._free.get()
        try:
            member.slot[: len(data)] = data
            member.worker.send(ExaminePack(member.number, pack, len(data)))
            answer = member.worker.receive()
        finally:
            self._free.put(member)
        if not isinstance(answer, PackExamined):
            raise TypeError(f"a process answered {type(answer).__name__} when it was to examine a pack")
        return answer.report
