"""What a validation and the processes that examine packs for it say to each other. Packs lie in shared memory."""

from __future__ import annotations

from typing import NamedTuple

from backup_core.repository.check import PackReport
from backup_core.repository.index import IndexHandle
from backup_core.types import PackId


class ExamineSettings(NamedTuple):
    """First message to a process that is to examine packs."""

    key: bytes
    """The master key as JSON. It travels through a private socket, never through arguments or the environment."""
    index_handle: IndexHandle


class ExaminePack(NamedTuple):
    """Examine the pack at the start of this slot. The answer is ``PackExamined``."""

    slot: int
    pack: PackId
    size: int
    """Bytes."""


class PackExamined(NamedTuple):
    """What was found."""

    report: PackReport
