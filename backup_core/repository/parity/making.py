"""Making parity: packs without it are gathered in groups, read once, and get one object for each group."""

from __future__ import annotations

import mmap
from collections.abc import Collection, Iterator, Sequence
from dataclasses import field
from hashlib import sha256
from pathlib import Path
from typing import IO

from backup_core.deferred import dataclass
from backup_core.errors import RepositoryError
from backup_core.format.ids import from_hex, to_hex
from backup_core.format.layout import is_id
from backup_core.format.parity import encode_header, layout_for, parity_of, sum_of
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.repository.check import what_is_left
from backup_core.repository.held_lock import HeldLock
from backup_core.repository.parity.objects import DIRECTORY, ParityObject
from backup_core.repository.parity.stream import PackStream, scratch_file
from backup_core.repository.repository import Repository
from backup_core.results import Problem
from backup_core.types import PackId

GROUP_BYTES = 512 << 20
"""A group is closed when it has so many bytes. Larger groups outlive the loss of larger packs, but all of a group is
read to rebuild one."""


@dataclass(frozen=True, slots=True)
class ParityPlan:
    """What would be made, and what would go."""

    share: float
    groups: tuple[tuple[tuple[PackId, int], ...], ...]
    """Packs without parity, and those of groups that lost a pack to pruning, with their bytes."""
    stale: tuple[ParityObject, ...]
    """Objects that are replaced by those of ``groups``, or protect nothing that is needed any more."""
    here: frozenset[PackId]
    """Packs of which this machine still has a copy; also some that are in none of ``groups``."""
    useless: tuple[str, ...] = ()
    """Names of objects that cannot be read at all."""

    @property
    def nothing_to_do(self) -> bool:
        """True when every pack is protected and no object is stale."""
        return not self.groups and not self.stale and not self.useless

    @property
    def bytes_to_read(self) -> int:
        """Bytes to be downloaded."""
        return sum(size for group in self.groups for pack, size in group if pack not in self.here)

    @property
    def bytes_to_store(self) -> int:
        """About how many bytes the new objects have."""
        layouts = [layout_for(group, self.share) for group in self.groups]
        return sum(one.rows * one.parity * one.cell for one in layouts)


@dataclass(slots=True)
class ParityReport:
    """What was made, and what went."""

    objects: int = 0
    bytes_stored: int = 0
    packs: int = 0
    """Packs that are protected now and were not before."""
    removed: int = 0
    """Stale objects that are gone."""
    problems: list[Problem] = field(default_factory=list)


def staging(repository: Repository) -> Path:
    """Where copies of packs wait that were just stored."""
    return repository.cache.directory("parity")


def plan_parity(
    repository: Repository,
    share: float,
    objects: Sequence[ParityObject],
    *,
    distrusted: Collection[str] = (),
    useless: Collection[str] = (),
) -> ParityPlan:
    """Find packs without parity. Called with the index loaded. Objects named in ``distrusted`` count as stale, those
    named in ``useless`` (whose header cannot be read) go.
    """
    sizes = dict(repository.index.pack_sizes())
    stale: list[ParityObject] = []
    covered: set[PackId] = set()
    for one in objects:
        if one.whole and one.name not in distrusted and one.packs <= sizes.keys():
            covered |= one.packs
        else:
            stale.append(one)
    uncovered = [(pack, sizes[pack]) for pack in sorted(sizes.keys() - covered)]
    return _plan(share, uncovered, _copies(repository), stale, useless)


def plan_for_copies(repository: Repository, share: float) -> ParityPlan:
    """Parity for the packs of which this machine has a copy, those that backups have just stored.

    Nothing is downloaded, and no parity that is there is looked at. Called with the index loaded.
    """
    here = _copies(repository)
    listed = [(pack, size) for pack in sorted(here) if (size := repository.index.pack_size(pack)) is not None]
    return _plan(share, listed, here)


def run_parity(
    repository: Repository, plan: ParityPlan, held: HeldLock, *, progress: ProgressTracker, cancel: CancelToken
) -> ParityReport:
    """Carry a plan out, once: new objects first, then stale ones go. Stopped anywhere, the next plan goes on.

    A pack that is damaged or missing is told and stays without parity.
    """
    progress.phase("parity")
    maker = _Maker(repository, plan, held, progress, cancel)
    for group in plan.groups:
        maker.make(group)
    for one in plan.stale:
        cancel.check()
        held.ensure_held()
        if one.name in maker.written or maker.left_out & one.packs:
            continue  # it is whole now, or may still help those packs that no new object could take in
        repository.backend.delete(one.name)
        maker.report.removed += 1
    for name in plan.useless:
        cancel.check()
        held.ensure_held()
        repository.backend.delete(name)
        maker.report.removed += 1
    return maker.report


