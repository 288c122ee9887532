"""Rules every backend applies to the names it is given, so that no name can leave the backend's root."""

from __future__ import annotations

from collections.abc import Sequence

from backup_core.storage.file_slices import FileSlices
from backup_core.types import Buffer


def check_name(name: str) -> str:
    """``name`` itself when it is a relative, ``/``-separated path without empty, ``.`` or ``..`` parts.

    Raises ``ValueError`` otherwise: names come from this library, so a bad one is a fault of the caller.
    """
    if "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError(f"not a valid object name: {name!r}")
    return name


def check_directory(directory: str) -> str:
    """Like ``check_name``; the empty string stands for the root."""
    return check_name(directory) if directory else directory


def check_range(offset: int, length: int | None) -> None:
    """Refuse ranges that make no sense (``ValueError``)."""
    if offset < 0 or (length is not None and length < 0):
        raise ValueError(f"not a valid range: offset {offset}, length {length}")


def parent_of(name: str) -> str:
    """The directory that holds ``name`` ("" for the root)."""
    return name.rpartition("/")[0]


def as_views(data: Buffer | Sequence[Buffer]) -> tuple[Sequence[memoryview], int]:
    """The buffers as flat byte views, nothing copied or read, and their total length in bytes."""
    if isinstance(data, FileSlices):
        return data, data.size
    parts = [data] if isinstance(data, (bytes, bytearray, memoryview)) else data
    views = [memoryview(part).cast("B") for part in parts]
    return views, sum(len(view) for view in views)
