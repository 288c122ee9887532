"""What each command prints for what the library answers, and that docs/cli.md tells it."""

from __future__ import annotations

import os
import re
import signal
import types
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backup_core.cli import documents
from backup_core.cli.frame import Invocation
from backup_core.errors import Corrupt
from backup_core.progress import CancelToken
from backup_core.results import BackupSummary, Outcome, Problem, RestoreSummary, Severity
from backup_core.services.findings import BackupValidationResult, Finding, FindingLevel, ProbeResult
from backup_core.services.listings import FileEntry
from backup_core.services.records import BackupManifest, RepositoryInfo
from backup_core.services.recovery_records import RestorePreview
from backup_core.services.retention.pruning import PruneResult

DOCUMENTATION = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
BEGUN = datetime(2025, 10, 31, 2, 0, tzinfo=UTC)
SNAPSHOT = "5e" * 32

PROBLEM = Problem("unreadable", "/home/me/x cannot be read: Permission denied", path="/home/me/x")
SUMMARY = BackupSummary(
    backup_id="docs_20251031_020000", snapshot_id=SNAPSHOT, backup_type="full", outcome=Outcome.COMPLETED,
    started=BEGUN, ended=BEGUN + timedelta(seconds=4), files=1200, files_new=1000, files_changed=150,
    files_unchanged=50, directories=30, total_size=5 * 1024**2, data_added=3 * 1024**2, stored_size=1024**2, packs=2,
    requests={"PUT": 5, "PROPFIND": 3}, seconds=4.0, seconds_by_stage={"scan": 1.0},
    notes=("no earlier backup: this incremental became a full one",),
)  # fmt: skip
MANIFEST = BackupManifest(
    backup_id="docs_20251031_020000", config_name="docs", backup_type="full", created_at=datetime(2025, 10, 31, 2, 0),
    total_size=5 * 1024**2, stored_size=1024**2, file_count=1200, snapshot_id=SNAPSHOT, encrypted=False,
)  # fmt: skip
ENTRY = FileEntry("/home/me/重要 \x1b[2J.txt", "symlink", 12, 0o120777, datetime(2025, 10, 30, 1, 2, 3), "to/\x07there")
RESULT = BackupValidationResult("docs_20251031_020000", True, 10, 10, (), depth="data", requests={"GET": 3})
RESTORED = RestoreSummary("/tmp/out", Outcome.COMPLETED, 10, 8, 2, 0, 4096, 2048, requests={"GET": 2}, seconds=1.5)
PREVIEW = RestorePreview("docs_20251031_020000", SNAPSHOT, "/tmp/out", 10, 7, 2, 1, 0, 4096, 2048, 3, ("a note",))
REPOSITORY = RepositoryInfo("https://h/backups", "ab" * 32, 2, False, True, "", ("keep the key safe",))
PROBE = ProbeResult("cloud", "https://h/", True, 0.2, available=2048, checks={"listing": "ok"})
PRUNED = PruneResult("docs", True, 7, 7000, 2, 1024, 3, 3000, 1, 10, 0, 5 * 1024**2, 9,
                     {"copy": 3, "index": 2, "delete": 6}, {"PROPFIND": 260}, 1.5)  # fmt: skip
FINDING = Finding(FindingLevel.OK, "home", "is writable")


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Callable[..., types.SimpleNamespace]:
    """Puts ready answers in the library's place: ``library(backup=SUMMARY)``; a function is called for one."""

    def put(**answers: Any) -> types.SimpleNamespace:
        asked: dict[str, Any] = {}

        def method(name: str, answer: Any) -> Callable[..., Any]:
            def called(*words: Any, **options: Any) -> Any:
                asked[name] = (words, options)
                return answer(**options) if callable(answer) else answer

            return called

        fake = types.SimpleNamespace(**{name: method(name, answer) for name, answer in answers.items()})
        monkeypatch.setattr(Invocation, "application", fake)
        fake.asked = asked
        return fake

    return put


DOCUMENTS = {
    "### `backup NAME`": documents.backup(SUMMARY),
    "### `list [NAME]`": documents.manifest(MANIFEST),
    "### `files BACKUP_ID [PATTERN]`": documents.file_entry(ENTRY),
    "### `validate`": documents.validation(RESULT),
    "### `restore`": {**documents.restore(RESTORED), **documents.restore_preview(PREVIEW)},
    "### `init NAME`": documents.repository(REPOSITORY),
    "### `client probe NAME`": documents.probe(PROBE),
    "### `prune NAME`": documents.prune(PRUNED),
    "### `doctor`": documents.finding(FINDING),
    "## JSON documents": documents.problems([PROBLEM])[0],
}