def forget_copies(repository: Repository, but: Collection[PackId] = ()) -> None:
    """Remove the local copies of packs, apart from these."""
    kept = set(map(to_hex, but))
    for path in staging(repository).iterdir():
        if path.name not in kept:
            path.unlink(missing_ok=True)


def _plan(
    share: float,
    packs: Sequence[tuple[PackId, int]],
    here: frozenset[PackId],
    stale: Sequence[ParityObject] = (),
    useless: Collection[str] = (),
) -> ParityPlan:
    layout_for([], share)  # refuses an impossible share
    groups = tuple(tuple(group) for group in _groups(packs))
    return ParityPlan(share, groups, tuple(stale), here, tuple(sorted(useless)))


def _copies(repository: Repository) -> frozenset[PackId]:
    return frozenset(PackId(from_hex(path.name)) for path in staging(repository).iterdir() if is_id(path.name))


def _groups(packs: Sequence[tuple[PackId, int]]) -> Iterator[list[tuple[PackId, int]]]:
    group: list[tuple[PackId, int]] = []
    size = 0
    for pack, length in packs:
        group.append((pack, length))
        size += length
        if size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


class _Maker:
    """Makes one object after the other."""

    def __init__(
        self, repository: Repository, plan: ParityPlan, held: HeldLock, progress: ProgressTracker, cancel: CancelToken
    ) -> None:
        self._repository = repository
        self._share = plan.share
        self._stale = frozenset(one.name for one in plan.stale)
        self._held = held
        self._progress = progress
        self._cancel = cancel
        self._place = staging(repository)
        self.report = ParityReport()
        self.written: set[str] = set()
        """Names of the objects made."""
        self.left_out: set[PackId] = set()
        """Packs that are damaged or missing."""

    def make(self, group: Sequence[tuple[PackId, int]]) -> None:
        with scratch_file(self._place, sum(size for _, size in group)) as file, scratch_file(self._place, 0) as cells:
            packs = self._gather(group, file)
            if not packs:
                return
            layout = layout_for(packs, self._share)
            before, behind = encode_header(layout, self._write_parity(PackStream(file, layout), cells))
            # Closed when nobody has it any more: a connection may hold on to what it sent last.
            middle = memoryview(mmap.mmap(cells.fileno(), 0, access=mmap.ACCESS_READ))
            self._held.ensure_held()
            self._store(before, middle, behind)
            self.report.bytes_stored += len(before) + len(middle) + len(behind)
        self.report.objects += 1
        self.report.packs += len(packs)
        for pack, _ in packs:
            (self._place / to_hex(pack)).unlink(missing_ok=True)

    def _write_parity(self, stream: PackStream, cells: IO[bytes]) -> bytes:
        """Write all cells of parity; the sums of all cells."""
        sums = bytearray()
        for row in range(stream.layout.rows):
            self._cancel.check()
            data = stream.cells(row)
            parity = parity_of(stream.layout, data)
            sums += b"".join(map(sum_of, [*data, *parity]))
            cells.write(b"".join(parity))
        cells.flush()
        return bytes(sums)

    def _store(self, before: bytes, middle: memoryview, behind: bytes) -> None:
        backend = self._repository.backend
        digest = sha256(before)
        digest.update(middle)
        digest.update(behind)
        name, size = f"{DIRECTORY}/{digest.hexdigest()}", len(before) + len(middle) + len(behind)
        if name in self._stale:  # of the same packs, and damaged: a put of this size might be taken for done
            backend.delete(name)
        backend.put(name, [before, middle, behind])
        if not backend.promises.atomic_put and (there := backend.stat(name).size) != size:
            raise RepositoryError(
                f"{name} has {there} bytes on {backend.location} in place of {size}, although the server had "
                "confirmed it. No backup is harmed; run davault parity create again"
            )
        self.written.add(name)

    def _gather(self, group: Sequence[tuple[PackId, int]], file: IO[bytes]) -> list[tuple[PackId, int]]:
        """Lay the packs that are whole end to end."""
        taken = []
        for pack, size in group:
            self._cancel.check()
            data = _whole(self._repository, pack)
            if data is None:
                digits = to_hex(pack)
                message = f"the pack {digits} is damaged or missing and gets no parity; first: davault repair packs"
                self.report.problems.append(Problem("parity", message, object_id=digits))
                self.left_out.add(pack)
                continue
            file.write(data)
            taken.append((pack, len(data)))
            self._progress.advance(files=1, bytes_=size)
        return taken


def _whole(repository: Repository, pack: PackId) -> bytes | None:
    try:
        data = (staging(repository) / to_hex(pack)).read_bytes()
        if sha256(data).digest() == pack:
            return data
    except OSError:
        pass  # no copy here
    data = what_is_left(repository.backend, pack)
    return data if sha256(data).digest() == pack else None
