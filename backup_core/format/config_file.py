"""The file ``config``: which version a repository is, its id, and its chunker polynomial (sealed JSON)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from backup_core.deferred import dataclass
from backup_core.errors import Corrupt, UnsupportedVersion
from backup_core.format.ids import ID_BYTES, to_hex
from backup_core.format.json_fields import integer_of, parse_object, text_of
from backup_core.format.layout import is_id
from backup_core.types import Buffer

VERSIONS = (1, 2)
"""Versions that can be read; 2, the one with compression, is written."""

_DEGREE = 53
_is_polynomial = re.compile("[0-9a-f]{1,16}").fullmatch


@dataclass(frozen=True, slots=True)
class RepositoryConfig:
    """What was decided for good when the repository was made."""

    version: int
    id: str
    """64 random hex digits."""
    chunker_polynomial: int
    """Irreducible polynomial over GF(2) of degree 53, bit i being the coefficient of x^i. Any two repositories with
    the same one cut files alike. Other programs cut with it; this one derives its own cut points from it."""

    def __post_init__(self) -> None:
        if self.version not in VERSIONS:
            raise UnsupportedVersion(
                f"the repository has version {self.version}, this program knows 1 and 2: use a newer release"
            )
        if not is_id(self.id):
            raise Corrupt("the config's id is not 64 lower-case hex digits", kind="config")
        if not is_irreducible(self.chunker_polynomial):
            raise Corrupt("the config's chunker polynomial is not irreducible of degree 53", kind="config")

    @classmethod
    def generate(
        cls, random_bytes: Callable[[int], bytes], *, chunker_polynomial: int | None = None
    ) -> RepositoryConfig:
        """The config of a new repository, from a source of cryptographic randomness.

        With another repository's ``chunker_polynomial`` both cut files alike, so that what one holds need not be copied
        to the other.
        """
        polynomial = _draw_polynomial(random_bytes) if chunker_polynomial is None else chunker_polynomial
        return cls(version=2, id=to_hex(random_bytes(ID_BYTES)), chunker_polynomial=polynomial)

    def encode(self) -> bytes:
        """The JSON to be sealed."""
        polynomial = f"{self.chunker_polynomial:x}"
        return f'{{"version":{self.version},"id":"{self.id}","chunker_polynomial":"{polynomial}"}}'.encode("ascii")

    @classmethod
    def decode(cls, data: Buffer) -> RepositoryConfig:
        """Read the JSON. Raises ``Corrupt`` or ``UnsupportedVersion``."""
        record = parse_object(data, "config")
        version = integer_of(record, "version", "config", required=True)
        polynomial = text_of(record, "chunker_polynomial", "config", required=True)
        if not _is_polynomial(polynomial):
            raise Corrupt("the config's chunker polynomial is not a hex number of 64 bits", kind="config")
        return cls(version, text_of(record, "id", "config", required=True), int(polynomial, 16))


def _draw_polynomial(random_bytes: Callable[[int], bytes]) -> int:
    # One odd polynomial in 27 is irreducible, so the loop ends soon.
    while True:
        drawn = int.from_bytes(random_bytes(7), "little") & ((1 << _DEGREE) - 1)
        candidate = drawn | 1 << _DEGREE | 1
        if is_irreducible(candidate):
            return candidate


@lru_cache(maxsize=64)  # each opening of a repository asks for the same one
def is_irreducible(polynomial: int) -> bool:
    """Whether ``polynomial`` is irreducible over GF(2) and of degree 53.

    Ben-Or's test: a polynomial of degree n is irreducible when it shares no factor with x^(2^i) - x for i up to n / 2.
    """
    if polynomial.bit_length() != _DEGREE + 1:
        return False
    power = 2
    for _ in range(_DEGREE // 2):
        power = _remainder(_square(power), polynomial)
        if _common_divisor(polynomial, power ^ 2) != 1:
            return False
    return True


def _square(polynomial: int) -> int:
    # Over GF(2) the square of a sum is the sum of the squares: spread the bits. Reading the binary digits
    # as base 4 does that.
    return int(f"{polynomial:b}", 4)


def _remainder(dividend: int, divisor: int) -> int:
    length = divisor.bit_length()
    while (excess := dividend.bit_length() - length) >= 0:
        dividend ^= divisor << excess
    return dividend


def _common_divisor(first: int, second: int) -> int:
    while second:
        first, second = second, _remainder(first, second)
    return first
