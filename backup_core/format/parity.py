"""Parity of packs: Reed-Solomon cells from which damaged or lost ones are computed again.

The packs of a group are laid end to end, filled up with zeros, and cut into ``data`` shards of ``rows`` cells each. Row
``r`` is cell ``r`` of every shard, and has ``parity`` more cells: any ``data`` of the ``data + parity`` cells of a row
give all of it back. Shards are far from each other, so that damage in one place costs each row few cells.

An object, all numbers big-endian::

    MAGIC  length:u32  header  sha256(header):32
    cells of parity, row by row
    header  sha256(header):32  length:u32  MAGIC

The header stands at both ends, so that damage to one of them does no harm. It is a zstd frame around JSON: ``data``,
``parity``, ``cell`` (bytes), ``packs`` (list of [hex id, bytes]) and ``sums``: 8-byte BLAKE2b of all cells of all rows,
in base64. Nothing in it is secret (packs are sealed), and nothing is trusted: what is rebuilt is hashed as a pack.

The code is that of ISA-L's ``gf_gen_cauchy1_matrix`` over GF(2^8) with the polynomial 0x11d: parity cell ``p`` is the
sum of ``inverse((data + p) xor d)`` times data cell ``d``. It is computed by liberasurecode through pyeclib.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b, sha256
from typing import Any

import orjson
import zstandard

from backup_core.deferred import dataclass
from backup_core.errors import ConfigError, Corrupt
from backup_core.format.ids import from_hex, to_hex
from backup_core.types import Buffer, PackId

MAGIC = b"davaultparity\r\n\x1a"
SHARDS = 32
"""Data and parity shards together: what liberasurecode takes at most."""
MAX_CELL = 64 * 1024
_GRAIN = 64
"""Cells are multiples of so many bytes, which the codec needs no padding for."""
_LENGTH = struct.Struct(">I")
_SUM = 8
_MAX_HEADER = 64 << 20
_CODEC_HEADER = 80


@dataclass(frozen=True, slots=True)
class ParityLayout:
    """How the packs of a group are laid out in shards and cells."""

    data: int
    parity: int
    cell: int
    """Bytes."""
    packs: tuple[tuple[PackId, int], ...]
    """Id and bytes of each, in the order in which they are laid end to end."""

    @property
    def total(self) -> int:
        """Bytes of all packs."""
        return sum(size for _, size in self.packs)

    @property
    def rows(self) -> int:
        """How many rows of cells there are."""
        return -(-self.total // (self.data * self.cell))

    @property
    def shard(self) -> int:
        """Bytes of a shard."""
        return self.rows * self.cell

    def places(self, row: int) -> list[int]:
        """Where the data cells of a row begin in the packs laid end to end."""
        return [number * self.shard + row * self.cell for number in range(self.data)]

    def start_of(self, pack: PackId) -> int:
        """Where a pack begins. Raises ``KeyError`` when it is not of this group."""
        at = 0
        for one, size in self.packs:
            if one == pack:
                return at
            at += size
        raise KeyError(pack)


@dataclass(frozen=True, slots=True)
class ParityHeader:
    """What a parity object says of itself."""

    layout: ParityLayout
    sums: bytes
    """Sums of all cells, row by row, data before parity."""
    size: int
    """Bytes from the object's beginning to its first cell of parity."""

    def sum_of(self, row: int, cell: int) -> bytes:
        """The sum that a cell should have."""
        at = (row * (self.layout.data + self.layout.parity) + cell) * _SUM
        return self.sums[at : at + _SUM]

    def parity_range(self, row: int) -> tuple[int, int]:
        """Offset and length of a row's cells of parity within the object."""
        length = self.layout.parity * self.layout.cell
        return self.size + row * length, length


