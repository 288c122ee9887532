"""While the lock is waited for, directories are listed: those that the walk comes to, each one once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from backup_core.engine import read_ahead
from backup_core.engine.backup_options import BackupOptions
from backup_core.engine.live.command_stream import CommandSource
from backup_core.engine.read_ahead import ReadAhead
from backup_core.engine.roots import resolve_sources
from backup_core.errors import Cancelled
from backup_core.progress import CancelToken
from backup_core.testing.clocks import ManualClock


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The directories that are listed, in order."""
    paths: list[bytes] = []
    real = read_ahead.list_directory

    def noting(path: bytes) -> Any:
        paths.append(path)
        return real(path)

    monkeypatch.setattr(read_ahead, "list_directory", noting)
    return paths


def look(source: Path, *, seconds: float = 1, cancel: CancelToken | None = None, **wishes: Any) -> ReadAhead:
    ahead, clock = ReadAhead(), ManualClock()
    options = BackupOptions(sources=(str(source),), kind="full", hostname="h", username="u", backup_id="i", **wishes)
    ahead.look(
        resolve_sources(options.sources, []),
        options,
        clock=clock,
        until=clock.monotonic() + seconds,
        cancel=cancel or CancelToken(),
    )
    return ahead


def below(source: Path, *names: str) -> list[bytes]:
    return [os.fsencode(source / name) for name in names]


def test_a_backup_lists_every_directory_once(bench: Any, source: Path, listed: list[bytes]) -> None:
    bench.back_up(source)
    assert listed == below(source, "", "a", "a/b", "c")


def test_what_a_command_may_change_first_is_not_looked_at_ahead(
    bench: Any, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[object] = []
    monkeypatch.setattr(ReadAhead, "look", lambda *given, **named: looks.append(given))
    bench.back_up(source, commands=(CommandSource("dump.sql", "echo dump", environment=dict(os.environ)),))
    bench.back_up(source, kind="full")
    assert looks == []
    bench.back_up(source)
    assert len(looks) == 1


def test_it_stops_when_the_wait_is_over(source: Path, listed: list[bytes]) -> None:
    look(source, seconds=0)
    assert listed == []


def test_it_stops_when_it_holds_enough(source: Path, listed: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "MOST_ENTRIES", 8)
    ahead = look(source)
    assert listed == below(source, "", "a")
    assert ahead.take(listed[0]) != ahead.take(below(source, "c")[0])
    assert listed == below(source, "", "a", "c"), "the first was held, the other was not"


def test_it_keeps_away_from_what_is_left_out(source: Path, listed: list[bytes]) -> None:
    (source / "c" / "inner").mkdir()
    (source / "c" / ".nobackup").touch()
    look(source, exclude=("b",), exclude_if_present=(".nobackup",))
    assert listed == below(source, "", "a", "c")


def test_a_directory_that_cannot_be_read_is_left_to_the_walk(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = read_ahead.list_directory
    monkeypatch.setattr(read_ahead, "list_directory", lambda path: os.listdir(path + b"/gone") and real(path))
    ahead = look(source)
    with pytest.raises(FileNotFoundError):
        ahead.take(os.fsencode(source))


def test_a_file_as_source_is_nothing_to_list(source: Path, listed: list[bytes]) -> None:
    look(source / "a" / "file0")
    assert listed == []


def test_it_can_be_cancelled(source: Path) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        look(source, cancel=cancel)
