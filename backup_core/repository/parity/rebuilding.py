"""Rebuilding damaged and lost packs from parity."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field
from hashlib import sha256

from backup_core.deferred import dataclass
from backup_core.errors import Corrupt, NotFound, ShortRead
from backup_core.format.layout import pack_name
from backup_core.format.parity import ParityLayout, rebuilt_row, sum_of
from backup_core.progress import CancelToken, ProgressTracker
from backup_core.repository.check import what_is_left
from backup_core.repository.held_lock import HeldLock
from backup_core.repository.parity.making import staging
from backup_core.repository.parity.objects import ParityObject
from backup_core.repository.parity.stream import PackStream, scratch_file
from backup_core.repository.repository import Repository
from backup_core.types import PackId

_CHUNK = 16 << 20
"""Bytes of parity fetched at once."""


@dataclass(slots=True)
class Rebuilt:
    """What became of the packs that were asked for."""

    packs: list[PackId] = field(default_factory=list)
    """Whole again, on the server."""
    failed: dict[PackId, str] = field(default_factory=dict)
    """Why not."""


def rebuild_packs(
    repository: Repository,
    packs: Collection[PackId],
    objects: Sequence[ParityObject],
    held: HeldLock,
    *,
    progress: ProgressTracker,
    cancel: CancelToken,
) -> Rebuilt:
    """Compute damaged packs again and put them in their place. All packs of a group are downloaded for it.

    What is put on the server has the hash that its name says. A pack that cannot be rebuilt is left as it is.
    """
    done = Rebuilt()
    for one in objects:
        wanted = sorted(one.packs.intersection(packs).difference(done.packs))
        if not wanted:
            continue
        progress.phase("rebuild")
        for pack, data in _rebuilt(repository, one, wanted, progress, cancel):
            if data is None:
                done.failed[pack] = "more of its group is damaged than there is parity for"
                continue
            held.ensure_held()
            # Where an object of this name and size is, a put may be taken for done.
            repository.backend.delete(pack_name(pack))
            repository.backend.put(pack_name(pack), data)
            done.packs.append(pack)
            done.failed.pop(pack, None)
    for pack in packs:
        if pack not in done.packs:
            done.failed.setdefault(pack, "there is no parity for it")
    return done


def _rebuilt(
    repository: Repository,
    one: ParityObject,
    wanted: Sequence[PackId],
    progress: ProgressTracker,
    cancel: CancelToken,
) -> Iterator[tuple[PackId, bytes | None]]:
    layout = one.header.layout
    with scratch_file(staging(repository), layout.data * layout.shard) as file:
        for pack, size in layout.packs:
            cancel.check()
            data = what_is_left(repository.backend, pack)
            file.write(data[:size].ljust(size, b"\0"))
            progress.advance(files=1, bytes_=len(data))
        stream = PackStream(file, layout)
        damaged = _damaged_cells(one, stream, cancel)
        for row, parity in _parity_of_rows(repository, one, sorted(damaged)):
            _mend(one, stream, row, damaged[row], parity)
        sizes = dict(layout.packs)
        for pack in wanted:
            data = stream.part(layout.start_of(pack), sizes[pack])
            yield pack, data if sha256(data).digest() == pack else None


def _damaged_cells(one: ParityObject, stream: PackStream, cancel: CancelToken) -> dict[int, set[int]]:
    """Row -> its data cells that are not what they were."""
    found: dict[int, set[int]] = {}
    for row in range(one.header.layout.rows):
        cancel.check()
        bad = {n for n, cell in enumerate(stream.cells(row)) if sum_of(cell) != one.header.sum_of(row, n)}
        if bad:
            found[row] = bad
    return found


def _parity_of_rows(
    repository: Repository, one: ParityObject, rows: Sequence[int]
) -> Iterator[tuple[int, Mapping[int, bytes]]]:
    """For each row, its cells of parity that are whole, by their number among all cells. Rows beside each other are
    fetched together."""
    layout = one.header.layout
    at_once = max(1, _CHUNK // (layout.parity * layout.cell))
    todo = list(rows)
    while todo:
        first = todo[0]
        part = [row for row in todo if row < first + at_once]
        todo = todo[len(part) :]
        offset, length = one.header.parity_range(first)
        length *= part[-1] - first + 1
        available = max(0, min(length, one.size - offset))
        try:
            data = repository.backend.get(one.name, offset=offset, length=available) if available else b""
        except (NotFound, ShortRead):
            data = b""
        for row in part:
            yield row, dict(_whole_cells(one, row, data[(row - first) * layout.parity * layout.cell :], layout))


def _whole_cells(one: ParityObject, row: int, data: bytes, layout: ParityLayout) -> Iterator[tuple[int, bytes]]:
    for number in range(layout.parity):
        cell = data[number * layout.cell : (number + 1) * layout.cell]
        if sum_of(cell) == one.header.sum_of(row, layout.data + number):
            yield layout.data + number, cell


def _mend(one: ParityObject, stream: PackStream, row: int, bad: set[int], parity: Mapping[int, bytes]) -> None:
    layout = one.header.layout
    cells: list[bytes | None] = [None if n in bad else cell for n, cell in enumerate(stream.cells(row))]
    cells += [parity.get(layout.data + n) for n in range(layout.parity)]
    try:
        stream.replace(row, rebuilt_row(layout, cells))
    except Corrupt:
        return  # too little is left of this row; the packs it belongs to will not have their hash