@pytest.mark.parametrize("heading", DOCUMENTS)
def test_every_key_is_documented(heading: str) -> None:
    section = re.split(r"^##", DOCUMENTATION.split(f"{heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    told = set(re.findall(r"`(\w+)`", section))
    assert set(DOCUMENTS[heading]) <= told


def test_a_backup_as_people_see_it(davault, library) -> None:
    asked = library(backup=replace(SUMMARY, encrypted=False)).asked
    out = davault("backup", "docs", "--type", "full").stdout
    assert "docs_20251031_020000 (full)" in out
    assert "1,200: 1,000 new, 150 changed, 50 unchanged" in out
    assert "5.0 MiB" in out
    assert "not encrypted" in out
    assert "note: no earlier backup" in out
    assert asked["backup"][1]["kind"] == "full"


def test_a_dry_run_says_that_its_figures_are_estimates(davault, library) -> None:
    library(backup=replace(SUMMARY, dry_run=True, snapshot_id="", stored_size=2 << 20, packs=1))
    out = davault("backup", "docs", "--dry-run").stdout
    assert "about 3.0 MiB" in out
    assert "about 2.0 MiB in 1 packs" in out


def test_a_backup_as_programs_see_it(davault, library) -> None:
    library(backup=SUMMARY)
    document = davault("backup", "docs", "--json").document
    assert document["requests"] == 8
    assert document["requests_by_method"] == {"PUT": 5, "PROPFIND": 3}
    assert datetime.fromisoformat(document["started"]) == BEGUN
    assert document["problems"] == []


def test_a_backup_with_problems_ends_with_3_and_names_them(davault, library) -> None:
    library(backup=replace(SUMMARY, outcome=Outcome.COMPLETED_WITH_PROBLEMS, problems=(PROBLEM,) * 25))
    ended = davault("backup", "docs", code=3)
    assert ended.stdout.count("warning: /home/me/x cannot be read") == 20
    assert "and 5 more" in ended.stdout
    assert len(davault("backup", "docs", "--json", code=3).document["problems"]) == 25


def test_a_list_shows_what_is_not_encrypted(davault, library) -> None:
    fake = library(backups=[MANIFEST, replace(MANIFEST, backup_id="docs_2", encrypted=True)])
    fake.manager = types.SimpleNamespace(listing_problems=lambda _: [])
    lines = davault("list").stdout.splitlines()
    assert [line.count("not encrypted") for line in lines if line.startswith("docs_")] == [1, 0]
    assert lines[-1] == "2 backups"
    assert [b["encrypted"] for b in davault("list", "--json").document["backups"]] == [False, True]


def test_files_are_listed_as_they_come_and_names_are_disarmed(davault, library) -> None:
    library(get_backup=MANIFEST, files=iter([ENTRY, ENTRY]))
    out = davault("files", MANIFEST.backup_id).stdout
    assert out.count("lrwxrwxrwx") == 2
    assert "\x1b" not in out
    assert "/home/me/重要 \\x1b[2J.txt -> to/\\x07there" in out


def test_files_for_programs(davault, library) -> None:
    asked = library(get_backup=MANIFEST, files=iter([ENTRY])).asked
    document = davault("files", "5e5e5e5e", "*.txt", "--json").document
    assert document["backup_id"] == MANIFEST.backup_id
    assert document["files"][0]["path"] == ENTRY.path
    assert asked["files"][0] == (MANIFEST.backup_id, "*.txt")


def test_damage_ends_validate_with_4(davault, library) -> None:
    bad = replace(RESULT, is_valid=False, files_passed=9, errors=("/home/me/x: pack 12ab is damaged",))
    library(validate=[RESULT, bad])
    ended = davault("validate", "--all", code=4)
    assert "DAMAGED" in ended.stdout
    assert "error: /home/me/x: pack 12ab is damaged" in ended.stdout
    document = davault("validate", "--all", "--json", code=4).document
    assert (document["is_valid"], document["checked"], document["damaged"]) == (False, 2, 1)


def test_nothing_to_validate_is_said(davault, library) -> None:
    library(validate=[])
    assert "no backups to check" in davault("validate", "--all").stdout


def test_validate_hands_its_options_on(davault, library) -> None:
    asked = library(validate=[RESULT]).asked
    davault("validate", "--config", "docs", "--depth", "data", "--read-data-subset", "1/7")
    words, options = asked["validate"]
    assert words == ([],)
    assert (options["config_name"], options["depth"], options["subset"]) == ("docs", "data", "1/7")


def test_restore_hands_its_options_on(davault, library, tmp_path: Path) -> None:
    asked = library(restore=RESTORED).asked
    davault("restore", "docs", "--target", tmp_path, "--at", "2025-10-31 14:30", "--pattern", "*.pdf", "--pattern", "a",
            "--exclude", "b", "--overwrite", "never", "--delete", "--verify")  # fmt: skip
    options = asked["restore"][1]
    assert options["at"] == datetime(2025, 10, 31, 14, 30).astimezone()
    assert (options["config_name"], options["backup_id"], options["target"]) == ("docs", None, tmp_path)
    assert (options["patterns"], options["exclude"]) == (["*.pdf", "a"], ["b"])
    assert (options["overwrite"], options["delete"], options["verify"]) == ("never", True, True)


def test_a_restore_that_failed_for_some_files_ends_with_3(davault, library, tmp_path: Path) -> None:
    problem = Problem("damaged", "docs/x is damaged", path="docs/x", severity=Severity.ERROR)
    library(
        restore=replace(
            RESTORED, outcome=Outcome.COMPLETED_WITH_PROBLEMS, failed={"docs/x": "damaged"}, problems=(problem,)
        )
    )
    out = davault("restore", "docs", "--target", tmp_path, code=3).stdout
    assert out.count("docs/x") == 1
    assert davault("restore", "docs", "--target", tmp_path, "--json", code=3).document["failed"] == {
        "docs/x": "damaged"
    }


def test_a_dry_restore_shows_the_plan(davault, library, tmp_path: Path) -> None:
    library(plan_restore=PREVIEW)
    out = davault("restore", "docs", "--target", tmp_path, "--dry-run").stdout
    assert re.search(r"would create +7", out)
    assert "nothing was changed" in out
    document = davault("restore", "docs", "--target", tmp_path, "--dry-run", "--json").document
    assert (document["dry_run"], document["creates"], document["replaces"]) == (True, 7, 2)


def test_init_says_that_a_repository_is_not_encrypted(davault, library) -> None:
    library(init_repository=REPOSITORY)
    out = davault("init", "docs").stdout
    assert "not encrypted" in out
    assert "note: keep the key safe" in out
    assert davault("init", "docs", "--json").document["encrypted"] is False


def test_a_server_that_cannot_be_reached_ends_probe_with_6(davault, library) -> None:
    library(probe_client=replace(PROBE, reachable=False, error="connection refused", available=None))
    assert "connection refused" in davault("client", "probe", "cloud", code=6).stdout
    assert davault("client", "probe", "cloud", "--json", code=6).document["reachable"] is False


def test_doctor_ends_with_3_when_something_is_wrong(davault, library) -> None:
    library(doctor=[FINDING, Finding(FindingLevel.ERROR, "client cloud", "refused", "check the password")])
    out = davault("doctor", code=3).stdout
    assert "client cloud: check the password" in out
    library(doctor=[FINDING])
    assert davault("doctor", "--json").document == {
        "ok": True,
        "errors": 0,
        "warnings": 0,
        "findings": [documents.finding(FINDING)],
    }


def test_a_damaged_tree_while_listing_is_an_error_and_no_half_document(davault, library) -> None:
    def entries() -> Any:
        yield ENTRY
        raise Corrupt("the tree 12ab is damaged")

    library(get_backup=MANIFEST, files=entries())
    assert davault("files", "x", "--json", code=4).document["error"]["kind"] == "Corrupt"


def test_ctrl_c_during_a_backup_stops_it_cleanly(davault, library) -> None:
    def interrupted(cancel: CancelToken, **_: Any) -> BackupSummary:
        os.kill(os.getpid(), signal.SIGINT)
        cancel.check()
        return SUMMARY

    library(backup=interrupted)
    ended = davault("backup", "docs", code=130)
    assert "cancelled: stopped by Ctrl+C" in ended.stderr
    assert "reused" in ended.stderr
    assert davault("backup", "docs", "--json", code=130).document["error"]["kind"] == "Cancelled"


def test_a_dry_prune_shows_the_plan(davault, library) -> None:
    asked = library(prune=PRUNED).asked
    out = davault("prune", "docs", "--dry-run", "--max-unused", "1%").stdout
    assert re.search(r"would be copied in part +2 +1.0 KiB +about 3", out)
    assert re.search(r"would be deleted +3 +2.9 KiB +about 6", out)
    assert re.search(r"would be given back +5.0 MiB", out)
    assert "nothing was changed" in out
    assert (asked["prune"][1]["dry_run"], asked["prune"][1]["limits"].max_unused) == (True, "1%")
    document = davault("prune", "docs", "--json").document
    assert (document["planned_requests"], document["requests"]) == ({"copy": 3, "index": 2, "delete": 6}, 260)
