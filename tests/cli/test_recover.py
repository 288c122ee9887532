"""``davault recover`` and ``davault vanished`` as a person types them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from backup_core.cli import passwords

DOCUMENTATION = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


def keys_of(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {k for name, v in value.items() if name != "rows" for k in keys_of(v)}
    return {k for v in value for k in keys_of(v)} if isinstance(value, list) else set()


def test_recover_on_an_empty_machine(davault, docs, source: Path, tmp_path: Path) -> None:
    davault("backup", docs)
    store = (tmp_path / "store").as_uri()
    words = ("recover", "--url", store, "--path", "/backups", "--key-env", "REPOSITORY_KEY", "--home", tmp_path / "new")
    plan = davault(*words, "--dry-run", "--json").document
    assert plan["dry_run"] and plan["repositories"][0]["configurations"][0]["change"] == "added"
    document = davault(*words, "--json").document
    for key in keys_of(document):
        assert f"`{key}`" in DOCUMENTATION
    shown = davault(*words)
    assert "present" in shown.stdout and "davault restore docs" in shown.stdout
    davault("restore", "docs", "--target", tmp_path / "out", "--home", tmp_path / "new")
    assert (tmp_path / "out" / "docs" / "report.pdf").read_bytes() == (source / "report.pdf").read_bytes()


def test_a_typed_password_and_key_are_kept(davault, docs, dav, tmp_path: Path, monkeypatch) -> None:
    davault("backup", docs)
    shutil.copytree(tmp_path / "store" / "backups", dav.root / "backups")
    answers = {"Password": dav.password.reveal(), "Key": "key-of-the-repository"}
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(passwords.typer, "prompt", lambda question, **_: answers[question.split()[0]])
    home = ("--home", tmp_path / "new")
    davault("recover", "--url", dav.url, "--path", "backups", "--username", dav.username, *home)
    davault("restore", "docs", "--target", tmp_path / "out", *home)
    assert (tmp_path / "out" / "docs" / "report.pdf").exists()
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "new").glob("[ks]e*/*"))


def test_what_cannot_be_recovered(davault, docs, tmp_path: Path) -> None:
    davault("backup", docs)
    url = ("--url", (tmp_path / "store").as_uri())
    davault("recover", *url, "--path", "/nowhere", "--key-env", "REPOSITORY_KEY", code=7)
    ended = davault("recover", *url, "--path", "/backups", code=7)
    assert "no key was given" in ended.stderr
    davault("recover", *url, "--path", "/backups", "--key-env", "NOT_SET", code=5)


@pytest.mark.parametrize("word", ["recover", "vanished"])
def test_help_and_documentation(davault, word: str) -> None:
    assert f"### `{word}" in DOCUMENTATION
    assert word in davault("--help").stdout


def test_vanished(davault, docs, tmp_path: Path) -> None:
    lost = davault("backup", docs, "--json").document
    davault("backup", docs)
    (tmp_path / "store" / "backups" / "snapshots" / lost["snapshot_id"]).unlink()
    davault("list", docs, "--refresh")
    document = davault("vanished", docs, "--json", code=4).document
    for key in keys_of(document):
        assert f"`{key}`" in DOCUMENTATION
    assert [row["snapshot_id"] for row in document["vanished"]] == [lost["snapshot_id"]]
    davault("vanished", docs, "--accept", lost["backup_id"], code=2)
    davault("vanished", "--accept", "docs_1", code=5)
    assert "1 accepted" in davault("vanished", "--accept", lost["snapshot_id"][:8]).stdout
