"""In place, from a list, one file, and several configurations as of one time."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from backup_core.config.models import ClientConfig
from backup_core.errors import ConfigError, Corrupt
from backup_core.results import Outcome
from backup_core.services.application import Application, open_application
from backup_core.services.moments import to_local
from backup_core.storage.local import LocalBackend
from backup_core.testing.clocks import ManualClock
from backup_core.testing.trees import describe, differences


@pytest.fixture
def app(tmp_path: Path, clock: ManualClock) -> Iterator[Application]:
    with open_application(tmp_path / "home", clock=clock) as application:
        application.add_client(ClientConfig(name="云", url=str(tmp_path / "store")))
        yield application


def test_in_place_says_first_what_would_change(app: Application, configured, source: Path) -> None:
    configured()
    app.backup("文档")
    before = describe(source)
    (source / "一.txt").write_text("changed")
    (source / "子" / "二.pdf").unlink()
    (source / "extra").write_text("mine")
    preview = app.plan_restore("文档", target=None, delete=True)
    assert preview.changes == (("delete", "源/extra"), ("replace", "源/一.txt"), ("create", "源/子/二.pdf"))
    assert preview.target == str(source.parent) and preview.requests == 1
    assert preview.space_free > preview.space_needed > 0
    assert app.restore("文档", target=None, delete=True).outcome is Outcome.COMPLETED
    assert differences(before, describe(source)) == []


def test_deleting_in_place_spares_what_the_configuration_leaves_out(app: Application, configured, source: Path) -> None:
    configured(exclude_patterns=["*.tmp", "/cache"], include_patterns=["*.txt", "*.pdf", "*.tmp"])
    app.backup("文档")
    (source / "cache").mkdir()
    for name in ("a.tmp", "cache/x.txt", "picture.png", "later.txt"):
        (source / name).write_text(name)
    preview = app.plan_restore("文档", target=None, delete=True)
    assert preview.changes == (("delete", "源/later.txt"),)


def test_a_list_and_case(app: Application, configured, tmp_path: Path) -> None:
    configured()
    app.backup("文档")
    listed = app.restore("文档", target=tmp_path / "a", listed=["子/二.pdf".encode()])
    assert listed.files_restored == 1 and (tmp_path / "a" / "源" / "子" / "二.pdf").exists()
    assert app.restore("文档", target=tmp_path / "b", patterns=["*.TXT"], case_insensitive=True).files_restored == 1
    options = [row.options for row in app._services.backup.catalogue.restores.listed()]
    assert json.dumps(options) and {o["listed"] for o in options} == {1, None}


def test_one_file_is_written_out(app: Application, configured, source: Path) -> None:
    configured()
    content = random.Random(3).randbytes(5_000_000)
    (source / "大.bin").write_bytes(content)
    first = app.backup("文档")
    (source / "大.bin").write_bytes(b"later")
    app.backup("文档")
    for path in (str(source / "大.bin"), "大.bin", "源/大.bin"):
        parts: list[bytes] = []
        written = app.recovery.single_files.write_out(path, parts.append, backup_id=first.backup_id)
        assert b"".join(parts) == content and written.size == len(content) and len(parts) > 1
    parts = []
    app.recovery.single_files.write_out("大.bin", parts.append, config_name="文档")
    assert parts == [b"later"]
    for wrong in ("nothing", "子", "/etc/passwd", "一.txt/x", ""):
        with pytest.raises(ConfigError):
            app.recovery.single_files.write_out(wrong, parts.append, config_name="文档")


def test_nothing_wrong_is_ever_written_out(app: Application, configured, source: Path, tmp_path: Path) -> None:
    configured()
    content = random.Random(4).randbytes(6_000_000)
    (source / "大.bin").write_bytes(content)
    app.backup("文档")
    for pack in (tmp_path / "store" / "备份" / "data").rglob("*"):
        if pack.is_file() and pack.stat().st_size > 1_000_000:
            damaged = bytearray(pack.read_bytes())
            damaged[len(damaged) // 2] ^= 1
            pack.chmod(0o600)
            pack.write_bytes(damaged)
    parts: list[bytes] = []
    with pytest.raises(Corrupt):
        app.recovery.single_files.write_out("大.bin", parts.append, config_name="文档")
    assert content.startswith(b"".join(parts)) and len(b"".join(parts)) < len(content)


@pytest.fixture
def three(app: Application, configured, tmp_path: Path, clock: ManualClock) -> Callable[[int], None]:
    """Backs the three up, ten minutes apart, once a day."""
    for name in ("db", "code", "uploads"):
        folder = tmp_path / name
        folder.mkdir()
        configured(name, source_paths=[str(folder)], target_path=f"/{name}")

    def day(number: int) -> None:
        for name in ("db", "code", "uploads"):
            (tmp_path / name / "file").write_text(f"{name} {number}")
            app.backup(name)
            clock.advance(600)
        clock.advance(86400 - 1800)

    return day


def test_a_consistent_set(app: Application, three, tmp_path: Path, clock: ManualClock) -> None:
    for number in range(3):
        three(number)
    moment = to_local(clock.now()) - timedelta(days=1, hours=1)
    chosen = app.recovery.sets.choose(["code", "db", "uploads"], target=tmp_path / "out", at=moment)
    assert round(chosen.skew / timedelta(minutes=1)) == 20
    assert [r.backup.config_name for r in chosen.requests] == ["code", "db", "uploads"]
    assert round(chosen.distance(chosen.requests[1]) / timedelta(hours=1)) == 23
    previews = app.recovery.sets.preview(chosen)
    assert [p.creates for p in previews] == [1, 1, 1] and not (tmp_path / "out").exists()
    results = app.recovery.sets.run(chosen)
    assert all(r.summary is not None and r.summary.outcome is Outcome.COMPLETED for r in results)
    for name in ("db", "code", "uploads"):
        assert (tmp_path / "out" / name / name / "file").read_text() == f"{name} 1"


def test_a_set_that_is_not_whole_is_refused(app: Application, three, tmp_path: Path, clock: ManualClock) -> None:
    three(0)
    app.add_config(app.get_config("db").model_copy(update={"name": "new", "target_path": "/new"}))
    with pytest.raises(ConfigError) as caught:
        app.recovery.sets.choose(["db", "new", "nobody"], target=tmp_path / "out")
    assert len(caught.value.problems) == 2
    with pytest.raises(ConfigError, match=r"apart .*more than the 0:10:00"):
        app.recovery.sets.choose(["db", "uploads"], target=tmp_path / "out", most_skew=timedelta(minutes=10))
    for names in ([], ["db", "db"]):
        with pytest.raises(ConfigError, match="each once"):
            app.recovery.sets.choose(names, target=tmp_path / "out")


def test_a_member_that_fails_does_not_stop_the_others(app: Application, three, tmp_path: Path) -> None:
    three(0)
    chosen = app.recovery.sets.choose(["code", "db"], target=tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "code").write_text("in the way")
    first, second = app.recovery.sets.run(chosen)
    assert first.summary is None and "code" in first.error
    assert second.summary is not None and second.summary.outcome is Outcome.COMPLETED


WATCHER = """
import sys
from backup_core.services.application import open_application
with open_application(sys.argv[1]) as app:
    progress = app.recovery.get_recovery_progress(sys.argv[2])
    print(progress.status.value, progress.total_files, progress.phase, app.recovery.cancel_recovery(sys.argv[2]))
"""


def test_a_session_is_watched_and_cancelled_from_another_process(
    app: Application, configured, source: Path, tmp_path: Path, monkeypatch
) -> None:
    import threading

    configured()
    app.backup("文档")
    fetching, go_on = threading.Event(), threading.Event()
    honest = LocalBackend.get

    def slow(self, name, **how):
        if name.startswith("data/") and threading.current_thread().name == "davault-restore":
            fetching.set()
            go_on.wait(60)
        return honest(self, name, **how)

    monkeypatch.setattr(LocalBackend, "get", slow)
    session = app.recovery.one_click_restore("文档", tmp_path / "out")
    assert fetching.wait(60)
    told = subprocess.run(
        [sys.executable, "-c", WATCHER, str(tmp_path / "home"), session], capture_output=True, text=True, check=True
    ).stdout.split()
    app._services.executor.wait()  # ends although the server is still silent
    assert told[0] in ("pending", "running") and told[-1] == "True"
    assert app.recovery.get_recovery_progress(session).status.value == "cancelled"
    go_on.set()
    assert [p for p in (tmp_path / "out").rglob("*") if p.is_file()] == []
