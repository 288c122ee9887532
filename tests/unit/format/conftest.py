"""Keys and sealers that are the same in every run."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from backup_core.format.cipher import MasterKey, Sealer


@pytest.fixture
def random_bytes() -> Callable[[int], bytes]:
    """A source of bytes that is the same in every run."""
    return random.Random(7).randbytes


@pytest.fixture
def master(random_bytes: Callable[[int], bytes]) -> MasterKey:
    return MasterKey.generate(random_bytes)


@pytest.fixture
def sealer(master: MasterKey, random_bytes: Callable[[int], bytes]) -> Sealer:
    return Sealer(master, random_bytes=random_bytes)
