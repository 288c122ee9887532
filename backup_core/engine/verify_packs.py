"""Reading packs for a validation: fetched by threads, examined by processes where there is much to examine.

Small blobs are many calls of the interpreter's for each, which threads can only make one at a time.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

from backup_core.engine.team import Member, Team
from backup_core.engine.verify_messages import ExaminePack, ExamineSettings, PackExamined
from backup_core.engine.worker_pool import default_worker_count
from backup_core.engine.worker_process import can_fork_safely, can_spawn
from backup_core.progress import CancelToken
from backup_core.repository.check import PackExaminer, PackReport, read_and_examine
from backup_core.repository.parallel import each
from backup_core.repository.repository import Repository
from backup_core.types import PackId

SLOT = 160 << 20
"""Bytes of a pack that can be handed over, more than any program makes; memory that is not used is not taken."""

WORTH_PROCESSES = 128 << 20
"""Bytes of packs from which on it pays to start processes that were not forked in advance."""


def read_packs(
    repository: Repository,
    sizes: Mapping[PackId, int],
    packs: Sequence[PackId],
    *,
    cancel: CancelToken,
    examiners: Examiners | None = None,
) -> Iterator[PackReport]:
    """What reading ``packs`` shows, in their order; ``sizes`` are those that the index tells, in bytes, and
    ``examiners`` processes forked in advance; without, they are started when that pays.

    Raises ``StorageError`` when the server does not answer, ``BackupExecutionError`` when a process dies, and
    ``Cancelled``.
    """
    threads = repository.backend.promises.parallel_requests
    with examiners or Examiners() as crew:
        started = crew.start(repository, sum(sizes[pack] for pack in packs))
        # One more than examine: its pack comes in meanwhile, and each takes a pack's memory.
        threads = min(threads, started + 1) if started else threads
        check = crew.check if started else repository.check_pack_data
        for _, report in each(check, packs, threads=threads, cancel=cancel):
            if not isinstance(report, PackReport):
                raise report
            yield report


class Examiners:
    """Processes that examine packs. A context manager, for one validation."""

    def __init__(self) -> None:
        self._team = Team(default_worker_count(), SLOT)
        self._free: queue.SimpleQueue[Member] = queue.SimpleQueue()
        self._repository: Repository | None = None

    def fork_early(self) -> None:
        """Fork them if that is safe, because there are no other threads yet; they cost next to nothing until used."""
        if self._team.count > 1 and can_fork_safely():
            self._team.begin("fork")

    def start(self, repository: Repository, total: int) -> int:
        """Put them to work on a repository, its index loaded; how many, 0 when there are none and ``total`` bytes are
        not worth starting them."""
        if not self._team.begun:
            if self._team.count < 2 or not can_spawn() or total < WORTH_PROCESSES:
                return 0
            self._team.begin("spawn")
        self._repository = repository
        settings = ExamineSettings(repository.master_key.to_json(), repository.index.path)
        members = self._team.enlist()
        for member in members:
            member.worker.send(settings)
            self._free.put(member)
        return len(members)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._team.close(kill=kind is not None)

    def check(self, pack: PackId) -> PackReport:
        """What reading a whole pack shows. Called by several threads at once, after ``start``."""
        if self._repository is None:
            raise ValueError("nobody has put the processes to work")
        return read_and_examine(self._repository.backend, self._repository.index, pack, self._examine)

    def _examine(self, pack: PackId, data: bytes) -> PackReport:
        if len(data) > SLOT and self._repository is not None:
            return PackExaminer(self._repository.sealer(), self._repository.index).examine(pack, data)
        member, size = self._free.get(), len(data)
        try:
            member.slot[:size] = data
            del data  # the caller holds it no longer either, and a pack is large
            member.worker.send(ExaminePack(member.number, pack, size))
            answer = member.worker.receive()
        finally:
            self._free.put(member)
        if not isinstance(answer, PackExamined):
            raise TypeError(f"a process answered {type(answer).__name__} when it was to examine a pack")
        return answer.report
