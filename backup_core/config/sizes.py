"""Sizes as people write them: ``500M``, ``16MiB``, ``1.5G``."""

from __future__ import annotations

import re

_PATTERN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgtp]?)(i?)(b?)\s*", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def parse_size(text: str | int) -> int:
    """Bytes meant by ``text``: a number with an optional unit, 1024 based (``K``, ``KB`` and ``KiB`` are the same).

    Raises ``ValueError`` saying what is expected.
    """
    if isinstance(text, int):
        return text
    found = _PATTERN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a size; write a number with K, M, G or T, such as 500M")
    number, unit, _, _ = found.groups()
    return int(float(number) * 1024 ** _POWERS[unit.lower()])
