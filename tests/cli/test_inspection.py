"""``find``, ``diff`` and ``history`` typed as a person would, on real backups."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

DOCUMENTATION = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


def _keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(_keys, value.values()))
    return set().union(*map(_keys, value)) if isinstance(value, list) else set()


def _told(heading: str) -> set[str]:
    section = re.split(r"^##", DOCUMENTATION.split(f"{heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    return set(re.findall(r"`(\w+)`", section))


@pytest.fixture
def two(davault, docs: str, source: Path) -> tuple[str, str]:
    """Two backups with changes of every kind between them."""
    first = davault("backup", docs, "--json").document["backup_id"]
    (source / "projects" / "one" / "重要.txt").write_text("内容，改过\n")
    (source.parent / "beside").mkdir()
    os.rename(source / "report.pdf", source / "bericht.pdf")
    (source / "link").unlink()
    (source / "link").mkdir()
    (source / "new").mkdir()
    (source / "new" / "\x1b[31m.txt").write_text("x" * 5000)
    os.chmod(source / "projects" / "one", 0o700)
    return first, davault("backup", docs, "--json").document["backup_id"]


def test_find_shows_each_version_and_where_it_is(davault, two: tuple[str, str], source: Path) -> None:
    document = davault("find", "重要.*", "--json").document
    assert [(f["size"], f["backups"], f["first_backup"], f["last_backup"]) for f in document["files"]] == [
        (7, 1, two[0], two[0]),
        (16, 1, two[1], two[1]),
    ]
    assert document["found"] == 2 and document["backups_searched"] == 2 and document["problems"] == []
    assert _keys(document) <= _told("### `find PATTERN...`")
    shown = davault("find", "*.PDF", "--ignore-case").stdout
    assert "2 versions found in 2 backups" in shown and f"{source}/bericht.pdf" in shown and two[1] in shown


def test_find_in_one_backup_or_nowhere(davault, two: tuple[str, str], docs: str) -> None:
    assert davault("find", "report.pdf", "--backup", two[0], "--json").document["found"] == 1
    assert davault("find", "report.pdf", "--backup", two[1], "--json").document["found"] == 0
    nothing = davault("find", "report", "--config", docs).stdout
    assert "0 versions found in 2 backups" in nothing
    assert "for a part of one: davault find '*report*'" in nothing
    assert "report.pdf" in davault("find", "*report*", "--config", docs).stdout
    davault("find", "x", "--config", docs, "--backup", two[0], code=2)
    davault("find", "x", "--config", "unknown", code=5)
    assert "cannot be used" in davault("find", "[", code=5).stderr


def test_diff_marks_each_kind_of_change(davault, two: tuple[str, str], source: Path) -> None:
    document = davault("diff", *two, "--json").document
    marks = {c["path"].removeprefix(str(source)): c["mark"] for c in document["changes"] if str(source) in c["path"]}
    assert marks["/bericht.pdf"] == "+" and marks["/report.pdf"] == "-" and marks["/link"] == "T"
    assert marks["/projects/one"] == "U" and marks["/projects/one/重要.txt"] == "M" and marks["/new"] == "+"
    assert document["added"]["files"] == 2 and document["removed"]["files"] == 1 and document["type_changed"] == 1
    assert str(source.parent) not in {c["path"] for c in document["changes"]}, "what is above the source does not count"
    assert document["new_data"] == 16 + 5000, "what was only renamed is no new data"
    assert _keys(document) <= _told("### `diff BEFORE AFTER`")


def test_diff_for_people(davault, two: tuple[str, str], source: Path) -> None:
    shown = davault("diff", *two).stdout
    assert f"+  {source}/bericht.pdf  (10.0 KiB)" in shown
    assert f"M  {source}/projects/one/重要.txt  (7 B -> 16 B)" in shown
    assert f"+  {source}/new/\n" in shown and "\\x1b[31m.txt" in shown
    assert "U  " not in shown and f"U  {source}/projects/one/" in davault("diff", *two, "--metadata").stdout
    assert "\n".join(shown.splitlines()[-3:-1]).count("stored as") == 1
    same = davault("diff", two[0], two[0], "--json").document
    assert same["changes"] == [] and same["added"]["files"] == 0


def test_history_follows_one_path(davault, two: tuple[str, str], source: Path, monkeypatch) -> None:
    document = davault("history", source / "report.pdf", "--json").document
    (versions,) = (history["versions"] for history in document["histories"])
    assert [(v["change"], v["backups"], v["first_backup"]) for v in versions] == [
        ("added", 1, two[0]), ("removed", 1, two[1]),
    ]  # fmt: skip
    assert versions[1]["size"] is None and versions[1]["content"] == ""
    assert _keys(document) <= _told("### `history PATH`")
    monkeypatch.chdir(source / "projects")
    shown = davault("history", "one/重要.txt").stdout
    assert "+9 B" in shown and "changed" in shown and two[1] in shown


def test_history_of_a_path_that_no_backup_holds(davault, two: tuple[str, str], docs: str) -> None:
    assert "no backup of 'docs' holds /nowhere" in davault("history", "/nowhere", "--config", docs, code=5).stderr
    davault("diff", two[0], "nothing", code=5)
