"""Places for packs that are not uploaded yet."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from backup_core.engine import pack_slots
from backup_core.engine.pack_slots import PackSlots
from backup_core.storage.file_slices import as_buffer


def _name(slots: PackSlots) -> str:
    return os.readlink(f"/proc/self/fd/{slots.descriptor}")


def test_what_one_process_writes_another_reads(tmp_path: Path) -> None:
    slots = PackSlots(2, 100, directory=tmp_path)
    other = PackSlots(2, 100, descriptor=os.dup(slots.descriptor))
    other.write(0, 0, memoryview(b"first"))
    other.write(1, 0, memoryview(b"other"))
    other.write(0, 5, memoryview(b" slot"))
    other.close()
    assert as_buffer(slots.lend(0, 10)) == b"first slot"
    assert as_buffer(slots.lend(1, 5)) == b"other"
    with pytest.raises(ValueError, match="do not fit"):
        slots.write(0, 96, memoryview(b"12345"))
    slots.close()


def test_the_file_has_no_name_and_is_there_until_nothing_is_lent(tmp_path: Path) -> None:
    slots = PackSlots(1, 100, directory=tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert _name(slots).startswith(str(tmp_path))
    slots.write(0, 0, memoryview(b"content"))
    lent = slots.lend(0, 7)
    slots.close()
    assert as_buffer(lent) == b"content"
    slots.take_back()
    slots.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        as_buffer(lent)
    with pytest.raises(OSError, match="Bad file descriptor"):
        slots.write(0, 0, memoryview(b"late"))


def test_without_room_on_the_disk_memory_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage(tmp_path)._replace(free=pack_slots._ROOM_TO_SPARE + 99)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    slots = PackSlots(1, 100, directory=tmp_path)
    assert "memfd:davault-packs" in _name(slots)
    slots.write(0, 0, memoryview(b"content"))
    assert as_buffer(slots.lend(0, 7)) == b"content"
    slots.take_back()
    slots.close()


@pytest.mark.parametrize("directory", [None, Path("/no/such/directory")])
def test_without_a_directory_memory_is_taken(directory: Path | None) -> None:
    slots = PackSlots(1, 100, directory=directory)
    assert "memfd:davault-packs" in _name(slots)
    slots.close()