def layout_for(packs: Sequence[tuple[PackId, int]], share: float) -> ParityLayout:
    """The layout for parity of at least ``share`` (0.05 is 5 %) of the packs' bytes, and at most twice as much as one
    shard in ``SHARDS`` asks for. Raises ``ConfigError`` for a share outside 0 < share <= 1.
    """
    if not 0 < share <= 1:
        raise ConfigError(f"parity of {share:.0%} is not possible; between 3% and 100% is")
    parity = next(p for p in range(1, SHARDS // 2 + 1) if p / (SHARDS - p) >= share)
    data = SHARDS - parity
    needed = -(-sum(size for _, size in packs) // data)
    cell = max(_GRAIN, min(MAX_CELL, -(-needed // _GRAIN) * _GRAIN))
    return ParityLayout(data, parity, cell, tuple(packs))


def sum_of(cell: Buffer) -> bytes:
    """What is remembered of a cell, to tell whether it is damaged."""
    return blake2b(cell, digest_size=_SUM).digest()


def parity_of(layout: ParityLayout, cells: Sequence[Buffer]) -> list[bytes]:
    """The cells of parity of a row of data cells."""
    fragments = _codec(layout.data, layout.parity).encode(b"".join(cells))
    return [fragment[_CODEC_HEADER:] for fragment in fragments[layout.data :]]


def rebuilt_row(layout: ParityLayout, cells: Sequence[Buffer | None]) -> bytes:
    """All data cells of a row, end to end, from those of its cells (data, then parity) that are not None.

    Raises ``Corrupt`` when too few are left.
    """
    left = sum(cell is not None for cell in cells)
    if left < layout.data:
        raise Corrupt(f"{layout.data - left} cells too few are left of a row of {layout.data}", kind="parity")
    heads = _heads(layout.data, layout.parity, layout.cell)
    fragments = [head + bytes(cell) for head, cell in zip(heads, cells, strict=True) if cell is not None]
    return bytes(_codec(layout.data, layout.parity).decode(fragments))


def encode_header(layout: ParityLayout, sums: bytes) -> tuple[bytes, bytes]:
    """What stands before and behind the cells of parity."""
    document = {
        "data": layout.data,
        "parity": layout.parity,
        "cell": layout.cell,
        "packs": [[to_hex(pack), size] for pack, size in layout.packs],
        "sums": base64.b64encode(sums).decode(),
    }
    header = zstandard.ZstdCompressor().compress(orjson.dumps(document))
    sealed, length = header + sha256(header).digest(), _LENGTH.pack(len(header))
    return MAGIC + length + sealed, sealed + length + MAGIC


def header_length(beginning: Buffer) -> int:
    """Bytes of all that stands before the cells, as the first bytes of an object say. Raises ``Corrupt``."""
    view = memoryview(beginning)
    fixed = len(MAGIC) + _LENGTH.size
    if bytes(view[: len(MAGIC)]) != MAGIC or len(view) < fixed:
        raise Corrupt("it does not begin as parity does", kind="parity")
    return _checked_length(_LENGTH.unpack(view[len(MAGIC) : fixed])[0]) + fixed + sha256().digest_size


def trailer_length(end: Buffer) -> int:
    """The same for what stands behind the cells, as an object's last bytes say. Raises ``Corrupt``."""
    view = memoryview(end)
    fixed = len(MAGIC) + _LENGTH.size
    if len(view) < fixed or bytes(view[-len(MAGIC) :]) != MAGIC:
        raise Corrupt("it does not end as parity does", kind="parity")
    return _checked_length(_LENGTH.unpack(view[-fixed : -len(MAGIC)])[0]) + fixed + sha256().digest_size


def decode_header(part: Buffer) -> ParityHeader:
    """The header in what stands before or behind the cells. Raises ``Corrupt``."""
    view, fixed, digest = memoryview(part), len(MAGIC) + _LENGTH.size, sha256().digest_size
    sealed = view[fixed:] if bytes(view[: len(MAGIC)]) == MAGIC else view[:-fixed]
    header = bytes(sealed[:-digest])
    if sha256(header).digest() != bytes(sealed[-digest:]):
        raise Corrupt("its header is damaged", kind="parity")
    try:
        if zstandard.frame_content_size(header) > _MAX_HEADER:  # more than the limit would be made room for
            raise Corrupt("it claims to be too long", kind="parity")
        found = orjson.loads(zstandard.ZstdDecompressor().decompress(header, max_output_size=_MAX_HEADER))
        packs = tuple((PackId(from_hex(digits)), int(size)) for digits, size in found["packs"])
        layout = ParityLayout(int(found["data"]), int(found["parity"]), int(found["cell"]), packs)
        sums = base64.b64decode(found["sums"], validate=True)
    except (zstandard.ZstdError, ValueError, KeyError, TypeError, Corrupt) as error:
        raise Corrupt(f"its header cannot be read: {error}", kind="parity") from error
    _check(layout, sums)
    return ParityHeader(layout, sums, len(view))


def _checked_length(length: int) -> int:
    if length > _MAX_HEADER:
        raise Corrupt(f"its header claims to have {length} bytes", kind="parity")
    return length


def _check(layout: ParityLayout, sums: bytes) -> None:
    shards = layout.data + layout.parity
    sane = 0 < layout.parity <= layout.data and shards == SHARDS and 0 < layout.cell <= MAX_CELL
    if not sane or layout.cell % _GRAIN or any(size <= 0 for _, size in layout.packs) or not layout.packs:
        raise Corrupt("its header describes no possible layout", kind="parity")
    if len(sums) != layout.rows * shards * _SUM:
        raise Corrupt("its header has another number of sums than of cells", kind="parity")


@lru_cache(maxsize=SHARDS)
def _codec(data: int, parity: int) -> Any:
    try:
        from pyeclib.ec_iface import ECDriver
    except ImportError as error:
        raise ConfigError("parity needs a package that is not installed: pip install 'davault[parity]'") from error
    return ECDriver(k=data, m=parity, ec_type="isa_l_rs_cauchy")


@lru_cache(maxsize=4)
def _heads(data: int, parity: int, cell: int) -> list[bytes]:
    # What the codec puts before each cell says which one it is, and nothing of its content.
    return [fragment[:_CODEC_HEADER] for fragment in _codec(data, parity).encode(bytes(data * cell))]
