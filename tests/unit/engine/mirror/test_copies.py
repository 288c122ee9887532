"""Several copies read as one: which is asked, when, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from backup_core.engine.copies import Copies, Spare
from backup_core.engine.restore_plan import plan_restore
from backup_core.engine.restore_run import run_restore
from backup_core.errors import AccessDenied, BackupError, ConnectionLost, ServerFailure
from backup_core.format.snapshot import Snapshot
from backup_core.progress import CancelToken, ProgressTracker, no_progress
from backup_core.repository.repository import Repository
from backup_core.results import Outcome, RestoreSummary
from backup_core.testing.recording import RecordingBackend
from backup_core.testing.trees import describe


class Failing(RecordingBackend):
    """Raises an error for every pack that is asked for."""

    def __init__(self, inner: Any, error: Callable[[], BackupError] | None = None) -> None:
        super().__init__(inner)
        self.error = error

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        if self.error is not None and name.startswith("data/"):
            self._note("get", name)
            raise self.error()
        return super().get(name, offset=offset, length=length)

    @property
    def packs(self) -> list[str]:
        """Packs that were asked for."""
        return [name for name in self.names("get") if name.startswith("data/")]


def spare(pair: Any, name: str = "mirror", error: BackupError | None = None) -> tuple[Spare, list[str]]:
    """The mirror as a spare copy, and a list that tells when it was opened."""
    opened: list[str] = []

    @contextmanager
    def enter() -> Iterator[Repository]:
        opened.append(name)
        if error is not None:
            raise error
        with pair.open_mirror() as repository:
            yield repository

    opener: Callable[[], AbstractContextManager[Repository]] = enter
    return Spare(name, opener), opened


def restore(pair: Any, snapshot: Snapshot, out: Path, first: Any, *spares: Spare) -> RestoreSummary:
    """A restore by one thread, so that what is asked can be counted."""
    repository = pair.open(first, pair.first_password)
    cancel, tracker = CancelToken(), ProgressTracker(no_progress, clock=pair.clock)
    with Copies(repository, spares, cancel=cancel) as copies:
        plan = plan_restore(repository, snapshot, out, copies=copies, cancel=cancel, progress=tracker)
        return run_restore(
            repository, plan, clock=pair.clock, progress=tracker, cancel=cancel, workers=1, copies=copies
        )


@pytest.fixture
def mirrored(pair: Any, source: Path) -> Snapshot:
    snapshot: Snapshot = pair.back_up(source)
    pair.copy()
    return snapshot


def test_a_spare_that_is_not_needed_is_never_opened(
    pair: Any, mirrored: Snapshot, tmp_path: Path, source: Path
) -> None:
    kept, opened = spare(pair)
    summary = restore(pair, mirrored, tmp_path / "out", Failing(pair.first), kept)
    assert summary.outcome is Outcome.COMPLETED
    assert opened == []


def test_a_spare_that_cannot_be_opened_is_told_and_the_next_one_used(
    pair: Any, mirrored: Snapshot, tmp_path: Path, source: Path
) -> None:
    for name in pair.packs(pair.first):
        del pair.first.objects[name]
    broken, _ = spare(pair, "broken", ConnectionLost("nobody is there"))
    good, opened = spare(pair, "good")
    summary = restore(pair, mirrored, tmp_path / "out", Failing(pair.first), broken, good)
    assert describe(tmp_path / "out" / "source") == describe(source)
    assert opened == ["good"]
    assert list(summary.blobs_by_copy) == ["good"]
    assert any(p.kind == "mirror-unusable" and "nobody is there" in p.message for p in summary.problems)


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (lambda: AccessDenied("the password has expired"), 1),
        (lambda: ConnectionLost("gone"), 1),
        (lambda: ServerFailure("500"), 3),
    ],
)
def test_a_copy_that_fails_as_a_whole_is_asked_no_more(
    pair: Any, mirrored: Snapshot, tmp_path: Path, source: Path, error: Callable[[], BackupError], asked: int
) -> None:
    first = Failing(pair.first, error)
    kept, _ = spare(pair)
    summary = restore(pair, mirrored, tmp_path / "out", first, kept)
    assert describe(tmp_path / "out" / "source") == describe(source)
    assert not summary.failed
    assert len(first.packs) == asked
    assert list(summary.blobs_by_copy) == ["mirror"]
    assert summary.outcome is Outcome.COMPLETED_WITH_PROBLEMS


def test_when_every_copy_fails_the_restore_stops_and_says_why(pair: Any, mirrored: Snapshot, tmp_path: Path) -> None:
    for name in pair.packs(pair.second):
        del pair.second.objects[name]
    kept, _ = spare(pair)
    summary = restore(pair, mirrored, tmp_path / "out", Failing(pair.first, lambda: ConnectionLost("gone")), kept)
    assert summary.outcome in (Outcome.FAILED, Outcome.COMPLETED_WITH_PROBLEMS)
    assert summary.failed
    assert any(p.kind == "no-server" and "gone" in p.message for p in summary.problems)
