"""Progress is shown by a thread that neither slows nor breaks the work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from backup_core.progress import Progress
from flows import _progress
from flows._progress import ProgressArtifact, percent


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(_progress, "INTERVAL", 0.001)
    yield


def test_a_server_that_hangs_does_not_hold_the_work_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answer = threading.Event(), threading.Event()

    def hang(**_: Any) -> None:
        asked.set()
        assert answer.wait(60)

    monkeypatch.setattr(_progress, "create_progress_artifact", hang)
    monkeypatch.setattr(_progress, "LAST_WORD", 0.0)
    with ProgressArtifact("backup") as progress:
        assert asked.wait(60)
        for number in range(10_000):
            progress(Progress("backup", files_done=number))
    assert not answer.is_set(), "the work has ended while the server still hangs"
    answer.set()


def test_a_server_that_refuses_does_not_break_the_work(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refused = threading.Event()

    def refuse(**_: Any) -> None:
        refused.set()
        raise ConnectionError("refused")

    monkeypatch.setattr(_progress, "create_progress_artifact", refuse)
    with ProgressArtifact("backup") as progress:
        progress(Progress("backup", files_done=1))
        assert refused.wait(60)
    assert sum("progress cannot be shown" in record.message for record in caplog.records) == 1, "said once"


def test_the_newest_state_is_sent_and_in_the_end_that_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[float, str]] = []
    begun = threading.Event()
    artifact = uuid4()

    def create(*, progress: float, description: str) -> Any:
        sent.append((progress, description))
        begun.set()
        return artifact

    def update(made: object, *, progress: float, description: str) -> None:
        assert made == artifact
        sent.append((progress, description))

    monkeypatch.setattr(_progress, "create_progress_artifact", create)
    monkeypatch.setattr(_progress, "update_progress_artifact", update)
    progress = ProgressArtifact("full backup of 照片")
    progress(Progress("backup", bytes_done=1, bytes_total=4))
    with progress:
        assert begun.wait(60)
    assert sent[0] == (25.0, "25 %, backup, 1 B of 4 B - full backup of 照片")
    assert sent[-1] == (100.0, "done - full backup of 照片")


def test_percent() -> None:
    assert percent(Progress()) == 0.0
    assert percent(Progress(files_done=1, files_total=3)) == 33.3
    assert percent(Progress(bytes_done=9, bytes_total=4)) == 100.0
