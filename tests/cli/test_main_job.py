"""The main job by the command line alone: set up, back up, list, validate, restore - on a directory and over HTTP."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from backup_core.testing.webdav_server import WebDAVServer


@pytest.fixture(params=["directory", "webdav"])
def ready(request: pytest.FixtureRequest, davault, source: Path, secrets, monkeypatch, tmp_path: Path) -> Path:
    """A configuration "docs" with a repository; the path of that repository on this machine."""
    if request.param == "webdav":
        server: WebDAVServer = request.getfixturevalue("dav")
        monkeypatch.setenv("ACCOUNT_PASSWORD", server.password.reveal())
        davault("client", "add", "store", "--url", server.url, "--username", server.username,
                "--password-env", "ACCOUNT_PASSWORD")  # fmt: skip
        root = server.root
    else:
        root = tmp_path / "store"
        davault("client", "add", "store", "--url", root.as_uri())
    davault("config", "add", "docs", "--client", "store", "--path", "/backups", "--source", source,
            "--exclude", "*.tmp", "--key-env", "REPOSITORY_KEY")  # fmt: skip
    assert davault("init", "docs", "--json").document["created"] is True
    return root / "backups"


def test_back_up_list_validate_restore(davault, ready: Path, source: Path, tmp_path: Path) -> None:
    first = davault("backup", "docs", "--type", "full", "--json").document
    assert (first["backup_type"], first["outcome"], first["problems"]) == ("full", "completed", [])
    assert (first["files"], first["files_new"]) == (3, 3)
    (source / "added.txt").write_text("later")
    second = davault("backup", "docs", "--json").document
    assert (second["backup_type"], second["files_new"], second["files_unchanged"]) == ("incremental", 1, 3)
    assert second["parent"] == first["snapshot_id"]

    listed = davault("list", "docs", "--json").document["backups"]
    assert [b["backup_id"] for b in listed] == [second["backup_id"], first["backup_id"]]
    files = davault("files", first["backup_id"], "--json").document["files"]
    assert {Path(f["path"]).name for f in files} >= {"report.pdf", "重要.txt", "link"}
    assert "notes.tmp" not in {Path(f["path"]).name for f in files}
    only = davault("files", second["backup_id"], "*.pdf", "--json").document["files"]
    assert [Path(f["path"]).name for f in only] == ["report.pdf"]

    for depth in ("quick", "data", "restore"):
        checked = davault("validate", "--all", "--depth", depth, "--json").document
        assert (checked["is_valid"], checked["checked"]) == (True, 2)

    target = tmp_path / "out"
    plan = davault("restore", "docs", "--target", target, "--dry-run", "--json").document
    assert plan["backup_id"] == second["backup_id"]
    assert not target.exists()
    restored = davault("restore", "docs", "--target", target, "--verify", "--json").document
    assert restored["failed"] == {}
    assert (target / "docs" / "added.txt").read_text() == "later"
    assert (target / "docs" / "link").readlink() == Path("report.pdf")
    assert (target / "docs" / "projects" / "one" / "重要.txt").read_text() == "内容\n"

    chosen = tmp_path / "chosen"
    davault("restore", "--backup", first["backup_id"], "--target", chosen, "--pattern", "*.pdf")
    assert [p.name for p in chosen.rglob("*") if p.is_file()] == ["report.pdf"]


def test_a_dry_run_stores_nothing(davault, ready: Path) -> None:
    before = {p for p in ready.rglob("*") if p.is_file() and p.parent.name != "locks"}
    document = davault("backup", "docs", "--dry-run", "--json").document
    assert (document["dry_run"], document["snapshot_id"], document["files_new"]) == (True, "", 3)
    assert {p for p in ready.rglob("*") if p.is_file() and p.parent.name != "locks"} == before
    assert davault("list", "docs", "--json").document["backups"] == []


def test_tables_for_people(davault, ready: Path, tmp_path: Path) -> None:
    backup = davault("backup", "docs")
    assert "completed" in backup.stdout
    assert "3 new" in backup.stdout
    assert "docs_" in davault("list").stdout
    assert "report.pdf" in davault("files", davault("list", "--json").document["backups"][0]["backup_id"]).stdout
    assert "whole" in davault("validate", "--config", "docs").stdout
    assert "restored" in davault("restore", "docs", "--target", tmp_path / "out").stdout


def test_progress_is_told_on_stderr_only(davault, ready: Path) -> None:
    assert "backup" in davault("backup", "docs", "--json").stderr
    assert davault("backup", "docs", "--json", "--quiet").stderr == ""


def test_another_machine_finds_the_backups(davault, ready: Path, tmp_path: Path, monkeypatch) -> None:
    made = davault("backup", "docs", "--json").document
    toml = tmp_path / "all.toml"
    toml.write_text(davault("config", "export").stdout, encoding="utf-8")
    monkeypatch.setenv("DAVAULT_HOME", str(tmp_path / "another-home"))
    assert davault("list", "--json").document["backups"] == []
    assert davault("config", "import", toml, "--json").document == {"imported": ["docs"]}
    assert [b["backup_id"] for b in davault("list", "docs", "--json").document["backups"]] == [made["backup_id"]]
    davault("restore", "docs", "--target", tmp_path / "out")
    assert (tmp_path / "out" / "docs" / "report.pdf").exists()


def test_without_encryption_every_place_says_so(davault, docs: str, source: Path) -> None:
    added = davault("config", "add", "open", "--client", "disk", "--path", "/open", "--source", source, "--no-encrypt")
    assert "not encrypted" in added.stdout
    for words in (
        ["config", "list"],
        ["config", "show", "open"],
        ["init", "open"],
        ["backup", "open"],
        ["list", "open"],
    ):
        assert "not encrypted" in davault(*words).stdout, words
    assert davault("list", "open", "--json").document["backups"][0]["encrypted"] is False


def test_two_homes_never_mix(davault, docs: str, tmp_path: Path) -> None:
    assert davault("config", "list", "--json", "--home", tmp_path / "b").document["configs"] == []
    assert len(davault("config", "list", "--json").document["configs"]) == 1
    shutil.rmtree(tmp_path / "b")


def test_doctor_finds_a_good_installation_good(davault, ready: Path) -> None:
    davault("backup", "docs")
    document = davault("doctor", "--json").document
    assert document["ok"] is True, document
    assert {f["level"] for f in document["findings"]} <= {"ok", "warning"}
