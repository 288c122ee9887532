"""Old backups are forgotten by rules, by name, and not at all while they are pinned."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.services.application import open_application
from backup_core.testing.clocks import ManualClock

from .conftest import Secrets

START = datetime(2026, 1, 1, 2, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A home, a store and a source with ten daily backups of "docs", and their ids, newest first."""
    root = tmp_path_factory.mktemp("template")
    (root / "docs").mkdir()
    (root / "docs" / "report.pdf").write_bytes(bytes(range(256)) * 40)
    clock = ManualClock(START)
    made = []
    with pytest.MonkeyPatch.context() as environment, open_application(root / "home", clock=clock) as app:
        environment.setenv("REPOSITORY_KEY", Secrets().key)
        app.add_client(ClientConfig(name="disk", url=(root / "store").as_uri()))
        app.add_config(
            BackupConfig(
                name="docs", source_paths=[str(root / "docs")], target_client_id="disk", target_path="/backups",
                encrypt_key="env:REPOSITORY_KEY",
            )
        )  # fmt: skip
        for day in range(10):
            clock.set(START + timedelta(days=day))
            (root / "docs" / "day.txt").write_text(f"day {day}")
            made.insert(0, app.backup("docs").backup_id)
    return root, made


@pytest.fixture
def docs(davault, template: tuple[Path, list[str]], tmp_path: Path, secrets, monkeypatch: pytest.MonkeyPatch) -> str:
    """A copy of the template for one test; the clock stands at the last backup."""
    shutil.copytree(template[0], tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("DAVAULT_HOME", str(tmp_path / "home"))
    clock = ManualClock(START + timedelta(days=9))
    monkeypatch.setattr("backup_core.services.application.SystemClock", lambda: clock)
    davault("client", "add", "disk", "--url", (tmp_path / "store").as_uri(), "--replace")
    return "docs"


@pytest.fixture
def history(docs: str, template: tuple[Path, list[str]]) -> list[str]:
    """The ids of its backups, newest first."""
    return template[1]


def listed(davault, docs: str = "docs") -> list[str]:
    return [b["backup_id"] for b in davault("list", docs, "--json").document["backups"]]


def test_a_dry_run_tells_each_reason_and_changes_nothing(davault, docs: str, history: list[str]) -> None:
    words = ["cleanup", docs, "--keep-daily", "2", "--keep-weekly", "2", "--dry-run"]
    document = davault(*words, "--json").document
    assert [d["keep"] for d in document["decisions"]] == [True, True, *[False] * 3, False, True, *[False] * 3]
    assert document["decisions"][0]["reasons"] == [
        "daily 1 of 2", "weekly 1 of 2", "the newest one, which always stays",
    ]  # fmt: skip
    assert (document["kept"], document["forgotten"], document["dry_run"]) == (3, [], True)
    shown = davault(*words).stdout
    assert "3 backups would stay, 7 would go" in shown and "no rule keeps it" in shown
    assert listed(davault) == history


def test_forgetting_and_pruning_in_one_go(davault, docs: str, history: list[str]) -> None:
    with pytest.raises(AssertionError, match="exit code 2"):
        davault("cleanup", docs, "--keep-last", "2")
    assert "--yes" in davault("cleanup", docs, "--keep-last", "2", code=2).stderr
    document = davault("cleanup", docs, "--keep-last", "2", "--yes", "--prune", "--max-unused", "0", "--json").document
    assert document["forgotten"] == history[2:]
    assert document["prune"]["dry_run"] is False and document["prune"]["freed_bytes"] > 0
    assert listed(davault) == history[:2]
    assert davault("validate", "--all", "--depth", "data", "--json").document["is_valid"] is True
    with open_application() as app:
        runs = {run.kind: run for run in app.runs(docs)}
    assert runs["cleanup"].figures["forgotten"] == 8 and runs["cleanup"].outcome == "completed"
    assert runs["prune"].figures["freed_bytes"] == document["prune"]["freed_bytes"]
    assert sum(runs["prune"].requests.values()) > 0


def test_a_pin_outlives_rules_and_the_catalogue(davault, docs: str, history: list[str], tmp_path: Path) -> None:
    davault("pin", "add", history[7], "--reason", "before the move")
    assert "before the move" in davault("pin", "list").stdout
    refused = davault("forget", history[7], "--yes", code=5).stderr
    assert f"davault pin remove {history[7]}" in refused
    davault("cleanup", docs, "--keep-last", "1", "--yes")
    assert listed(davault) == [history[0], history[7]]
    for file in (tmp_path / "home").glob("catalogue.db*"):
        file.unlink()
    toml = tmp_path / "config.toml"
    toml.write_text(
        f'[clients.disk]\nurl = "{(tmp_path / "store").as_uri()}"\n'
        f'[configs.docs]\nsource_paths = ["{tmp_path / "docs"}"]\ntarget_client_id = "disk"\n'
        'target_path = "/backups"\nencrypt_key = "env:REPOSITORY_KEY"\n'
    )
    davault("config", "import", toml)
    decisions = davault("cleanup", docs, "--keep-last", "1", "--dry-run", "--json").document["decisions"]
    assert [(d["backup_id"], d["keep"]) for d in decisions] == [(history[0], True), (history[7], True)]
    assert "pinned: before the move" in decisions[1]["reasons"]


def test_unpinned_backups_go_again(davault, docs: str, history: list[str]) -> None:
    davault("pin", "add", history[3])
    assert davault("pin", "remove", history[3], "--json").document["removed"] == history[3]
    davault("pin", "remove", history[3], code=5)
    davault("cleanup", docs, "--keep-last", "1", "--yes")
    assert listed(davault) == history[:1]


def test_forgetting_by_name_keeps_to_the_guard_rails(davault, docs: str, history: list[str]) -> None:
    davault("validate", history[4])
    assert "no backup of 'docs' that was validated" in davault("forget", history[4], "--yes", code=5).stderr
    assert "no backup of 'docs' would be left" in davault("forget", *history, "--yes", code=5).stderr
    davault("forget", history[1], "docs_19990101_000000", "--yes", code=5)
    assert listed(davault) == history
    assert davault("forget", history[1], history[2], "--dry-run", "--json").document["forgotten"] == history[1:3]
    assert listed(davault) == history
    davault("forget", history[1], history[2], "--yes")
    assert listed(davault) == [history[0], *history[3:]]


def test_the_last_validated_backup_survives_every_rule(davault, docs: str, history: list[str]) -> None:
    davault("validate", history[5])
    davault("cleanup", docs, "--keep-last", "1", "--yes")
    assert listed(davault) == [history[0], history[5]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "say what to keep"),
        (["--keep-last", "0"], "empty"),
        (["--keep-last", "-1"], "keep_last must be 0 or more, not -1"),
        (["--keep-count", "0"], "keep_count must be 1 or more, not 0"),
        (["--keep-days", "-3"], "keep_days must be 1 or more, not -3"),
        (["--keep-days", "999999999"], "at most"),
        (["--keep-within", "soon"], "30d"),
        (["--keep-last", "2", "--keep-at-least", "0"], "keep_at_least must be 1"),
        (["--keep-at-least", "3"], "say what to keep"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_rules_that_cannot_be_meant(davault, docs: str, history: list[str], words: list[str], said: str) -> None:
    assert said in davault("cleanup", docs, *words, "--yes", code=5).stderr
    assert listed(davault) == history


def test_the_rules_of_a_configuration(davault, docs: str, history: list[str], tmp_path: Path) -> None:
    davault("config", "add", "docs", "--client", "disk", "--path", "/backups", "--source", tmp_path / "docs",
            "--key-env", "REPOSITORY_KEY", "--keep-daily", "2", "--keep-within", "1d", "--no-auto-delete",
            "--replace")  # fmt: skip
    config = davault("config", "show", "docs", "--json").document["config"]
    assert (config["keep_daily"], config["keep_within"], config["auto_delete_old"]) == (2, "1d", False)
    assert "daily 2, within 1d" in davault("config", "show", "docs").stdout
    davault("backup", docs)
    assert len(listed(davault)) == 11
    davault("cleanup", docs, "--yes")
    assert len(listed(davault)) == 3
    assert "keep_daily = 2" in davault("config", "export").stdout


def test_backups_of_a_clock_that_was_ahead_push_nothing_out(
    davault, docs: str, history: list[str], monkeypatch
) -> None:
    ahead = ManualClock(START + timedelta(days=4000))
    monkeypatch.setattr("backup_core.services.application.SystemClock", lambda: ahead)
    future = davault("backup", docs, "--json").document["backup_id"]
    right = ManualClock(START + timedelta(days=9))
    monkeypatch.setattr("backup_core.services.application.SystemClock", lambda: right)
    davault("cleanup", docs, "--keep-last", "2", "--keep-within", "1d", "--yes")
    assert listed(davault) == [future, *history[:2]]
