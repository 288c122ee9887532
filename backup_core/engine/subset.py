"""Which part of a backup's packs one validation reads, so that several of them read everything."""

from __future__ import annotations

import re
from collections.abc import Mapping

from backup_core.deferred import dataclass
from backup_core.errors import ConfigError
from backup_core.types import PackId

_PART = re.compile(r"(\d+)/(\d+)")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%")
_BYTES = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?", re.IGNORECASE)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_MOST_PARTS = 256


@dataclass(frozen=True, slots=True)
class Subset:
    """A part of all packs, chosen by their ids alone: the same one for the same packs, whoever asks.

    With ``part`` of ``parts`` the packs fall into so many parts of about the same size. With a ``share`` (of all
    bytes) or a number of ``bytes_``, the packs lie in a ring in order of their ids, and each ``turn`` takes the stretch
    that follows the last one's: 20 turns of 5 % read everything.
    """

    part: int = 0
    parts: int = 0
    share: float = 0.0
    """Greater than 0, at most 1."""
    bytes_: int = 0

    @classmethod
    def parse(cls, text: str) -> Subset:
        """Read "1/7" (the first of seven parts), "5%" or "500M" (K, M, G, T are powers of 1024).

        Raises ``ConfigError``.
        """
        wanted = text.strip()
        if (match := _PART.fullmatch(wanted)) and 1 <= int(match[1]) <= int(match[2]) <= _MOST_PARTS:
            return cls(part=int(match[1]), parts=int(match[2]))
        if (match := _PERCENT.fullmatch(wanted)) and 0 < float(match[1]) <= 100:
            return cls(share=float(match[1]) / 100)
        if (match := _BYTES.fullmatch(wanted)) and (size := int(float(match[1]) * _UNITS[match[2].upper()])) > 0:
            return cls(bytes_=size)
        raise ConfigError(
            f"{text!r} is no part of a backup's data: say 1/7 (at most {_MOST_PARTS} parts), 5% or 500M", problems=()
        )

    def choose(self, sizes: Mapping[PackId, int], *, turn: int) -> list[PackId]:
        """The packs of this turn, ascending by id. ``sizes``: bytes of each pack there is."""
        packs = sorted(sizes)
        if self.parts:
            return [pack for pack in packs if int.from_bytes(pack[:8], "big") % self.parts == self.part - 1]
        total = sum(sizes.values())
        wanted = min(total, self.bytes_ or max(1, round(total * self.share)))
        if not total or wanted == total:
            return packs
        begin = turn * wanted % total
        chosen = []
        at = 0
        for pack in packs:
            # A pack belongs to the turn in whose stretch of the ring its first byte lies.
            if (at - begin) % total < wanted:
                chosen.append(pack)
            at += sizes[pack]
        return chosen
